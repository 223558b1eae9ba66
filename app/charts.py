"""Charts as plain Plotly dicts: building them as graph objects takes fifty times longer. No Streamlit here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from app.words import units
from core.frontier import frontier
from core.report import kilobytes
from core.tasks import Metric

# Okabe and Ito's palette, told apart under the three kinds of colour blindness; dashes and symbols tell it without.
LIGHT = ("#0072B2", "#B35900", "#007A5A", "#A3437A")
DARK = ("#56B4E9", "#E69F00", "#2DC7A0", "#E08FC0")
DASHES = ("solid", "dash", "dot", "dashdot")
SYMBOLS = ("circle", "square", "diamond", "triangle-up")
HEIGHT = 380

Figure = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The budget as drawn: sizes above, or values below, are out of it."""

    max_bytes: float | None = None
    at_least: float | None = None


def palette(dark: bool) -> tuple[str, ...]:
    """Line colours with enough contrast on the theme's background."""
    return DARK if dark else LIGHT


def size_curve(metrics: pd.DataFrame, metric: Metric, picked: int, limits: Limits, dark: bool) -> Figure:
    """The metric over parameters (log axis): interval as a band, frontier as a line, the picked size as a star."""
    x, y = metrics["params"].to_numpy(float), _shown(metrics[metric.name], metric)
    colour = palette(dark)[0]
    best = frontier(metrics, metric)
    row = int(np.flatnonzero(metrics["width"].to_numpy() == picked)[0])
    data = [
        *_band(metrics, metric, colour, "95 % interval"),
        {
            "type": "scatter",
            "mode": "markers",
            "name": "every size",
            "x": x.tolist(),
            "y": y.tolist(),
            "customdata": metrics["width"].tolist(),
            "text": _hover(metrics, metric),
            "hovertemplate": "%{text}<extra></extra>",
            "marker": {"color": colour, "size": 5, "opacity": 0.45},
            "selected": {"marker": {"opacity": 0.45}},
            "unselected": {"marker": {"opacity": 0.45}},
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
        {
            "type": "scatter",
            "mode": "markers",
            "name": f"picked: {units(picked)}",
            "x": [x[row]],
            "y": [y[row]],
            "customdata": [picked],
            "text": [_hover(metrics.iloc[[row]], metric)[0]],
            "hovertemplate": "%{text}<extra></extra>",
            "marker": {
                "color": palette(dark)[1],
                "size": 18,
                "symbol": "star",
                "line": {"width": 1.5, "color": "#000000" if not dark else "#ffffff"},
            },
            "unselected": {"marker": {"opacity": 1}},
        },
    ]
    figure = {"data": data, "layout": _layout(metric, "Parameters (numbers in the model), log scale")}
    _shade(figure, metrics, metric, limits, dark)
    return figure


def comparison(
    runs: list[tuple[str, pd.DataFrame]], metric: Metric, picked: list[int | None], against: str, dark: bool
) -> Figure:
    """Several runs' curves with their intervals over `against` ("bytes" or "width"), and each one's picked size."""
    data: list[dict[str, Any]] = []
    for k, (name, metrics) in enumerate(runs):
        colour = palette(dark)[k]
        scale = 1e3 if against == "bytes" else 1.0
        x = (metrics[against].to_numpy(float) / scale).tolist()
        data += _band(metrics, metric, colour, name, x=x, legend=False)
        data.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": _plain(name),
                "legendgroup": str(k),
                "x": x,
                "y": _shown(metrics[metric.name], metric).tolist(),
                "text": _hover(metrics, metric),
                "hovertemplate": "%{text}<extra>" + _plain(name) + "</extra>",
                "line": {"color": colour, "width": 2.5, "dash": DASHES[k]},
            }
        )
        if picked[k] is not None:
            row = int(np.flatnonzero(metrics["width"].to_numpy() == picked[k])[0])
            data.append(
                {
                    "type": "scatter",
                    "mode": "markers",
                    "name": _plain(name),
                    "legendgroup": str(k),
                    "showlegend": False,
                    "x": [x[row]],
                    "y": [float(_shown(metrics[metric.name], metric)[row])],
                    "hoverinfo": "skip",
                    "marker": {"color": colour, "size": 13, "symbol": SYMBOLS[k], "line": {"width": 1.5}},
                }
            )
    title = "File size in kB, log scale" if against == "bytes" else "Units (width), log scale"
    return {"data": data, "layout": _layout(metric, title)}


