"""Parts that all charts share: colours, shapes, names as text, and a layout. Plain Plotly dicts, no Streamlit here."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from app.charts.axes import log_ticks
from app.words import short

# The hues of Okabe and Ito's palette, far enough apart in lightness to be told apart under the three kinds of colour
# blindness; dashes and symbols tell the curves apart without any colour.
LIGHT = ("#0072B2", "#B35900", "#00431E", "#6A1157")
DARK = ("#56B4E9", "#E69F00", "#C8F2DB", "#B8527F")
DASHES = ("solid", "dash", "dot", "dashdot")
SYMBOLS = ("circle", "square", "diamond", "triangle-up")
# Of the light and the dark theme, as all pairs below:
PAPER = ("#FFFFFF", "#11161C")
INK = ("#101317", "#E8EDF2")
GREY = ("#666666", "#AAAAAA")
WORSE = ("#E8833A", "#A3500F")  # light enough, or dark enough, for the numbers that stand on it
BETTER = ("#5AA7DB", "#1F6FA8")
HEIGHT = 400

Figure = dict[str, Any]


def palette(dark: bool) -> tuple[str, ...]:
    """Line colours with enough contrast on the theme's background."""
    return DARK if dark else LIGHT


def plain(text: str) -> str:
    """A name as text for Plotly, which reads HTML tags and entities and fills in `%{...}`; shortened where long."""
    escaped = short(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return escaped.replace("{", "&#123;").replace("$", "&#36;")


def layout(across: str, up: str, height: int = HEIGHT) -> dict[str, Any]:
    """Both axes with their titles, which stay where they are, and the legend below."""
    return {
        "height": height,
        "margin": {"l": 10, "r": 10, "t": 10, "b": 10},
        "xaxis": {"title": {"text": across}, "automargin": True, "fixedrange": True},
        "yaxis": {"title": {"text": up}, "automargin": True, "fixedrange": True},
        "legend": {"orientation": "h", "y": -0.24, "x": 0, "yanchor": "top"},
        "hovermode": "closest",
        "dragmode": False,  # a drag on a phone scrolls the page
        "uirevision": "kept",
    }


def log_axis(low: float, high: float) -> dict[str, Any]:
    """An axis from `low` to `high` (both above 0) on a log scale, for `layout(...)["xaxis"] |=`."""
    values, labels = log_ticks(low, high)
    return {
        "type": "log",
        "range": [math.log10(low), math.log10(high)],
        "tickmode": "array",
        "tickvals": values,
        "ticktext": labels,
        "tickangle": 0,
    }


def error_bars(value: np.ndarray, low: np.ndarray, high: np.ndarray, colour: str, width: int = 4) -> dict[str, Any]:
    """The intervals around marks, for a trace's `error_x` or `error_y`; `width` is in pixels, of the ends."""
    return {
        "type": "data",
        "symmetric": False,
        "array": (high - value).tolist(),
        "arrayminus": (value - low).tolist(),
        "color": colour,
        "thickness": 1.5,
        "width": width,
    }


def named_axis(names: list[str]) -> dict[str, Any]:
    """An axis of rows or columns with a name each, the first of which lies at 0."""
    return {
        "tickmode": "array",
        "tickvals": list(range(len(names))),
        "ticktext": names,
        "showgrid": False,
        "zeroline": False,
    }
