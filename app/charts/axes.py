"""The range of an axis that a chart shows, and its ticks. No Streamlit here."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from core.tasks.base import Metric

CLOSEST_TICKS = 0.08  # of the axis: a label's width on a phone
CLOSE_UP = 0.2  # of the range from the worst to the best size
WORTH_CROPPING = 0.5  # of the whole axis; a close-up that needs more hides sizes for little
FEW_SIZES = 8  # all of so few are shown


@dataclass(frozen=True, kw_only=True)
class View:
    """The stretch of the metric's axis that is drawn, in shown units, and how many sizes of each run lie outside."""

    low: float
    high: float
    outside: tuple[int, ...]

    @property
    def cropped(self) -> bool:
        """Whether anything lies outside."""
        return any(self.outside)


def view(
    curves: Sequence[pd.DataFrame],
    metric: Metric,
    picked: Sequence[int | None],
    *,
    whole: bool = False,
    also: pd.DataFrame | None = None,
) -> View:
    """The close-up that shows differences between useful sizes, or everything.

    The smallest sizes are so much worse that an axis with room for them flattens the rest to a line. The close-up
    holds the sizes in the best fifth of the range and every picked one, each with its interval. Where it would not at
    least double the scale, nothing is left out. It reaches up to single points beside the curves, `also`, too.
    """
    sign = 1 if metric.higher_is_better else -1
    values = [sign * shown(frame[metric.name], metric) for frame in curves]
    ends = [[sign * shown(frame[f"{metric.name}_{end}"], metric) for end in ("low", "high")] for frame in curves]
    lows, highs = [np.minimum(*pair) for pair in ends], [np.maximum(*pair) for pair in ends]
    worst, best = min(low.min() for low in lows), max(high.max() for high in highs)
    if also is not None and len(also):
        best = max(best, *((sign * shown(also[f"{metric.name}_{end}"], metric)).max() for end in ("low", "high")))
    least, most = min(v.min() for v in values), max(v.max() for v in values)
    floor = best
    for frame, value, low, width in zip(curves, values, lows, picked, strict=True):
        kept = (value >= most - CLOSE_UP * (most - least)) | (frame["width"].to_numpy() == width)
        floor = min([floor, *low[kept]])
    few = all(len(frame) < FEW_SIZES for frame in curves)
    if whole or few or best - floor > WORTH_CROPPING * (best - worst):
        floor = worst
    pad = 0.04 * (best - floor) or (0.05 * abs(best) if metric.significant else 0) or 0.5
    bottom, top = float(floor - pad), float(best + pad)
    outside = tuple(int((value < bottom).sum()) for value in values)
    return View(low=min(sign * bottom, sign * top), high=max(sign * bottom, sign * top), outside=outside)


def across(x: Sequence[float] | np.ndarray | pd.Series) -> tuple[float, float]:
    """The ends of the axis that holds all of `x`, as powers of ten."""
    low, high = math.log10(min(x)), math.log10(max(x))
    pad = 0.03 * (high - low) or 0.1
    return low - pad, high + pad


def log_ticks(low: float, high: float) -> tuple[list[float], list[str]]:
    """Ticks of a log axis from `low` to `high` (both above 0), as many as leave room for their labels, and these."""
    room = CLOSEST_TICKS * math.log10(high / low)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ((1, 2, 3, 4, 5, 6, 7, 8, 9), (1, 2, 3, 5), (1, 2, 5), (1, 3), (1,)):
        inside = [step * 10.0**k for k in powers for step in steps if low <= step * 10.0**k <= high]
        if all(math.log10(b / a) >= room for a, b in itertools.pairwise(inside)):
            break
    inside = inside or [math.sqrt(low * high)]
    return inside, [_tick(v) for v in inside]


def _tick(value: float) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


def shown(values: pd.Series, metric: Metric) -> np.ndarray:
    """A column of the metric in the units that people read."""
    found = values.to_numpy(float) * metric.scale
    return found if metric.significant else np.round(found, 6)
