"""Figures and names as text for people. No Streamlit here."""

from __future__ import annotations

import re

import pandas as pd

from core.report import kilobytes
from core.tasks import Metric


def safe(text: str) -> str:
    """Text from a file as plain text inside Markdown: whatever could format, link or break a line is disarmed."""
    flat = "".join(c if c.isprintable() else " " for c in text)
    return re.sub(r"([\\`*_{}\[\]()#+\-.!|<>~$:&])", r"\\\1", flat)


def units(width: int) -> str:
    """`1 unit`, `24 units`."""
    return f"{width:,} unit" + ("" if width == 1 else "s")


def milliseconds(ms: float) -> str:
    """A duration: `0.03 ms`."""
    return f"{ms:.2g} ms" if ms < 100 else f"{ms:,.0f} ms"


def nearest_time(times: dict[int, float], width: int) -> str:
    """Time of one prediction at the measured width nearest to `width` (by ratio), or nothing."""
    if not times:
        return ""
    near = min(times, key=lambda measured: max(measured / width, width / measured))
    return milliseconds(times[near])


def readouts(metrics: pd.DataFrame, metric: Metric, times: dict[int, float]) -> list[dict[str, str | int]]:
    """What the live slider says at each size, ready to show, so that the browser formats nothing itself."""
    name = metric.name
    full = metrics[name].iloc[-1]
    shown: list[dict[str, str | int]] = []
    columns = ("width", "params", "bytes", name, f"{name}_low", f"{name}_high")
    for width, params, size, value, low, high in zip(*(metrics[c].tolist() for c in columns), strict=True):
        change = metric.format_difference(value, full)
        shown.append(
            {
                "width": width,
                "units": units(width),
                "value": metric.format(value),
                "interval": metric.format_interval(low, high),
                "change": "as good as full size" if change == "the same" else f"{change} full size",
                "params": f"{params:,}",
                "size": kilobytes(size),
                "share": f"{100 * size / metrics['bytes'].iloc[-1]:.2g} % of full size",
                "time": nearest_time(times, width),
            }
        )
    return shown


def table(metrics: pd.DataFrame, metric: Metric, widths: list[int]) -> pd.DataFrame:
    """The chart's figures as a table with units in its headings."""
    rows = metrics[metrics["width"].isin(widths)]
    name = metric.name
    return pd.DataFrame(
        {
            "Units": rows["width"],
            "Parameters": [f"{n:,}" for n in rows["params"]],
            "File": [kilobytes(n) for n in rows["bytes"]],
            metric.label: [metric.format(v) for v in rows[name]],
            "95 % interval": [
                metric.format_interval(low, high)
                for low, high in zip(rows[f"{name}_low"], rows[f"{name}_high"], strict=True)
            ],
        }
    )
