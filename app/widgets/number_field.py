"""Fields for a figure that is asked for: bounds, start and step for each kind of figure, and the widget itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import streamlit as st

from app import words
from app.widgets.read_number import read_number, write_number
from core.errors import UserError
from core.tasks.base import Metric

LEAST, MOST = 0.1, 1e9  # of a size in kB, or of a figure whose unit tells its range
SMALLEST, LARGEST = 1e-12, 1e15  # of a figure that may be of any size
QUICKEST, SLOWEST = 1e-6, 1e6  # of a time in ms
UNITS = {"kB": 1.0, "MB": 1e3}  # of a file, in kB


@dataclass(frozen=True, kw_only=True)
class Field:
    """Bounds and start of a typed figure, in shown units, and the units that may follow it."""

    low: float
    high: float
    start: float
    units: Mapping[str, float] = field(default_factory=dict)  # each as a multiple of the field's own
    whole: bool = False  # whether only whole numbers are meant

    def clip(self, value: float) -> float:
        """Return the nearest figure within the bounds."""
        return min(max(value, self.low), self.high)

    def read(self, text: str) -> float:
        """Return the figure that a text means. Raises UserError where it means none, or one out of bounds."""
        value = read_number(text, self.units)
        if not self.low <= value <= self.high:
            low, high = (f"{end:,.12g}" for end in (self.low, self.high))
            raise UserError(f"{text.strip()!r} is out of bounds; write a figure from {low} to {high}")
        if self.whole and not value.is_integer():
            raise UserError(f"{text.strip()!r} is not a whole number")
        return value


def size_field(size: float, unit: str = "kB") -> Field:
    """For a file's size in `unit`; starts where `size`, in bytes, fits."""
    in_kb = UNITS[unit]
    least, most = LEAST / in_kb, MOST / in_kb
    units = {name: size / in_kb for name, size in {**UNITS, "GB": 1e6, "bytes": 1e-3, "B": 1e-3}.items()}
    return Field(low=least, high=most, start=max(math.ceil(size / 1e3) / in_kb, least), units=units)


def time_field(ms: float) -> Field:
    """For a time in ms; starts where `ms` fits."""
    units = {"ms": 1.0, "s": 1e3, "\u00b5s": 1e-3, "us": 1e-3}
    return Field(low=QUICKEST, high=SLOWEST, start=_rounded_up(ms, 2), units=units)


def metric_field(metric: Metric, value: float) -> Field:
    """For the metric; starts where `value`, as stored, fits: rounded to the worse side."""
    figure = value * metric.scale
    rounded = math.floor if metric.higher_is_better else math.ceil
    low, high, place = LEAST, 100.0 if metric.percent else MOST, 1.0
    if metric.significant:
        low, high, place = SMALLEST, LARGEST, _place(figure, 2)
    start = float(f"{rounded(figure / place) * place:.12g}") if math.isfinite(figure) else low
    return Field(low=low, high=high, start=min(max(start, low), high), units=_own_unit(metric.unit))


def loss_field(metric: Metric, lost: float, full: float) -> Field:
    """For what may be lost against full size; starts where `lost` fits. Both are as stored, `full` is its figure."""
    _, high = loss_bounds(metric)
    if metric.significant:  # of any size: a hundredth of the figure is a small loss
        amount = max(lost, 0.01 * abs(full)) * metric.scale
        step = _place(amount, 1)
    else:
        amount, step = max(lost * metric.scale, 0.0), 0.5 if metric.percent else 0.1
    start = float(f"{math.ceil(amount / step - 1e-9) * step:.12g}") if math.isfinite(amount) else step
    units = _own_unit(metric.difference_unit) | ({"point": 1.0, "%": 1.0} if metric.percent else {})
    return Field(low=0.0, high=high, start=min(max(start, 0.0), high), units=units)


def width_field(width: float) -> Field:
    """For a number of units; starts at `width`."""
    return Field(low=1.0, high=MOST, start=width, units={"units": 1.0, "unit": 1.0}, whole=True)


def bounds(metric: Metric) -> tuple[float, float]:
    """What can be meant by a figure of the metric."""
    entry = metric_field(metric, 1 / metric.scale)
    return entry.low, entry.high


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
    width: int | Literal["stretch"] = 260,
) -> float:
    """Draw the field and return the figure in it, which is the one that counts.

    A text that can't be read is refused in one sentence, and the figure before it stays in the field.

    Parameters
    ----------
    label : str
        Markdown over the field.
    entry : Field
        Bounds and units.
    value : float
        The figure to show; where it is out of bounds, the nearest one is shown.
    key : str
        The widget's key.
    on_change : Callable
        Called with `args` and the figure that was typed, or None where it was refused or the field was emptied.
    args : tuple
        First arguments of `on_change`.
    help : str, optional
        Markdown behind the question mark.
    width : int or "stretch"
        Of the field in pixels.

    Returns
    -------
    float
        The figure shown.
    """
    shown = write_number(entry.clip(value))
    st.session_state[key] = shown
    with st.container(width=width, gap="xsmall"):
        st.text_input(
            label,
            key=key,
            help=help,
            max_chars=100,
            on_change=_typed,
            args=(key, entry, on_change, args),
            width="stretch",
        )
        if refused := st.session_state.pop(f"{key}-refused", ""):
            st.error(f"{words.safe(refused)}\\. The field is back at {words.safe(shown)}\\.", icon=":material/error:")
    return read_number(shown)


def _typed(key: str, entry: Field, on_change: Callable[..., None], args: tuple[Any, ...]) -> None:
    text = str(st.session_state.get(key) or "")
    value = None
    try:
        value = entry.read(text) if text.strip() else None
    except UserError as error:
        st.session_state[f"{key}-refused"] = str(error)
    on_change(*args, value)


def _own_unit(unit: str) -> dict[str, float]:
    """The metric's own unit, which may follow the figure."""
    return {unit.strip(): 1.0} if unit.strip() else {}


def _place(value: float, digit: int) -> float:
    """The place value of a figure's n-th significant digit: that of the 2nd of 314 is 10."""
    tens = math.floor(math.log10(abs(value))) if value and math.isfinite(value) else 0
    return 10.0 ** (tens - digit + 1)


def _rounded_up(value: float, digits: int) -> float:
    place = _place(value, digits)
    return float(f"{math.ceil(value / place - 1e-9) * place:.12g}")
