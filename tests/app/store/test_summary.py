"""How the lines of My runs are read: in parts, once for all visitors, and anew where something changed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from app.store import cache as shown
from app.store import summary as lines
from app.store.summary import READY, UNREAD, Summary, of_run, summary
from core import Run
from core.runs.notes import Notes, write_notes
from tests.helpers.app import copy_run, edit_metrics


def test_what_takes_long_is_read_in_parts(digits: Path) -> None:
    run = Run(digits / "digits-paper")
    unread = summary(run, until=0)
    assert unread.state == UNREAD
    assert summary(run).state == READY
    assert summary(run, until=0).state == READY, "it is known by now"
    same = ("id", "metric", "data", "model", "created")
    assert [getattr(unread, name) for name in same] == [getattr(summary(run), name) for name in same]
    write_notes(run.path, Notes(title="x"))
    assert summary(run).notes.title == "x"


def test_visitors_at_once_read_each_run_once(digits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [Run(copy_run(digits, name=f"run-{k}")) for k in range(12)]
    read: list[str] = []
    monkeypatch.setattr(lines, "of_run", lambda run: read.append(run.id) or of_run(run))
    together = Barrier(4)

    def visit() -> list[Summary]:
        together.wait()
        return [summary(run) for run in runs]

    with ThreadPoolExecutor(4) as pool:
        visits = [job.result() for job in [pool.submit(visit) for _ in range(4)]]
    assert sorted(read) == sorted(run.id for run in runs)
    assert all(found == visits[0] for found in visits)
    assert {line.state for line in visits[0]} == {READY}


def test_what_is_known_is_what_would_be_read_now(digits: Path) -> None:
    run = digits / "digits-paper"
    for change in (lambda f: f.assign(accuracy=f["accuracy"] / 2), lambda f: f.assign(bytes=f["bytes"] * 3)):
        before = {line.id: line for line in shown.summaries()}
        edit_metrics(run, change)
        shown.look_again()
        after = {line.id: line for line in shown.summaries()}
        assert after["digits-paper"] == of_run(Run(run)) != before["digits-paper"]
        assert after["digits-stratified"] is before["digits-stratified"], "what did not change is not read again"


def test_visitors_at_once_share_a_look(digits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[str] = []
    clock = [100.0]
    stamp = shown._stamp

    def slow(path: Path) -> object:
        looks.append(path.name)
        clock[0] += 0.1
        return stamp(path)

    monkeypatch.setattr(shown, "_stamp", slow)
    monkeypatch.setattr(shown.time, "monotonic", lambda: clock[0])
    shown.look_again()
    together = Barrier(4)
    with ThreadPoolExecutor(4) as pool:
        visits = [
            job.result() for job in [pool.submit(lambda: (together.wait(), shown.entries())[1]) for _ in range(4)]
        ]
    assert sorted(looks) == ["digits-paper", "digits-stratified"]
    assert all(runs == visits[0][0] for runs, _ in visits)


def test_a_look_at_the_store_is_kept_for_a_moment(digits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[Path] = []
    stamp = shown._stamp
    monkeypatch.setattr(shown, "_stamp", lambda path: looks.append(path) or stamp(path))
    clock = [100.0]
    monkeypatch.setattr(shown.time, "monotonic", lambda: clock[0])
    shown.look_again()
    shown.entries(), shown.entries()
    assert len(looks) == 4, "a look that took no time is not kept, since it costs nothing"
    monkeypatch.setattr(shown, "_stamp", lambda path: clock.__setitem__(0, clock[0] + 0.01) or stamp(path))
    shown.entries()
    looks.clear()
    monkeypatch.setattr(shown, "_stamp", lambda path: looks.append(path) or stamp(path))
    clock[0] += 0.3
    shown.entries(), shown.summaries()
    assert not looks
    clock[0] += 0.2
    shown.entries()
    assert looks, "one that took 20 ms is good for 400"
