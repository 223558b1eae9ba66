"""Choose the size that answers a budget, from the metrics of a run. NumPy and pandas only.

Sizes are chosen on validation examples and shown with figures of test examples: a figure that picks its own winner
flatters it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from core.errors import UserError
from core.tasks.base import Metric
from core.tasks.statistics import Z95

if TYPE_CHECKING:
    import pandas as pd


# Figures this close are equal: 0.8 - 0.1 is a hair above 0.7, and no two counts of examples differ by so little.
ROUNDING = 1e-9  # of 1, or of the figure itself where that has any size
# Columns of metrics.parquet: how an example's score differs from full size's on validation, and its standard error.
AGAINST_FULL = ("validation_difference", "validation_difference_error")
NEARLY_BEST = 0.1  # of the range from the smallest size to the best; the knee is looked for inside it
BY_CHANCE = 0.05  # of the sizes that are as good as full size, so many look worse in a test at 95 %
STEP = 0.1  # of the file; a smaller step is not worth a sentence
NEARBY = 2.0  # times the width, or its part


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Limits that a size must keep, in any mix; `at_least` and `lose_at_most` are in the metric's stored unit.

    `max_ms` needs the columns of `timed`; a size whose time was not measured does not keep it.
    """

    max_bytes: float | None = None
    max_ms: float | None = None
    at_least: float | None = None
    lose_at_most: float | None = None


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The width that answers a budget, or the closest one."""

    width: int
    fits: bool
    row: int  # of the metrics


def timed(metrics: pd.DataFrame, times: Mapping[int, tuple[float, float]]) -> pd.DataFrame:
    """Add the time of one prediction by width, `times`, as columns `ms` and `ms_spread`: NaN elsewhere."""
    by_row = [times.get(int(width), (np.nan, np.nan)) for width in metrics["width"]]
    return metrics.assign(ms=[ms for ms, _ in by_row], ms_spread=[spread for _, spread in by_row])


def chosen_by(metrics: pd.DataFrame, metric: Metric) -> np.ndarray:
    """The figure that sizes are chosen by: validation where it was measured, else test."""
    column = f"validation_{metric.name}"
    return metrics[column if column in metrics else metric.name].to_numpy(float)


def answer(metrics: pd.DataFrame, metric: Metric, budget: Budget) -> Answer:
    """Choose the size that fits: the best within `max_bytes` and `max_ms`, or the smallest that keeps the metric.

    Parameters
    ----------
    metrics
        A row a width, as `Run.metrics` gives it.
    metric
        The figure that sizes are chosen by.
    budget
        The limits; with both kinds, the answer is the smallest size within the limits that keeps the metric.

    Returns
    -------
    The size; where none fits, `fits` is False and it is the closest: the fastest for a time, the smallest for a file
    size, the best otherwise.

    Raises
    ------
    UserError
        For a budget that is empty or not finite.
    """
    limits = (budget.max_bytes, budget.max_ms, budget.at_least, budget.lose_at_most)
    asked = [v for v in limits if v is not None]
    if not asked or not all(isinstance(v, (int, float, np.number)) and math.isfinite(v) for v in asked):
        raise UserError("a budget needs at least one limit, and each a finite number")
    worth, sizes = _worth(metrics, metric), metrics["bytes"].to_numpy(float)
    sign = 1.0 if metric.higher_is_better else -1.0
    small, good = np.ones(len(sizes), bool), np.ones(len(sizes), bool)
    if budget.max_bytes is not None:
        small &= sizes <= budget.max_bytes
    if budget.max_ms is not None:
        times = metrics["ms"].to_numpy(float) if "ms" in metrics else np.full(len(sizes), np.nan)
        small &= times <= budget.max_ms
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
    elif budget.max_ms is not None and np.isfinite(times).any():
        order, among = np.argsort(times, kind="stable"), np.isfinite(times)  # no number comes last
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
    on_frontier = np.zeros(len(sizes), bool)
    on_frontier[order] = worth[order] > best_before
    return on_frontier


def as_good_as_full(metrics: pd.DataFrame, metric: Metric) -> int:
    """Row of the smallest size that the validation examples do not tell from full size.

    That is the smallest size that a paired test at 95 % does not find worse than full size, and above which the test
    finds no more than one size in twenty worse, as many as chance alone would. In a table without paired differences
    it is the smallest size whose figure lies inside the 95 % interval of full size's.
    """
    full, sizes = _full(metrics), metrics["bytes"].to_numpy(float)
    if not set(AGAINST_FULL) <= set(metrics):
        return _within_interval(metrics, metric)
    gain, error = (metrics[column].to_numpy(float) for column in AGAINST_FULL)
    gain = gain * _score_sign(metric)
    worse = ~(gain + Z95 * error >= 0)  # no number is no proof either
    worse[full] = False
    order = np.lexsort((gain, -sizes))  # largest first
    count = np.cumsum(worse[order])
    good = ~worse[order] & (count <= BY_CHANCE * np.arange(1, len(order) + 1))
    return int(order[np.flatnonzero(good)[-1]]) if good.any() else full


def recommended(metrics: pd.DataFrame, metric: Metric) -> int:
    """Row of the size to suggest: the knee of the frontier, or `as_good_as_full` where that is smaller.

    Of the best sizes for their bytes that reach nine tenths of the way from the smallest to the best: the one that
    lies farthest above the straight line between the ends, over the logarithm of the bytes.
    """
    enough = as_good_as_full(metrics, metric)
    worth, sizes = _worth(metrics, metric), metrics["bytes"].to_numpy(float)
    rows = np.flatnonzero(frontier(metrics, metric))
    rows = rows[np.argsort(sizes[rows], kind="stable")]
    if len(rows):
        rows = rows[worth[rows] >= worth[rows[-1]] - NEARLY_BEST * (worth[rows[-1]] - worth[rows[0]])]
    if len(rows) < 3:
        return enough
    across, up = np.log(sizes[rows]), worth[rows]
    above = (up - up[0]) / (up[-1] - up[0]) - (across - across[0]) / (across[-1] - across[0])
    knee = int(rows[np.argmax(above)])
    return knee if sizes[knee] < sizes[enough] else enough


def cheaper(metrics: pd.DataFrame, metric: Metric, row: int) -> int | None:
    """Row of the largest size of the frontier that saves a tenth of the bytes; None where there is none."""
    return neighbours(metrics, metric, [row])[0][1]


def better(metrics: pd.DataFrame, metric: Metric, row: int) -> int | None:
    """Row of the smallest size of the frontier that is better and a tenth larger; None where there is none."""
    return neighbours(metrics, metric, [row])[0][0]


def neighbours(metrics: pd.DataFrame, metric: Metric, rows: Sequence[int]) -> list[tuple[int | None, int | None]]:
    """`better` and `cheaper` of each of `rows`; the frontier is computed once."""
    best = np.flatnonzero(frontier(metrics, metric))
    sizes, worth = metrics["bytes"].to_numpy(float), _worth(metrics, metric)
    best = best[np.argsort(sizes[best], kind="stable")]  # the smallest first
    steps: list[tuple[int | None, int | None]] = []
    for row in rows:
        up = best[(worth[best] > worth[row]) & (sizes[best] >= (1 + STEP) * sizes[row])]
        down = best[sizes[best] <= (1 - STEP) * sizes[row]]
        steps.append((int(up[0]) if len(up) else None, int(down[-1]) if len(down) else None))
    return steps


def faster(metrics: pd.DataFrame, metric: Metric, row: int) -> int | None:
    """Row of the fastest size near `row` that is no worse on validation and on test; None where there is none.

    Near is up to twice or half the width; faster is by more than the spread of either size's time (columns `ms` and
    `ms_spread`).
    """
    widths, worth = metrics["width"].to_numpy(float), _worth(metrics, metric)
    times, spread = metrics["ms"].to_numpy(float), metrics["ms_spread"].to_numpy(float)
    shown = metrics[metric.name].to_numpy(float) * (1.0 if metric.higher_is_better else -1.0)
    near = (widths <= NEARBY * widths[row]) & (widths >= widths[row] / NEARBY)
    quick = times[row] - times > np.maximum(spread, spread[row])  # False for what is no number
    rows = np.flatnonzero(near & quick & (worth >= worth[row]) & (shown >= shown[row]))
    return int(rows[np.argmin(times[rows])]) if len(rows) else None


def _within_interval(metrics: pd.DataFrame, metric: Metric) -> int:
    """Row of the smallest size whose figure lies inside the 95 % interval of full size's."""
    measured = f"validation_{metric.name}"
    side = "low" if metric.higher_is_better else "high"
    column = measured if f"{measured}_{side}" in metrics else metric.name
    if f"{column}_{side}" not in metrics:
        return _full(metrics)
    full = _full(metrics)
    sign = 1.0 if metric.higher_is_better else -1.0
    worst = sign * float(metrics[f"{column}_{side}"].iloc[full])
    good = sign * metrics[column].to_numpy(float) >= worst
    good[full] = True
    return int(np.flatnonzero(good)[np.argmin(metrics["bytes"].to_numpy(float)[good])])


def _score_sign(metric: Metric) -> float:
    """1 where a higher score of an example (`Task.score`) is better for the metric, else -1."""
    rises = metric.of(0.75, 1.0) > metric.of(0.25, 1.0)
    return 1.0 if rises == metric.higher_is_better else -1.0


def _worth(metrics: pd.DataFrame, metric: Metric) -> np.ndarray:
    """`chosen_by`, with its sign set so that more is better; NaN becomes minus infinity."""
    values = chosen_by(metrics, metric) * (1.0 if metric.higher_is_better else -1.0)
    return np.where(np.isnan(values), -np.inf, values)


def _full(metrics: pd.DataFrame) -> int:
    """Row of the full width."""
    return int(metrics["width"].to_numpy().argmax())


def log_spaced(low: int, high: int) -> list[int]:
    """Powers of two from `low` to `high`, both ends included: a table that a person can read."""
    inside = [2**k for k in range(high.bit_length() + 1) if low < 2**k < high]
    return sorted({low, *inside, high})
