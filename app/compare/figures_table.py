"""All figures of some runs as one table, for a spreadsheet or for a reader. No Streamlit here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from core.runs.run import Run
from core.sweep.report import printable

if TYPE_CHECKING:
    from app.store.predictions import Measured

FORMULA = ("=", "+", "-", "@")  # a cell that begins so is a program to a spreadsheet
PARTS = (("", "test"), ("validation_", "validation"))
DIGITS = 12  # more than any figure has, fewer than rounding to binary shows


def figures(measured: Measured) -> pd.DataFrame:
    """A row for each run and width, as people read the figures, with units in the headings."""
    return pd.concat([_of(run, metrics) for run, metrics in measured], ignore_index=True)


def as_csv(measured: Measured) -> bytes:
    """The table in UTF-8 with a mark that spreadsheets know it by; names that would be formulas are quoted."""
    frame = figures(measured)
    frame["Run"] = [f"'{name}" if name.startswith(FORMULA) else name for name in frame["Run"]]
    return frame.to_csv(index=False, float_format=f"%.{DIGITS}g", lineterminator="\r\n").encode("utf-8-sig")


def _of(run: Run, metrics: pd.DataFrame) -> pd.DataFrame:
    columns: dict[str, object] = {
        "Run": printable(run.id),
        "Units": metrics["width"],
        "Parameters": metrics["params"],
        "Multiply-accumulates of one example (MACs)": metrics["macs"],
        "File (bytes)": metrics["bytes"],
    }
    for prefix, part in PARTS:
        for metric in run.task.metrics:
            unit = f" ({metric.unit.strip()})" if metric.unit.strip() else ""
            for end, name in (("", ""), ("_low", ", 95 % interval from"), ("_high", ", 95 % interval to")):
                heading = f"{metric.label} on {part} examples{name}{unit}"
                columns[heading] = metrics[f"{prefix}{metric.name}{end}"] * metric.scale
        columns[f"{part.capitalize()} examples"] = metrics[f"{prefix}n"].astype("int64")
    return pd.DataFrame(columns)
