"""The download: built when it is asked for, and where it can't be, the visitor reads why."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path

import pytest
from safetensors.numpy import load
from streamlit.testing.v1 import AppTest

from app import download
from core.errors import RunError
from core.export import FORMATS
from core.report import kilobytes
from core.runs import Run
from tests.helpers_app import open_page, slider, texts, well


def clicked(at: AppTest) -> AppTest:
    """AppTest makes no file, so it is made here, on a thread of its own as in the server."""
    job = at.session_state["download-jobs"][-1]

    def build() -> None:
        try:
            job()
        except Exception:  # Streamlit's to show; the test reads the page
            assert job.failure

    thread = threading.Thread(target=build)
    thread.start()
    at.download_button(key="download").click().run()
    thread.join()
    return well(at)


def weights(**query: str) -> AppTest:
    at = well(open_page(**query))
    return well(at.radio(key="download-format").set_value("safetensors").run())


def test_the_file_is_that_of_the_size_on_the_page(digits: Path) -> None:
    at = weights(run="digits-stratified", width="21")
    job = at.session_state["download-jobs"][-1]
    data = job()
    run = Run(digits / "digits-stratified")
    shapes = {name: tuple(value.shape) for name, value in load(data).items()}
    assert shapes == run.layout.shapes(run.widths_at(21))
    at = clicked(at)
    assert f"Handed over: {kilobytes(len(data))}" in texts(at)
    assert hashlib.sha256(data).hexdigest() in texts(at)
    assert not at.error
    at = well(next(b for b in at.button if b.label.startswith("Full size")).click().run())
    assert "Handed over" not in texts(at), "of another size nothing was handed over"
    assert at.session_state["download-jobs"][-1].width == slider(at)["width"] == 128


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            RunError("model.safetensors **does not** hold <b>these</b> weights"),
            "**does not** hold <b>these</b> weights",
        ),
        (MemoryError(), "something failed that nobody foresaw (MemoryError)"),
    ],
)
def test_a_failure_is_said_in_plain_words(
    digits: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise error

    at = weights(run="digits-paper")
    with monkeypatch.context() as patch:
        patch.setattr(download, "export", fail)
        at = clicked(at)
    assert "The file could not be made" in at.error[0].value
    assert said.replace("**", "") in texts(at)
    assert "Handed over" not in texts(at)
    at = clicked(at)
    assert "Handed over" in texts(at), "the next try may succeed"
    assert not at.error


def test_damaged_weights_are_not_handed_over(digits: Path) -> None:
    path = digits / "digits-paper" / "model.safetensors"
    at = weights(run="digits-paper", width="9")
    raw = bytearray(path.read_bytes())
    raw[-40] ^= 0x55
    path.write_bytes(raw)
    at = clicked(well(at.run()))
    assert "model.safetensors" in at.error[0].value.replace("\\", "")
    assert "Handed over" not in texts(at)


def test_a_click_that_brings_no_file_is_said(digits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "LONGEST_WAIT", -1.0)
    monkeypatch.setattr(download, "POLL", 0.0)
    at = weights(run="digits-paper")
    at = well(at.download_button(key="download").click().run())
    assert "press the button again" in at.warning[0].value


def test_a_click_that_meets_a_page_on_its_way_is_answered_too(digits: Path) -> None:
    at = weights(run="digits-paper")
    clicked_job = at.session_state["download-jobs"][-1]
    at = well(at.run())  # the page ran again between the click and its message
    assert at.session_state["download-jobs"][-1] is not clicked_job
    clicked_job()
    at = well(at.download_button(key="download").click().run())
    assert "Handed over" in texts(at)
    assert not at.warning


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_says_what_it_is_and_how_it_is_used(digits: Path, format: str) -> None:
    at = well(open_page(run="digits-paper", width="9"))
    at = well(at.radio(key="download-format").set_value(format).run())
    assert f"digits-paper-w9{FORMATS[format].suffix}" in texts(at)
    compile(at.code[-1].value, "snippet", "exec")
    at = well(at.selectbox(key="pick-run").set_value("digits-stratified").run())
    assert at.radio(key="download-format").value == format, "the format stays when another network is chosen"
