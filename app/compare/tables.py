"""Tables of Compare runs: figures side by side, settings that differ, all figures as CSV. No Streamlit here."""

from __future__ import annotations

from typing import Any

import pandas as pd

from app import words
from app.store.predictions import Comparison, Measured
from core.runs.run import Run
from core.utils.formatting import kilobytes, printable

FORMULA = ("=", "+", "-", "@")  # a cell that begins so is a program to a spreadsheet
PARTS = (("", "test"), ("validation_", "validation"))
DIGITS = 12  # more than any figure has, fewer than rounding to binary shows


def side_by_side(comparison: Comparison) -> pd.DataFrame:
    """A row for each run at what is compared."""
    metric, lines = comparison.metric, []
    for (run, metrics), row in zip(comparison.measured, comparison.rows, strict=True):
        line: dict[str, Any] = {"Run": words.short(run.id), metric.label: "no size fits"}
        if row is not None:
            at, full = metrics.iloc[row], metrics.iloc[-1]
            line |= {
                metric.label: metric.format(at[metric.name]),
                "File": kilobytes(at["bytes"]),
                "Units": f"{int(at['width']):,}",
                "95 % interval": metric.format_interval(at[f"{metric.name}_low"], at[f"{metric.name}_high"]),
                "Parameters": f"{int(at['params']):,}",
                "Against its full size": words.difference(metric, at[metric.name], full[metric.name]).removesuffix(
                    " than"
                ),
            }
        lines.append(line)
    return pd.DataFrame(lines).fillna("–")


def curves(comparison: Comparison) -> pd.DataFrame:
    """Return the chart's figures at some sizes of each run, evenly spaced on its axis."""
    parts = []
    for run, metrics in comparison.measured:
        part = words.table(words.some_sizes(metrics), comparison.metric)
        part.insert(0, "Run", words.short(run.id))
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def what_differs(measured: Measured) -> pd.DataFrame:
    """A row for each setting that differs, a column for each run."""
    made = pd.DataFrame({run.id: words.settings(run.record) for run, _ in measured}).fillna("–")
    return made[made.nunique(axis=1) > 1].rename_axis("Setting")


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
