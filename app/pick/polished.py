"""Display of polished sizes: their marks on the chart, and their gain in words. No Streamlit here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from app import words
from app.charts.axes import View, shown
from app.charts.curves import EDGE
from app.charts.style import INK, error_bars, palette
from app.store.polished import differs
from core.runs.run import Run
from core.sweep.budget import recommended
from core.tasks.base import Metric
from core.utils.formatting import kilobytes

TOGETHER = "As trained together"
ALONE = {"polish": "Trained on by itself", "refit": "Last layer fitted anew"}  # by how it was made
LEGEND = "trained on by itself"
EXPLAINED = (
    "A diamond is a size that was trained on by itself once it was cut, which is more training for that size alone. "
    "Pick that size to take it."
)


def marks(table: pd.DataFrame, metric: Metric, seen: View, dark: bool) -> list[dict[str, Any]]:
    """Diamonds with their intervals over the curve; an empty one at the edge lies beyond what is drawn."""
    if table.empty:
        return []
    value = shown(table[metric.name], metric)
    order = np.argsort((value < seen.low) | (value > seen.high), kind="stable")  # the legend shows the first one
    table = table.iloc[order]
    value, low, high = (shown(table[f"{metric.name}{end}"], metric) for end in ("", "_low", "_high"))
    out = (value < seen.low) | (value > seen.high)
    edge, colour = EDGE * (seen.high - seen.low), palette(dark)[3]
    return [
        {
            "type": "scatter",
            "mode": "markers",
            "name": LEGEND,
            "x": table["params"].to_numpy(float).tolist(),
            "y": np.clip(value, seen.low + edge, seen.high - edge).tolist(),
            "error_y": error_bars(value, np.where(out, value, low), np.where(out, value, high), colour),
            "customdata": table["width"].tolist(),
            "text": [_hover(row, metric) for row in table.to_dict("records")],
            "hovertemplate": "%{text}<extra></extra>",
            "cliponaxis": False,
            "marker": {
                "color": colour,
                "size": 12,
                "symbol": np.where(out, "diamond-open", "diamond").tolist(),
                "line": {"width": 1.5, "color": INK[dark]},
            },
        }
    ]


def in_table(table: pd.DataFrame, rows: pd.DataFrame, metric: Metric) -> pd.DataFrame:
    """The chart's table (`words.table`) with a row for each of `rows`, and a column that tells them apart."""
    alone = words.table(rows, metric)
    alone.insert(1, "How", [ALONE[method].lower() for method in rows["method"]])
    together = table.copy()
    together.insert(1, "How", TOGETHER.lower())
    return pd.concat([together, alone]).sort_values("Units", kind="stable", ignore_index=True)


def made(row: Mapping[str, Any]) -> str:
    """How one came about, and what that took, as a sentence."""
    seconds = f"{row['seconds']:,.1f} s" if row["seconds"] < 10 else f"{row['seconds']:,.0f} s"
    if row["method"] == "refit":
        return f"Its last layer was fitted anew by itself in {seconds}."
    passes = f"{row['epochs']:,} more pass{'' if row['epochs'] == 1 else 'es'} over the data"
    return f"It was trained on by itself for {passes}, in {seconds}."


def figures(row: Mapping[Any, Any], metric: Metric) -> str:
    """`88.3 % accuracy (95 % interval 87.6 to 88.9 %) in 23 kB`."""
    interval = metric.format_interval(row[f"{metric.name}_low"], row[f"{metric.name}_high"])
    return f"{words.figure_of(metric, row[metric.name])} (95 % interval {interval}) in {kilobytes(row['bytes'])}"


def gain(run: Run, row: Mapping[str, Any]) -> str:
    """Against the same size as it was trained together: `0.9 points above what it was, which may be chance`."""
    said, told = _change(row, run.task.metric), differs(run, int(row["width"]))
    if told is None:
        return said
    return f"{said}, {f'and the test {run.task.example}s can tell' if told else 'which may be chance'}"


def _change(row: Mapping[Any, Any], metric: Metric) -> str:
    change = words.difference(metric, row[metric.name], row["unpolished"])
    if change in words.SAID_AS_THEY_ARE:
        return "as good as it was" if change == "the same" else change
    return f"{change} what it was"


def how_to(run: Run, metrics: pd.DataFrame) -> str:
    """How one is made, as Markdown, in one sentence."""
    width = int(metrics["width"].iloc[recommended(metrics, run.task.metric)])
    command = f"python -m core polish {run.path} --width {width} --epochs 3"
    return (
        "Every size is cut from the one network as it is. A single size can be trained on by itself afterwards, which "
        f"takes a while and often makes it better; it is then shown here beside the others. For {words.units(width)}, "
        f"type in a terminal: {words.safe(command)}"
    )


def _hover(row: Mapping[Any, Any], metric: Metric) -> str:
    interval = metric.format_interval(row[f"{metric.name}_low"], row[f"{metric.name}_high"])
    return (
        f"{words.units(int(row['width']))}, {ALONE[row['method']].lower()}<br>"
        f"{metric.format(row[metric.name])} (95 % interval {interval})<br>{_change(row, metric)}"
    )
