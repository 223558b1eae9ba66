"""The read-only switch and the log of changes and downloads."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.my_runs import actions
from app.web import access
from core.errors import UserError
from core.runs.archive import archive
from core.runs.store import RunStore
from tests.helpers.app import open_page, texts, unfolded, well


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The log's lines."""
    written: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: written.append(record.getMessage())  # type: ignore[method-assign]
    monkeypatch.setattr(access.LOG, "handlers", [handler])
    level = access.LOG.level
    access.LOG.setLevel(logging.INFO)
    yield written
    access.LOG.setLevel(level)


@pytest.mark.parametrize(
    ("value", "on"), [("", False), ("0", False), ("No", False), ("1", True), ("yes", True), ("on?", True)]
)
def test_any_value_but_a_no_makes_the_server_read_only(monkeypatch: pytest.MonkeyPatch, value: str, on: bool) -> None:
    monkeypatch.setenv(access.VARIABLE, value)
    assert access.read_only() == on
    if on:
        with pytest.raises(UserError, match="this server is read-only"):
            access.check_changeable()
    else:
        access.check_changeable()


def test_a_read_only_server_shows_compares_and_hands_over(digits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive(RunStore(digits), "digits-stratified")
    monkeypatch.setenv(access.VARIABLE, "1")
    at = well(open_page("runs", run="digits-paper"))
    assert "can be looked at and taken along but not changed: this server is read-only." in texts(at)
    assert at.get("download_button")
    assert not {button.label for button in at.button} & {"Save", "Rename", "Remove", "Bring it back"}
    assert not [e for e in at.expander if e.label.startswith(("Archive", "Trash", "Add"))]


def test_a_read_only_server_refuses_a_change_that_reaches_it_all_the_same(
    digits: Path, monkeypatch: pytest.MonkeyPatch, lines: list[str]
) -> None:
    """A message that a page without the button can't send: from before the switch, or made by hand."""
    before = sorted(digits.rglob("*"))
    at = well(open_page("runs", run="digits-paper"))
    (remove,) = (button for button in at.button if button.label == "Remove")
    at = well(remove.click().run())
    (confirm,) = (button for button in at.button if button.label == "Yes, remove it")
    monkeypatch.setenv(access.VARIABLE, "1")
    at = well(confirm.click().run())
    assert "That was not done: this server is read-only" in texts(at)
    assert sorted(digits.rglob("*")) == before
    assert lines == []


def test_no_picture_is_uploaded_to_a_read_only_server(digits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def ways() -> list[str]:
        at = unfolded(open_page(run="digits-paper"), "try-open")
        return [option for radio in at.radio if radio.label == "Your example" for option in radio.options]

    everything = ways()
    monkeypatch.setenv(access.VARIABLE, "1")
    assert [way for way in everything if way not in ways()] == ["Upload a picture"]


def test_a_change_is_a_line_with_its_session(digits: Path, lines: list[str]) -> None:
    assert actions.act("digits-paper\n2026 forged: line \x1b[31m", lambda: None)
    assert not actions.act("it failed", lambda: 1 / 0)
    (line,) = lines
    assert line.startswith("change: digits-paper")
    assert line.endswith("[no session]")
    assert line.isprintable(), "one line, whatever a run is called"


def test_the_log_goes_to_standard_error_with_the_time_in_utc(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("handlers", "level", "propagate"):
        monkeypatch.setattr(access.LOG, name, getattr(access.LOG, name))
    monkeypatch.setattr(access.LOG, "handlers", [])
    access.start_log()
    access.log_download("digits-w8.onnx", "203.0.113.9")
    (line,) = capsys.readouterr().err.splitlines()
    time, _, rest = line.partition(" ")
    assert rest == "download: digits-w8.onnx [203.0.113.9]"
    assert len(time) == len("2026-12-01T02:00:00Z")
    assert time.endswith("Z")
