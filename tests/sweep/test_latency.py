"""Times are measured once a machine and set of weights, and another machine's stay."""

from __future__ import annotations

import signal

import numpy as np
import pytest

from core import Run, sweep
from core.sweep import latency
from core.utils.parquet import write_table
from core.utils.signals import Interrupted
from tests.helpers.training import left_in, small_data, small_family

NAME = latency.machine_name()  # before it is replaced


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(latency, "REPEATS", 4)
    monkeypatch.setattr(latency, "machine_name", lambda: "this machine")


def measured(run: Run):
    sweep(run, data=small_data(), family=small_family(), progress=False)
    return run.latency()


def test_columns(run):
    frame = measured(run)
    assert frame.columns.tolist() == [
        "machine", "threads", "batch", "width", "median_ms", "p25_ms", "p75_ms", "repeats",
    ]  # fmt: skip
    assert frame.groupby("batch")["width"].agg(list).to_dict() == {1: [1, 2, 4, 8], 256: [1, 2, 4, 8]}
    assert set(frame["machine"]) == {"this machine"}
    assert set(frame["threads"]) == {1}
    assert (frame["repeats"] >= 1).all()
    assert (frame["median_ms"] > 0).all()
    assert (frame["p25_ms"] <= frame["median_ms"]).all()
    assert (frame["median_ms"] <= frame["p75_ms"]).all()


def test_known_times_are_kept(run, monkeypatch):
    frame = measured(run)
    monkeypatch.setattr(latency, "measure", None)  # a call would fail
    assert measured(run).equals(frame)
    assert measured(Run(run.path)).equals(frame)


def test_other_machines_stay(run, monkeypatch):
    first = measured(run)
    monkeypatch.setattr(latency, "machine_name", lambda: "another machine")
    both = measured(run)
    assert both["machine"].unique().tolist() == ["this machine", "another machine"]
    assert both[both["machine"] == "this machine"].equals(first)
    assert run.note("latency.parquet")["machines"] == ["another machine", "this machine"]
    monkeypatch.setattr(latency, "machine_name", lambda: "this machine")
    assert measured(run).equals(both)


@pytest.mark.parametrize("damage", ["empty", "garbled", "no columns", "other weights"])
def test_what_cannot_be_read_is_measured_again(run, damage):
    frame = measured(run)
    path = run.path / "latency.parquet"
    data = path.read_bytes()
    if damage == "empty":
        path.write_bytes(b"")
    elif damage == "garbled":
        path.write_bytes(data[:4] + bytes(b ^ 0xFF for b in data[4:300]) + data[300:])
    elif damage == "no columns":
        write_table(path, frame[["machine"]], run.note("latency.parquet"))
    else:
        write_table(path, frame.assign(median_ms=-1.0), {"weights": "0" * 64, "machines": ["this machine"]})
    again = measured(run)
    assert again[["machine", "batch", "width"]].equals(frame[["machine", "batch", "width"]])
    assert np.isfinite(again["median_ms"]).all()
    assert (again["median_ms"] > 0).all()


def test_stopped_while_measuring(run, monkeypatch):
    real = latency.time.perf_counter
    asked = []

    def clock() -> float:
        if not asked:
            asked.append(1)
            signal.raise_signal(signal.SIGINT)
        return real()

    with monkeypatch.context() as patch:
        patch.setattr(latency.time, "perf_counter", clock)
        with pytest.raises(Interrupted, match="python -m core sweep"):
            measured(run)
    assert len(run.metrics()) == 8  # what was validated before stays
    assert "latency.parquet" not in left_in(run.path)
    assert len(measured(run)) == 8


def test_machine_name_is_one_line():
    assert NAME.endswith("cores")
    assert len(NAME.splitlines()) == 1
