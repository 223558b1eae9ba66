"""Which size answers a budget. Works on a run's metrics; needs NumPy and pandas only.

Sizes are chosen on validation examples, and what a person is shown is measured on test examples:
a figure that picked its own winner would flatter it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from core.errors import UserError
from core.tasks import Metric

if TYPE_CHECKING:
    import pandas as pd


# Figures this close are equal: 0.8 - 0.1 is a hair above 0.7, and no two counts of examples differ by so little.
ROUNDING = 1e-9  # of 1, or of the figure itself where it may be of any size


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What must hold; any mix. `at_least` and `lose_at_most` are in the metric's stored unit (fractions)."""

    max_bytes: float | None = None
    at_least: float | None = None
    lose_at_most: float | None = None


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The width that answers a budget, or the closest there is."""

    width: int
    fits: bool
    row: int  # of the metrics


def chosen_by(metrics: pd.DataFrame, metric: Metric) -> np.ndarray:
    """The figure that sizes are chosen by: validation where it was measured, else test."""
    column = f"validation_{metric.name}"
    return metrics[column if column in metrics else metric.name].to_numpy(float)


def answer(metrics: pd.DataFrame, metric: Metric, budget: Budget) -> Answer:
    """The size that fits: the best within `max_bytes`, the smallest that keeps the metric.

    With both, the smallest size within `max_bytes` that keeps the metric. Where nothing fits, `fits` is False and the
    width is the closest: the smallest size for a size budget, the best size otherwise.
    Raises UserError for a budget that is empty or not finite.
    """
    asked = [v for v in (budget.max_bytes, budget.at_least, budget.lose_at_most) if v is not None]
    if not asked or not all(isinstance(v, (int, float, np.number)) and math.isfinite(v) for v in asked):
        raise UserError("a budget wants at least one limit, and each a finite number")
    worth, sizes = _worth(metrics, metric), metrics["bytes"].to_numpy(float)
    sign = 1.0 if metric.higher_is_better else -1.0
    small, good = np.ones(len(sizes), bool), np.ones(len(sizes), bool)
    if budget.max_bytes is not None:
        small = sizes <= budget.max_bytes
    slack = ROUNDING * (abs(worth[_full(metrics)]) if metric.significant else 1.0)
    if budget.at_least is not None:
        good &= worth >= sign * budget.at_least - slack
    if budget.lose_at_most is not None:
        good &= worth >= worth[_full(metrics)] - budget.lose_at_most - slack
    keeps_metric = budget.at_least is not None or budget.lose_at_most is not None
    fits = bool((small & good).any())
    # of equals the other figure decides, so that a budget never buys size without quality
    best_first, smallest_first = np.lexsort((sizes, -worth)), np.lexsort((-worth, sizes))
    if fits:
        order, among = (smallest_first if keeps_metric else best_first), small & good
    elif small.any():
        order, among = best_first, small
    else:
        order, among = smallest_first, np.ones(len(sizes), bool)
    row = int(order[among[order]][0])
    return Answer(width=int(metrics["width"].iloc[row]), fits=fits, row=row)


def frontier(metrics: pd.DataFrame, metric: Metric) -> np.ndarray:
    """Rows that no other equals or beats at the same size or less (Pareto), as a boolean array; by `chosen_by`.

    Of rows that are equal in both, the first is kept.
    """
    worth, sizes = _worth(metrics, metric), metrics["bytes"].to_numpy(float)
    order = np.lexsort((-worth, sizes))
    best_before = np.maximum.accumulate(np.concatenate([[-np.inf], worth[order]]))[:-1]
    found = np.zeros(len(sizes), bool)
    found[order] = worth[order] > best_before
    return found


def recommended(metrics: pd.DataFrame, metric: Metric) -> int:
    """Row of the size to suggest: the smallest that is no worse than full size as far as the data can tell.

    The smallest whose figure on the validation examples lies inside the 95 % interval of full size's.
    """
    measured = f"validation_{metric.name}"
    side = "low" if metric.higher_is_better else "high"
    column = measured if f"{measured}_{side}" in metrics else metric.name
    full = _full(metrics)
    sign = 1.0 if metric.higher_is_better else -1.0
    worst = sign * float(metrics[f"{column}_{side}"].iloc[full])
    good = sign * metrics[column].to_numpy(float) >= worst
    good[full] = True
    return int(np.flatnonzero(good)[np.argmin(metrics["bytes"].to_numpy(float)[good])])


def _worth(metrics: pd.DataFrame, metric: Metric) -> np.ndarray:
    """`chosen_by`, turned so that more is better; a figure that is no number is worth nothing."""
    values = chosen_by(metrics, metric) * (1.0 if metric.higher_is_better else -1.0)
    return np.where(np.isnan(values), -np.inf, values)


def _full(metrics: pd.DataFrame) -> int:
    """Row of the full width."""
    return int(metrics["width"].to_numpy().argmax())


def log_spaced(low: int, high: int) -> list[int]:
    """Powers of two from `low` to `high`, both ends included: a table that a person can read."""
    inside = [2**k for k in range(high.bit_length() + 1) if low < 2**k < high]
    return sorted({low, *inside, high})
