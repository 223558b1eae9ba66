"""Tables of Compare runs: the figures side by side, and how the runs were made where that differs. No Streamlit."""

from __future__ import annotations

from typing import Any

import pandas as pd

from app import words
from app.store.predictions import Comparison, Measured
from core.sweep.report import kilobytes


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
    """What the chart says: some sizes of each run, spread evenly over its axis."""
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
