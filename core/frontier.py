"""Which size answers a budget. Works on a run's metrics; needs NumPy and pandas only.

Sizes are chosen on validation examples, and what a person is shown is measured on test examples:
a figure that picked its own winner would flatter it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from core.errors import UserError
from core.tasks import Metric

if TYPE_CHECKING:
    import pandas as pd


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
    values, sizes = chosen_by(metrics, metric), metrics["bytes"].to_numpy(float)
    sign = 1.0 if metric.higher_is_better else -1.0
    asked = [v for v in (budget.max_bytes, budget.at_least, budget.lose_at_most) if v is not None]
    if not asked or not np.isfinite(asked).all():
        raise UserError("a budget wants at least one limit, and each a finite number")
    small = sizes <= budget.max_bytes if budget.max_bytes is not None else np.ones(len(sizes), bool)
    good = np.ones(len(sizes), bool)
    if budget.at_least is not None:
        good &= sign * values >= sign * budget.at_least
    if budget.lose_at_most is not None:
        good &= sign * values >= sign * values[-1] - budget.lose_at_most
    keeps_metric = budget.at_least is not None or budget.lose_at_most is not None
    fits = small & good
    if fits.any():
        rows = np.flatnonzero(fits)
        # the first of equals is the smallest, so a budget never buys size without quality
        row = rows[0] if keeps_metric else rows[np.argmax(sign * values[rows])]
    elif small.any():
        rows = np.flatnonzero(small)
        row = rows[np.argmax(sign * values[rows])]
    else:
        row = 0
    return Answer(width=int(metrics["width"].iloc[row]), fits=bool(fits.any()), row=int(row))


def frontier(metrics: pd.DataFrame, metric: Metric) -> np.ndarray:
    """Rows that no smaller size equals or beats (Pareto), as a boolean array; judged by `chosen_by`."""
    values = chosen_by(metrics, metric) * (1.0 if metric.higher_is_better else -1.0)
    best = np.maximum.accumulate(values)
    return np.concatenate([[True], values[1:] > best[:-1]])


def recommended(metrics: pd.DataFrame, metric: Metric) -> int:
    """Row of the size to suggest: the smallest that is no worse than full size as far as the data can tell.

    The smallest whose figure on the validation examples lies inside the 95 % interval of full size's.
    """
    values = chosen_by(metrics, metric)
    column = f"validation_{metric.name}" if f"validation_{metric.name}_low" in metrics else metric.name
    worst = metrics[f"{column}_{'low' if metric.higher_is_better else 'high'}"].iloc[-1]
    good = values >= worst if metric.higher_is_better else values <= worst
    return int(np.argmax(good))


def log_spaced(low: int, high: int) -> list[int]:
    """Powers of two from `low` to `high`, both ends included: a table that a person can read."""
    inside = [2**k for k in range(high.bit_length() + 1) if low < 2**k < high]
    return sorted({low, *inside, high})
