"""What can be taken from a comparison: the CSV file and the report hold the parquet's figures, and no program."""

from __future__ import annotations

import io
import json
import re
from html import unescape
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from app.compare import report as compare_report
from app.compare import tables
from app.store.predictions import Comparison
from core.runs.run import Run
from tests.helpers.app import metrics_of, open_page, well

PAIR = ("digits-paper", "digits-stratified")
NASTY = ("</script><script>alert(1)</script>", "<img src=x onerror=alert(2)>", "\u2028<!--", "%{x}&lt;b&gt;")


def compared(store: Path, row: int | None = 8) -> Comparison:
    measured = [(run, run.metrics()) for run in (Run(store / name) for name in PAIR)]
    metric = measured[0][0].task.metric
    return Comparison(measured=measured, metric=metric, rows=[row, 8], question="9 units", against="width")


def test_the_csv_holds_every_figure(digits: Path) -> None:
    raw = tables.as_csv(compared(digits).measured)
    frame = pd.read_csv(io.BytesIO(raw), encoding="utf-8-sig")
    for name in PAIR:
        rows, wanted = frame[frame["Run"] == name], metrics_of(digits / name)
        assert rows["Units"].tolist() == wanted["width"].tolist()
        assert rows["File (bytes)"].tolist() == wanted["bytes"].tolist()
        for part in ("", "validation_"):
            for end, heading in (("", ""), ("_low", ", 95 % interval from"), ("_high", ", 95 % interval to")):
                shown = rows[f"Accuracy on {'validation' if part else 'test'} examples{heading} (%)"]
                np.testing.assert_allclose(shown, 100 * wanted[f"{part}accuracy{end}"], rtol=1e-10)
    assert len(frame) == sum(len(metrics_of(digits / name)) for name in PAIR)


def test_a_name_is_no_formula(digits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Run, "id", property(lambda run: "=1+1"))
    frame = pd.read_csv(io.BytesIO(tables.as_csv(compared(digits).measured)), encoding="utf-8-sig")
    assert set(frame["Run"]) == {"'=1+1"}


def without_plotly(page: str) -> str:
    from plotly.offline import get_plotlyjs

    assert page.count(get_plotlyjs()) == 1
    return page.replace(get_plotlyjs(), "")


def test_nothing_from_a_file_is_a_program(digits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = dict(zip(PAIR, NASTY, strict=False))
    monkeypatch.setattr(Run, "id", property(lambda run: names[run.path.name]))
    for name in PAIR:
        record = json.loads((digits / name / "run.json").read_text())
        record["labels"] = [*NASTY, *record["labels"][len(NASTY) :]]
        record["recipe"]["</script>"] = f"{name}</script>"
        (digits / name / "run.json").write_text(json.dumps(record))
    page = without_plotly(compare_report.report(compared(digits)).decode())
    tags = set(re.findall(r"<([a-zA-Z]+)", page))
    assert "img" not in tags
    assert page.count("<script") == page.count("</script") == 4, "two figures, the library and what draws"
    assert "<!--" not in page
    figures = re.findall(r'<script type="application/json" id="figure-\w+">(.*?)</script>', page, re.DOTALL)
    assert all("data" in json.loads(figure) for figure in figures)
    assert NASTY[1] in unescape(page), "a name is still there, as text"


def test_the_report_asks_nothing_of_the_network_and_says_what_the_page_says(digits: Path) -> None:
    raw = compare_report.report(compared(digits))
    page = without_plotly(raw.decode())
    assert "default-src 'none'" in page
    assert not re.findall(r"""(?:src|href)=["'](?!data:)""", page)
    assert '"showSendToCloud": false' in page
    said = unescape(re.sub(r"<[^>]+>", "", page))
    at = well(open_page("compare", runs=",".join(PAIR), at="width", value="9"))
    for value in np.ravel(at.dataframe[0].value.to_numpy()):
        assert str(value) in said


def test_where_no_size_fits_it_is_said(digits: Path) -> None:
    page = without_plotly(compare_report.report(compared(digits, row=None)).decode())
    assert "Only digits-stratified has a size that fits." in page
    assert "Label by label" not in page
