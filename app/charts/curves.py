"""Charts as plain Plotly dicts: building them as graph objects takes fifty times longer. No Streamlit here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from app import words
from app.charts.axes import View, across, shown, view
from app.charts.style import DASHES, GREY, INK, SYMBOLS, Figure, layout, log_axis, palette, plain
from app.words import units
from core.sweep.budget import frontier
from core.tasks.base import Metric
from core.utils.formatting import kilobytes

EDGE = 0.02  # of the axis: how far inside what lies beyond it is put


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The budget as drawn: sizes above, or values below, are out of it; where time counts, some sizes are in it."""

    max_bytes: float | None = None
    at_least: float | None = None
    quick: tuple[int, ...] = ()  # the sizes that are known to answer in time


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a size lies on the drawn curve: 0 to 1 from the left and from below."""

    x: float
    y: float
    out: bool  # beyond the stretch that is drawn, so put at its edge


def size_curve(
    metrics: pd.DataFrame,
    metric: Metric,
    limits: Limits,
    dark: bool,
    *,
    whole: bool = False,
    also: pd.DataFrame | None = None,
) -> Figure:
    """The metric over parameters (log axis): interval as a band, frontier as a line, what a budget leaves out in grey.

    It is the same whichever size is picked: the picked one is marked over it in the browser (`places`), so that the
    mark follows the hand and the chart is never drawn anew. There is room for single points, `also`, over the curve.
    """
    seen = view([metrics], metric, [None], whole=whole, also=also)
    x, y = metrics["params"].to_numpy(float), shown(metrics[metric.name], metric)
    colour = palette(dark)[0]
    best = frontier(metrics, metric)
    hover = _hover(metrics, metric)
    data = [
        *_band(metrics, metric, colour, "95 % interval", x.tolist()),
        {
            "type": "scatter",
            "mode": "markers",
            "name": "every size",
            "x": x.tolist(),
            "y": y.tolist(),
            "customdata": metrics["width"].tolist(),
            "text": hover,
            "hovertemplate": "%{text}<extra></extra>",
            "marker": {"color": colour, "size": 6, "opacity": 0.55},
        },
        {
            "type": "scatter",
            "mode": "lines",
            "name": "best for its size",
            "x": x[best].tolist(),
            "y": y[best].tolist(),
            "hoverinfo": "skip",
            "line": {"color": colour, "width": 2.5},
        },
        *_quick(metrics, metric, limits, seen, dark),
        *_outside(metrics, metric, seen, colour, hover),
    ]
    figure = {"data": data, "layout": _layout(metric, seen, x, "Parameters (numbers in the model), log scale")}
    _shade(figure, metrics, metric, limits, seen, dark)
    return figure


def places(
    metrics: pd.DataFrame, metric: Metric, *, whole: bool = False, also: pd.DataFrame | None = None
) -> list[Place]:
    """Where each size lies on `size_curve`, row by row."""
    seen = view([metrics], metric, [None], whole=whole, also=also)
    left, right = across(metrics["params"])
    along = (np.log10(metrics["params"].to_numpy(float)) - left) / (right - left)
    up = (shown(metrics[metric.name], metric) - seen.low) / (seen.high - seen.low)
    return [
        Place(x=round(float(x), 5), y=round(min(max(float(y), EDGE), 1 - EDGE), 5), out=not 0 <= y <= 1)
        for x, y in zip(along, up, strict=True)
    ]


def comparison(
    runs: list[tuple[str, pd.DataFrame]],
    metric: Metric,
    picked: Sequence[int | None],
    against: str,
    dark: bool,
    *,
    whole: bool = False,
) -> Figure:
    """Several runs' curves with their intervals over `against` ("bytes" or "width"), and each one's picked size."""
    data: list[dict[str, Any]] = []
    places: list[float] = []
    seen = view([metrics for _, metrics in runs], metric, picked, whole=whole)
    for k, (name, metrics) in enumerate(runs):
        colour = palette(dark)[k]
        x = (metrics[against].to_numpy(float) / (1e3 if against == "bytes" else 1.0)).tolist()
        y = shown(metrics[metric.name], metric)
        places += x
        group = {"legendgroup": str(k), "name": plain(name)}
        data += [{**band, **group, "showlegend": False} for band in _band(metrics, metric, colour, name, x)]
        data.append(
            {
                "type": "scatter",
                "mode": "lines",
                **group,
                "x": x,
                "y": y.tolist(),
                "text": _hover(metrics, metric),
                "hovertemplate": "%{text}",  # the run's name stands beside it
                "line": {"color": colour, "width": 2.5, "dash": DASHES[k]},
            }
        )
        if picked[k] is not None:
            row = int(np.flatnonzero(metrics["width"].to_numpy() == picked[k])[0])
            ink = {"width": 1.5, "color": INK[dark]}
            data.append(
                {
                    "type": "scatter",
                    "mode": "markers",
                    **group,
                    "showlegend": False,
                    "x": [x[row]],
                    "y": [float(y[row])],
                    "hoverinfo": "skip",
                    "cliponaxis": False,
                    "marker": {"color": colour, "size": 13, "symbol": SYMBOLS[k], "line": ink},
                }
            )
    title = "File size in kB, log scale" if against == "bytes" else "Units, log scale"
    return {"data": data, "layout": _layout(metric, seen, places, title)}


def _band(metrics: pd.DataFrame, metric: Metric, colour: str, name: str, x: list[float]) -> list[dict[str, Any]]:
    low, high = (shown(metrics[f"{metric.name}_{end}"], metric).tolist() for end in ("low", "high"))
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return [
        {
            "type": "scatter",
            "mode": "lines",
            "name": plain(name),
            "x": x + x[::-1],
            "y": high + low[::-1],
            "fill": "toself",
            "fillcolor": f"rgba({red},{green},{blue},0.22)",
            "line": {"width": 1, "color": f"rgba({red},{green},{blue},0.45)"},
            "hoverinfo": "skip",
        }
    ]


def _quick(metrics: pd.DataFrame, metric: Metric, limits: Limits, seen: View, dark: bool) -> list[dict[str, Any]]:
    """Squares around the sizes that answer in time: time does not grow evenly with the size, so nothing is shaded."""
    rows = np.flatnonzero(metrics["width"].isin(limits.quick))
    if not len(rows):
        return []
    edge = EDGE * (seen.high - seen.low)
    y = np.clip(shown(metrics[metric.name], metric)[rows], seen.low + edge, seen.high - edge)
    return [
        {
            "type": "scatter",
            "mode": "markers",
            "name": "known to answer in time",
            "x": metrics["params"].to_numpy(float)[rows].tolist(),
            "y": y.tolist(),
            "hoverinfo": "skip",
            "cliponaxis": False,
            "marker": {"color": palette(dark)[2], "size": 13, "symbol": "square-open", "line": {"width": 2}},
        }
    ]


def _outside(metrics: pd.DataFrame, metric: Metric, seen: View, colour: str, hover: list[str]) -> list[dict[str, Any]]:
    """Open triangles at the edge for sizes out of view, which can be read there."""
    y = shown(metrics[metric.name], metric)
    rows = np.flatnonzero((y < seen.low) | (y > seen.high))
    if not len(rows):
        return []
    down = metric.higher_is_better
    edge = EDGE * (seen.high - seen.low)
    return [
        {
            "type": "scatter",
            "mode": "markers",
            "name": "below this view" if down else "above this view",
            "x": metrics["params"].to_numpy(float)[rows].tolist(),
            "y": [seen.low + edge if down else seen.high - edge] * len(rows),
            "customdata": metrics["width"].to_numpy()[rows].tolist(),
            "text": [hover[row] for row in rows],
            "hovertemplate": "%{text}<extra></extra>",
            "cliponaxis": False,
            "marker": {"color": colour, "size": 9, "symbol": f"triangle-{'down' if down else 'up'}-open"},
        }
    ]


def _shade(figure: Figure, metrics: pd.DataFrame, metric: Metric, limits: Limits, seen: View, dark: bool) -> None:
    """Grey over what the budget leaves out, with a dashed edge."""
    grey = "rgba(255,255,255,0.10)" if dark else "rgba(0,0,0,0.08)"
    edge = {"width": 1.5, "dash": "dash", "color": GREY[dark]}
    shapes = figure["layout"]["shapes"]
    if limits.max_bytes is not None:
        inside = metrics[metrics["bytes"] <= limits.max_bytes]
        first, last = float(metrics["params"].iloc[0]), float(metrics["params"].iloc[-1])
        start, end = (10.0**v for v in figure["layout"]["xaxis"]["range"])
        if len(inside):
            start = float(inside["params"].iloc[-1])
        if len(inside) < len(metrics) and first < last:
            box = {"xref": "x", "yref": "paper", "y0": 0, "y1": 1, "layer": "below"}
            shapes.append({**box, "type": "rect", "x0": start, "x1": end, "fillcolor": grey, "line": {"width": 0}})
            shapes.append({**box, "type": "line", "x0": start, "x1": start, "line": edge})
    if limits.at_least is not None:
        level = limits.at_least * metric.scale
        ends = (seen.low, min(level, seen.high)) if metric.higher_is_better else (max(level, seen.low), seen.high)
        box = {"xref": "paper", "yref": "y", "x0": 0, "x1": 1, "layer": "below"}
        if ends[0] < ends[1]:  # all of the view where nothing in it is good enough
            out = {"y0": ends[0], "y1": ends[1], "fillcolor": grey, "line": {"width": 0}}
            shapes.append({**box, "type": "rect", **out})
        if seen.low < level < seen.high:
            shapes.append({**box, "type": "line", "y0": level, "y1": level, "line": edge})


def _layout(metric: Metric, seen: View, x: Sequence[float] | np.ndarray, title: str) -> dict[str, Any]:
    found = layout(title, words.axis(metric))
    found["xaxis"] |= log_axis(*(10**end for end in across(x)))
    found["yaxis"]["range"] = [seen.low, seen.high]
    return found | {"shapes": []}


def _hover(metrics: pd.DataFrame, metric: Metric) -> list[str]:
    columns = ("width", "params", "bytes", metric.name)
    rows = zip(*(metrics[c].tolist() for c in columns), strict=True)
    return [f"{units(w)}<br>{p:,} parameters, {kilobytes(b)}<br>{metric.format(v)}" for w, p, b, v in rows]
