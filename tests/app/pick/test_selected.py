"""What follows the slider in the browser: it is sent once for every size, and says what the parquet says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd

from app.words import GLUE
from core.utils.formatting import kilobytes
from tests.helpers.app import components, edit_metrics, open_page, shown_metrics, slider, well


def test_what_is_said_of_every_size_is_sent_once(digits: Path) -> None:
    metrics = shown_metrics(digits / "digits-stratified").to_dict("records")
    at = well(open_page(run="digits-stratified", width="9"))
    told = json.dumps([data for data in components(at) if "lines" in data], ensure_ascii=False)
    answer, examples, *_ = json.loads(told.replace(GLUE, " "))
    assert answer["widths"] == examples["widths"] == [row["width"] for row in metrics]
    for row, lines, seen in zip(metrics, answer["lines"], examples["lines"], strict=True):
        unit = f"{row['width']} unit{'' if row['width'] == 1 else 's'}"
        assert lines[0][2].removeprefix("Your choice: ").removeprefix("full size, ") == f"{unit}."
        assert f"{100 * row['accuracy']:.1f} % accuracy in {kilobytes(row['bytes'])}" in lines[0][1]
        tally, *_, change = (text for look, text, _ in seen if look in ("small", "text"))
        assert tally.startswith(unit)
        assert unit in change or "This is full size" in change


def test_a_faster_neighbour_is_offered(digits: Path) -> None:
    run = digits / "digits-stratified"
    edit_metrics(run, lambda f: f.assign(accuracy=0.9, validation_accuracy=0.9))
    times = pd.read_parquet(run / "latency.parquet")
    slow = times["width"] == 32
    for column in ("median_ms", "p25_ms", "p75_ms"):
        times[column] = np.where(slow, 5.0, 1.0)
    times.to_parquet(run / "latency.parquet")
    rows = slider(well(open_page(run="digits-stratified", width="32")))["rows"]
    (offered,) = (row for row in rows if row["faster"])
    assert offered["width"] == 32, "of the other sizes none is slower, or its time is not known"
    found = offered["faster"]
    assert found["width"] in (16, 64)
    assert (
        found["text"].replace(GLUE, " ")
        == f"{found['width']} units nearby answers faster, 1 ms instead of 5 ms a prediction, and is just as good."
    )
    assert found["take"] == f"Take {found['width']} units"
