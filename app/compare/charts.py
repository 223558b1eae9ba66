"""Charts of the parts of Compare runs, as plain Plotly dicts: label by label, and the best run at every size."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from app import words
from app.charts.axes import shown
from app.charts.style import GREY, INK, SYMBOLS, Figure, error_bars, layout, log_axis, named_axis, palette, plain
from app.compare.per_class import ByClass, order
from core.tasks.base import Metric
from core.tasks.classification import ACCURACY
from core.utils.formatting import kilobytes

MOST_LABELS = 20  # in the chart; the table has all
ROW, AROUND = 34, 110  # pixels of a label, and of axis and legend
SPREAD = 0.5  # of a row that the runs of a label share
HEIGHT = 360


def label_by_label(found: ByClass, dark: bool) -> Figure:
    """A row for each label, a mark with its interval for each run; the label they differ most on is on top."""
    rows = order(found)[:MOST_LABELS]
    places = np.arange(len(rows), dtype=float)
    shifts = SPREAD * (np.arange(len(found.names)) / max(len(found.names) - 1, 1) - 0.5)
    data = []
    for i, name in enumerate(found.names):
        value, low, high = (ACCURACY.scale * part[i, rows] for part in (found.values, found.low, found.high))
        colour = palette(dark)[i]
        said = [
            f"{plain(found.labels[k])}<br>{ACCURACY.format(found.values[i, k])} "
            f"({ACCURACY.format_interval(found.low[i, k], found.high[i, k])})"
            for k in rows
        ]
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": plain(name),
                "x": value.tolist(),
                "y": (places + shifts[i]).tolist(),
                "error_x": error_bars(value, low, high, colour, width=3),
                "text": said,
                "hovertemplate": "%{text}",
                "cliponaxis": False,
                "marker": {"color": colour, "size": 10, "symbol": SYMBOLS[i]},
            }
        )
    drawn = layout("Right on the examples of this label (%)", "", AROUND + ROW * max(len(rows), 1))
    drawn["xaxis"] |= {"range": [-2, 102], "zeroline": False}
    drawn["yaxis"] |= named_axis([plain(found.labels[k]) for k in rows]) | {"range": [len(rows) - 0.5, -0.5]}
    drawn["legend"] |= {"y": 1, "yanchor": "bottom"}
    return {"data": data, "layout": drawn}


def best_of_all(best: pd.DataFrame, metric: Metric, budget: float, dark: bool) -> Figure:
    """The best figure at every file size as steps, marked by run: the runs that are best most often have a shape."""
    x, y = best["bytes"].to_numpy(float) / 1e3, shown(best[metric.name], metric)
    grey = GREY[dark]
    names = best["run"].value_counts().index.tolist()
    end = max(float(x[-1]), budget / 1e3) * 1.15
    data: list[dict[str, Any]] = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": "best of all runs",
            "x": [*x.tolist(), end],
            "y": [*y.tolist(), float(y[-1])],
            "line": {"color": grey, "width": 1.5, "shape": "hv"},
            "hoverinfo": "skip",
        }
    ]
    hover = [
        f"{plain(row['run'])}<br>{words.units(int(row['width']))}, {kilobytes(row['bytes'])}<br>"
        f"{metric.format(row[metric.name])}"
        for row in best.to_dict("records")
    ]
    told = len(SYMBOLS) if len(names) <= len(SYMBOLS) else len(SYMBOLS) - 1
    for k, name in enumerate(names[:told] + (["other runs"] if len(names) > told else [])):
        alone = k < told
        rows = np.flatnonzero((best["run"] == name) if alone else best["run"].isin(names[told:]))
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": plain(name),
                "x": x[rows].tolist(),
                "y": y[rows].tolist(),
                "text": [hover[row] for row in rows],
                "hovertemplate": "%{text}<extra></extra>",
                "cliponaxis": False,
                "marker": {"color": palette(dark)[k] if alone else grey, "size": 8, "symbol": SYMBOLS[k]},
            }
        )
    drawn, at = layout("File size in kB, log scale", words.axis(metric), HEIGHT), budget / 1e3
    drawn["xaxis"] |= log_axis(min(float(x[0]), at) / 1.15, end)
    line = {"width": 1.5, "dash": "dash", "color": INK[dark]}
    drawn["shapes"] = [
        {"type": "line", "xref": "x", "yref": "paper", "x0": at, "x1": at, "y0": 0, "y1": 1, "line": line}
    ]
    return {"data": data, "layout": drawn}
