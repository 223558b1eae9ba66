"""The fields for a figure that is asked for: how low and high it may be, where it starts, what a step is.

No Streamlit here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from core.tasks import Metric

LEAST, MOST = 0.1, 1e9  # of a size in kB, or of a figure whose unit tells its range
SMALLEST, LARGEST = 1e-12, 1e15  # of a figure that may be of any size


@dataclass(frozen=True, kw_only=True)
class Field:
    """What a number field takes, in shown units."""

    low: float
    high: float
    start: float
    step: float

    def clip(self, value: float) -> float:
        """The nearest that the field takes."""
        return min(max(value, self.low), self.high)


def size_field(size: float) -> Field:
    """For a file's size in kB; starts where `size`, in bytes, fits."""
    return Field(low=LEAST, high=MOST, start=float(math.ceil(size / 1e3)), step=1.0)


def metric_field(metric: Metric, value: float) -> Field:
    """For the metric; starts where `value`, as stored, fits: rounded to the worse side."""
    figure = value * metric.scale
    rounded = math.floor if metric.higher_is_better else math.ceil
    low, high, step = LEAST, 100.0 if metric.percent else MOST, 0.5
    unit = 1.0
    if metric.significant:
        low, high = SMALLEST, LARGEST
        tens = math.floor(math.log10(abs(figure))) if figure and math.isfinite(figure) else 0
        unit = step = 10.0 ** (tens - 1)  # the second digit
    start = float(f"{rounded(figure / unit) * unit:.12g}") if math.isfinite(figure) else low
    return Field(low=low, high=high, start=min(max(start, low), high), step=step)


def bounds(metric: Metric) -> tuple[float, float]:
    """What can be meant by a figure of the metric."""
    field = metric_field(metric, 1 / metric.scale)
    return field.low, field.high


def question(metric: Metric) -> str:
    """`Keep at least a certain accuracy`, `At most a certain typical error`."""
    wish = f"keep {metric.limit}" if metric.higher_is_better else metric.limit
    return f"{wish[0].upper()}{wish[1:]} a certain {metric.label.lower()}"


def field_label(metric: Metric) -> str:
    """`Least accuracy, in %`, `Largest typical error`."""
    return f"{'Least' if metric.higher_is_better else 'Largest'} {metric.label.lower()}{in_unit(metric)}"


def in_unit(metric: Metric) -> str:
    """`, in %`; nothing where the metric has no unit of its own."""
    unit = metric.unit.strip()
    return f", in {unit}" if unit else ""
