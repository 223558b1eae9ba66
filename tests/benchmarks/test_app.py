"""The bench of the explorer: its store, its bare pages, and how its figures become ratios."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from core import Run
from core.runs.store import RunStore
from tests.helpers.app import ROOT


def test_a_store_is_of_so_many_readable_runs_of_256_widths(tmp_path: Path) -> None:
    from app_window import store

    folder = store(tmp_path, 3)
    runs = list(RunStore(folder).list())
    assert [run.id for run in runs] == ["run-0000", "run-0001", "run-0002"]
    assert all(isinstance(run, Run) and len(run.metrics()) == 256 for run in runs)
    sizes = {run.layout.file_bytes(run.widths_at(256)) for run in runs if isinstance(run, Run)}
    assert all(1e6 < size < 1.2e6 for size in sizes), "about 1 MB at full size"


@pytest.mark.parametrize(("kind", "metrics", "charts"), [("slider", 4, 0), ("chart", 0, 1)])
def test_the_bare_pages_have_what_they_are_compared_by(
    kind: str, metrics: int, charts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["app_bare.py", kind])
    at = AppTest.from_file(str(ROOT / "benchmarks" / "app_bare.py")).run()
    assert not at.exception
    assert (len(at.metric), len(at.get("plotly_chart")), len(at.slider)) == (metrics, charts, metrics and 1)


def test_ratios_are_of_medians_and_a_missed_limit_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    from app_figures import LIMITS, ratios, say, summary

    def settle(ms: float) -> dict:
        return {"released": summary([ms, ms, 9 * ms]), "messages": summary([1]), "bytes": summary([100])}

    found = {
        "picks": {
            "settle_ms": {"bare": settle(100), "pick": settle(140), "open": settle(300), "many": settle(330)},
            "readout_ms": summary([1.0]), "readout_in_the_next_frame": True, "messages_while_dragging": 0,
        },
        "download": {"first_s": 3.0, "bundle_s": summary([0.6]), "bytes": 10**6},
        "cold": {"page_s": {"bare": summary([2.0]), "pick": summary([2.5])}},
        "my_runs": {"first_drawn_s": 1.9, "drawn_s": summary([0.5])},
        "runs": 1000,
    }  # fmt: skip
    found["ratios"] = ratios(found)
    assert found["ratios"] == {"settle": 1.4, "bundle_s": 0.6, "cold": 1.25, "my_runs_s": 1.9, "many_runs": 1.1}
    say(found)
    lines = capsys.readouterr().out.splitlines()
    missed = [line.split(":")[0] for line in lines if "MISSED" in line]
    assert missed == ["bundle_s"]
    assert {line.split(":")[0] for line in lines} >= set(LIMITS)