def _band(
    metrics: pd.DataFrame, metric: Metric, colour: str, name: str, x: list[float] | None = None, legend: bool = True
) -> list[dict[str, Any]]:
    x = metrics["params"].tolist() if x is None else x
    low, high = (_shown(metrics[f"{metric.name}_{end}"], metric).tolist() for end in ("low", "high"))
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return [
        {
            "type": "scatter",
            "mode": "lines",
            "name": _plain(name),
            "x": x + x[::-1],
            "y": high + low[::-1],
            "fill": "toself",
            "fillcolor": f"rgba({red},{green},{blue},0.18)",
            "line": {"width": 0},
            "hoverinfo": "skip",
            "showlegend": legend,
        }
    ]


def _shade(figure: Figure, metrics: pd.DataFrame, metric: Metric, limits: Limits, dark: bool) -> None:
    """Grey over what the budget leaves out, with a dashed edge."""
    grey = "rgba(255,255,255,0.10)" if dark else "rgba(0,0,0,0.08)"
    edge = {"width": 1.5, "dash": "dash", "color": "#bbbbbb" if dark else "#666666"}
    shapes = figure["layout"]["shapes"]
    if limits.max_bytes is not None:
        inside = metrics[metrics["bytes"] <= limits.max_bytes]
        start = float(inside["params"].iloc[-1] if len(inside) else metrics["params"].iloc[0])
        end = float(metrics["params"].iloc[-1])
        if start < end:
            box = {"type": "rect", "xref": "x", "yref": "paper", "y0": 0, "y1": 1, "layer": "below"}
            shapes.append({**box, "x0": start, "x1": end, "fillcolor": grey, "line": {"width": 0}})
            shapes.append({**box, "type": "line", "x0": start, "x1": start, "line": edge})
    if limits.at_least is not None:
        level = limits.at_least * metric.scale
        shapes.append(
            {"type": "line", "xref": "paper", "yref": "y", "x0": 0, "x1": 1, "y0": level, "y1": level, "line": edge}
        )


def _layout(metric: Metric, title: str) -> dict[str, Any]:
    return {
        "height": HEIGHT,
        "margin": {"l": 10, "r": 10, "t": 10, "b": 10},
        "xaxis": {"type": "log", "title": {"text": title}, "automargin": True, "dtick": 1},
        "yaxis": {"title": {"text": f"{metric.label} ({metric.unit.strip()})"}, "automargin": True},
        "legend": {"orientation": "h", "y": -0.28, "x": 0, "yanchor": "top"},
        "hovermode": "closest",
        "dragmode": False,  # a drag on a phone scrolls the page
        "clickmode": "event+select",
        "shapes": [],
        "uirevision": "kept",
    }


def _shown(values: pd.Series, metric: Metric) -> np.ndarray:
    return np.round(values.to_numpy(float) * metric.scale, 6)


def _hover(metrics: pd.DataFrame, metric: Metric) -> list[str]:
    columns = ("width", "params", "bytes", metric.name)
    rows = zip(*(metrics[c].tolist() for c in columns), strict=True)
    return [f"{units(w)}<br>{p:,} parameters, {kilobytes(b)}<br>{metric.format(v)}" for w, p, b, v in rows]


def _plain(text: str) -> str:
    """Plotly reads a few HTML tags in names; a run's name is none of them."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
