"""Fields for a figure that is asked for: bounds, start and step for each kind of figure, and the widget itself."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import streamlit as st

from core.tasks.base import Metric

LEAST, MOST = 0.1, 1e9  # of a size in kB, or of a figure whose unit tells its range
SMALLEST, LARGEST = 1e-12, 1e15  # of a figure that may be of any size
QUICKEST, SLOWEST = 1e-6, 1e6  # of a time in ms
UNITS = {"kB": 1.0, "MB": 1e3}  # of a file, in kB


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


def size_field(size: float, unit: str = "kB") -> Field:
    """For a file's size in `unit`; starts where `size`, in bytes, fits."""
    in_kb = UNITS[unit]
    start = math.ceil(size / 1e3) / in_kb
    return Field(low=LEAST / in_kb, high=MOST / in_kb, start=max(start, LEAST / in_kb), step=1.0 if in_kb == 1 else 0.1)


def time_field(ms: float) -> Field:
    """For a time in ms; starts where `ms` fits."""
    return Field(low=QUICKEST, high=SLOWEST, start=_rounded_up(ms, 2), step=_place(ms, 1))


def metric_field(metric: Metric, value: float) -> Field:
    """For the metric; starts where `value`, as stored, fits: rounded to the worse side."""
    figure = value * metric.scale
    rounded = math.floor if metric.higher_is_better else math.ceil
    low, high, step = LEAST, 100.0 if metric.percent else MOST, 0.5
    unit = 1.0
    if metric.significant:
        low, high = SMALLEST, LARGEST
        unit = step = _place(figure, 2)
    start = float(f"{rounded(figure / unit) * unit:.12g}") if math.isfinite(figure) else low
    return Field(low=low, high=high, start=min(max(start, low), high), step=step)


def loss_field(metric: Metric, lost: float, full: float) -> Field:
    """For what may be lost against full size; starts where `lost` fits. Both are as stored, `full` is its figure."""
    _, high = loss_bounds(metric)
    if metric.significant:  # of any size: a hundredth of the figure is a small loss
        amount = max(lost, 0.01 * abs(full)) * metric.scale
        step = _place(amount, 1)
    else:
        amount, step = max(lost * metric.scale, 0.0), 0.5 if metric.percent else 0.1
    start = float(f"{math.ceil(amount / step - 1e-9) * step:.12g}") if math.isfinite(amount) else step
    return Field(low=0.0, high=high, start=min(max(start, 0.0), high), step=step)


def bounds(metric: Metric) -> tuple[float, float]:
    """What can be meant by a figure of the metric."""
    field = metric_field(metric, 1 / metric.scale)
    return field.low, field.high


def loss_bounds(metric: Metric) -> tuple[float, float]:
    """What can be meant by a loss of the metric."""
    return 0.0, 100.0 if metric.percent else (LARGEST if metric.significant else MOST)


def question(metric: Metric) -> str:
    """`Keep at least a certain accuracy`, `At most a certain typical error`."""
    wish = f"keep {metric.limit}" if metric.higher_is_better else metric.limit
    return f"{wish[0].upper()}{wish[1:]} a certain {metric.label.lower()}"


def field_label(metric: Metric) -> str:
    """`Least accuracy, in %`, `Largest typical error`."""
    return f"{'Least' if metric.higher_is_better else 'Largest'} {metric.label.lower()}{in_unit(metric)}"


def loss_label(metric: Metric) -> str:
    """`Largest loss, in points`; nothing after it where the metric has no unit of its own."""
    return "Largest loss" + (f", in {metric.difference_unit}" if metric.difference_unit else "")


def in_unit(metric: Metric) -> str:
    """`, in %`; nothing where the metric has no unit of its own."""
    unit = metric.unit.strip()
    return f", in {unit}" if unit else ""


def show(
    label: str,
    entry: Field,
    value: float,
    *,
    key: str,
    on_change: Callable[..., None],
    args: tuple[Any, ...] = (),
    help: str | None = None,
) -> float:
    """Draw the field with the figure nearest to `value` that it takes in it, and give that figure."""
    st.session_state[key] = entry.clip(value)
    st.number_input(
        label,
        value=None,  # so that an emptied field comes as None and not as the lowest figure
        min_value=entry.low,
        max_value=entry.high,
        step=entry.step,
        format="%g",
        key=key,
        help=help,
        on_change=on_change,
        args=args,
        width=260,
    )
    return float(st.session_state[key])


def _place(value: float, digit: int) -> float:
    """The place value of a figure's n-th significant digit: that of the 2nd of 314 is 10."""
    tens = math.floor(math.log10(abs(value))) if value and math.isfinite(value) else 0
    return 10.0 ** (tens - digit + 1)


def _rounded_up(value: float, digits: int) -> float:
    place = _place(value, digits)
    return float(f"{math.ceil(value / place - 1e-9) * place:.12g}")
