"""Which size answers a budget, against brute force."""

import dataclasses
import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import UserError
from core.sweep.budget import (
    Budget,
    answer,
    as_good_as_full,
    cheaper,
    chosen_by,
    faster,
    frontier,
    log_spaced,
    recommended,
    timed,
)
from core.sweep.budget import better as better_step
from core.tasks.classification import ACCURACY
from core.tasks.image import PSNR
from core.tasks.regression import R2, RMSE
from core.tasks.statistics import Z95
from tests.helpers.properties import tries

LOSS = dataclasses.replace(ACCURACY, name="loss", higher_is_better=False)
METRICS = {"accuracy": ACCURACY, "loss": LOSS}
# few different figures, so that equals are common
figures = st.integers(0, 10).map(lambda k: k / 10)


@st.composite
def tables(draw):
    """Metrics of a run: ascending widths, sizes that mostly ascend with them, figures that need not."""
    n = draw(st.integers(1, 12))
    steps = draw(st.lists(st.integers(0, 3), min_size=n, max_size=n))
    column = draw(st.sampled_from(["accuracy", "validation_accuracy", "loss", "validation_loss"]))
    metric = METRICS[column.removeprefix("validation_")]
    values = draw(st.lists(figures, min_size=n, max_size=n))
    table = pd.DataFrame({"width": np.arange(1, n + 1), "bytes": 100 + np.cumsum(steps), column: values})
    if column != metric.name:
        table[metric.name] = draw(st.lists(figures, min_size=n, max_size=n))
    return table, metric


def better(metric, a, b):
    return a > b if metric.higher_is_better else a < b


def fits(table, metric, budget):
    values, full = chosen_by(table, metric), chosen_by(table, metric)[-1]
    sign = 1 if metric.higher_is_better else -1
    found = np.ones(len(table), bool)
    if budget.max_bytes is not None:
        found &= (table["bytes"] <= budget.max_bytes).to_numpy()
    if budget.at_least is not None:
        found &= sign * values >= sign * budget.at_least
    if budget.lose_at_most is not None:
        found &= np.round(sign * (full - values), 6) <= round(budget.lose_at_most, 6)
    return found


budgets = st.builds(
    Budget,
    max_bytes=st.none() | st.integers(98, 130),
    at_least=st.none() | figures,
    lose_at_most=st.none() | figures,
).filter(lambda b: b != Budget())


@tries(400)
@given(tables(), budgets)
def test_the_answer_fits_and_no_other_that_fits_beats_it(run, budget):
    table, metric = run
    found, allowed = answer(table, metric, budget), fits(table, metric, budget)
    assert found.width == table["width"][found.row]
    assert found.fits == allowed.any()
    if not found.fits:
        return
    assert allowed[found.row]
    values, sizes = chosen_by(table, metric), table["bytes"].to_numpy()
    for row in np.flatnonzero(allowed):
        no_larger, no_worse = sizes[row] <= sizes[found.row], not better(metric, values[found.row], values[row])
        same = sizes[row] == sizes[found.row] and values[row] == values[found.row]
        assert same or not (no_larger and no_worse), f"row {row} dominates row {found.row}"
        if budget.at_least is None and budget.lose_at_most is None:
            assert not better(metric, values[row], values[found.row])
        else:
            assert sizes[row] >= sizes[found.row]


@tries(200)
@given(tables(), budgets)
def test_where_nothing_fits_the_answer_is_the_closest(run, budget):
    table, metric = run
    found, values = answer(table, metric, budget), chosen_by(table, metric)
    if found.fits:
        return
    small = np.ones(len(table), bool) if budget.max_bytes is None else (table["bytes"] <= budget.max_bytes).to_numpy()
    if not small.any():
        assert table["bytes"][found.row] == table["bytes"].min()
    else:
        assert small[found.row]
        assert not any(better(metric, value, values[found.row]) for value in values[small])


@tries(300)
@given(tables())
def test_the_frontier_is_the_pareto_set(run):
    table, metric = run
    values, sizes = chosen_by(table, metric), table["bytes"].to_numpy()

    def beaten(row: int) -> bool:
        for other in range(len(table)):
            if other == row or sizes[other] > sizes[row] or better(metric, values[row], values[other]):
                continue
            strictly = sizes[other] < sizes[row] or better(metric, values[other], values[row])
            if strictly or other < row:  # of equals the first stays
                return True
        return False

    assert frontier(table, metric).tolist() == [not beaten(row) for row in range(len(table))]


@tries(100)
@given(tables(), st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(run, random):
    table, metric = run
    table = table.drop_duplicates("bytes", ignore_index=True)
    order = list(range(len(table)))
    random.shuffle(order)
    shuffled = table.iloc[order].reset_index(drop=True)
    assert frontier(shuffled, metric).tolist() == frontier(table, metric)[order].tolist()
    budget = Budget(lose_at_most=0.2)
    assert answer(shuffled, metric, budget).width == answer(table, metric, budget).width


def curve(n: int = 0, **columns) -> pd.DataFrame:
    n = n or len(next(iter(columns.values())))
    if n > 30:  # where powers of two would be too large
        return pd.DataFrame({"width": np.arange(1, n + 1), "bytes": 1000 * np.arange(1, n + 1), **columns})
    return pd.DataFrame({"width": 2 ** np.arange(n), "bytes": 1000 * 2 ** np.arange(n), **columns})


def test_sizes_are_chosen_on_validation_where_it_was_measured():
    table = curve(accuracy=[0.9, 0.5], validation_accuracy=[0.5, 0.9])
    assert answer(table, ACCURACY, Budget(at_least=0.8)).width == 2
    assert answer(table.drop(columns="validation_accuracy"), ACCURACY, Budget(at_least=0.8)).width == 1


def test_a_loss_of_just_what_is_allowed_is_allowed():
    """0.8 - 0.1 is a hair above 0.7 in floating point."""
    assert answer(curve(accuracy=[0.7, 0.8]), ACCURACY, Budget(lose_at_most=0.1)).width == 1
    assert answer(curve(accuracy=[0.57, 0.8]), ACCURACY, Budget(at_least=57 * 0.01)).width == 1


@pytest.mark.parametrize(
    "budget",
    [Budget(), *(Budget(**{name: value}) for name in ("max_bytes", "max_ms", "at_least", "lose_at_most")
                 for value in (float("nan"), float("inf"), -float("inf"), "5", [1]))],
)  # fmt: skip
def test_a_budget_without_a_finite_limit_is_refused(budget):
    with pytest.raises(UserError, match="at least one limit, and each a finite number"):
        answer(curve(accuracy=[0.7, 0.8]), ACCURACY, budget)


def test_a_figure_that_is_no_number_never_wins():
    table = curve(accuracy=[0.5, np.nan, 0.8, np.nan])
    assert answer(table, ACCURACY, Budget(max_bytes=10**9)).width == 4
    assert answer(table, ACCURACY, Budget(at_least=0.6)).width == 4
    assert frontier(table, ACCURACY).tolist() == [True, False, True, False]


def test_an_old_table_takes_the_smallest_within_the_interval_of_full():
    table = curve(
        accuracy=[0.99] * 4, validation_accuracy=[0.5, 0.96, 0.97, 0.98], validation_accuracy_low=[0.4, 0.9, 0.95, 0.96]
    )
    assert as_good_as_full(table, ACCURACY) == 1
    test_only = curve(accuracy=[0.5, 0.9, 0.97, 0.98], accuracy_low=[0.4, 0.8, 0.9, 0.95])
    assert as_good_as_full(test_only, ACCURACY) == 2
    loss = curve(loss=[0.9, 0.32, 0.31, 0.3], loss_high=[1.0, 0.4, 0.4, 0.315])
    assert as_good_as_full(loss, LOSS) == 2


def test_without_an_interval_full_size_is_recommended():
    table = curve(accuracy=[0.5, 0.9, np.nan], accuracy_low=[0.4, 0.8, np.nan])
    assert recommended(table, ACCURACY) == as_good_as_full(table, ACCURACY) == 2
    assert recommended(curve(accuracy=[0.5, 0.9]), ACCURACY) == 1


@st.composite
def compared(draw):
    """A table with each size's paired difference to full size, in scores that rise or fall with quality."""
    n = draw(st.integers(1, 60))
    metric = draw(st.sampled_from([ACCURACY, RMSE, PSNR, R2]))
    gain = np.array(draw(st.lists(st.integers(-9, 3), min_size=n, max_size=n)), float)
    gain[-1] = 0.0
    table = curve(n, **{metric.name: np.linspace(0.1, 0.9, n)})
    sign = 1 if metric is ACCURACY else -1  # the others' scores are squared errors
    return table.assign(validation_difference=sign * gain, validation_difference_error=1.0), metric, gain


@tries(200)
@given(compared())
def test_the_smallest_that_does_the_job_by_brute_force(run):
    table, metric, gain = run
    told = gain + Z95 < 0
    found = as_good_as_full(table, metric)
    allowed = [k for k in range(len(gain)) if not told[k] and told[k:].sum() <= 0.05 * (len(gain) - k)]
    assert found == min(allowed)
    assert not told[found]
    assert table["bytes"][recommended(table, metric)] <= table["bytes"][found], "the knee costs no more than that"


def test_a_difference_that_is_no_number_is_no_proof():
    table = curve(accuracy=[0.9, 0.9, 0.9]).assign(
        validation_difference=[np.nan, 0.0, 0.0], validation_difference_error=[1.0, 1.0, 0.0]
    )
    assert as_good_as_full(table, ACCURACY) == 1


def test_the_recommended_size_is_the_bend():
    figures = [0.1, 0.3, 0.5, 0.7, 0.85, 0.88, 0.89, 0.895, 0.9]
    far_worse = {"validation_difference": [-1.0] * 8 + [0.0], "validation_difference_error": [0.0] * 9}
    assert recommended(curve(accuracy=figures, **far_worse), ACCURACY) == 5
    as_good = far_worse | {"validation_difference_error": [0.0] * 3 + [9.0] * 6}
    assert recommended(curve(accuracy=figures, **as_good), ACCURACY) == 3, "but never above what does the job"
    errors = curve(loss=[1 - figure for figure in figures], **far_worse)
    flipped = errors.assign(validation_difference=-errors["validation_difference"])
    assert recommended(flipped, LOSS) == 5


@tries(200)
@given(tables(), st.data())
def test_steps_are_on_the_frontier_and_the_nearest_worth_telling(run, data):
    table, metric = run
    row = data.draw(st.integers(0, len(table) - 1))
    values, sizes, best = chosen_by(table, metric), table["bytes"].to_numpy(), frontier(table, metric)
    down, up = cheaper(table, metric, row), better_step(table, metric, row)
    smaller = [k for k in np.flatnonzero(best) if sizes[k] <= 0.9 * sizes[row]]
    larger = [
        k for k in np.flatnonzero(best) if sizes[k] >= 1.1 * sizes[row] and better(metric, values[k], values[row])
    ]
    assert down == (max(smaller, key=lambda k: sizes[k]) if smaller else None)
    assert up == (min(larger, key=lambda k: sizes[k]) if larger else None)


def test_a_time_is_answered_by_measured_sizes_alone():
    table = timed(curve(accuracy=[0.5, 0.8, 0.9, 0.95]), {1: (0.1, 0.0), 2: (0.3, 0.0), 8: (0.2, 0.0)})
    assert answer(table, ACCURACY, Budget(max_ms=0.25)).width == 8, "the best that is fast enough, however large"
    assert answer(table, ACCURACY, Budget(max_ms=0.15)).width == 1
    late = answer(table, ACCURACY, Budget(max_ms=0.05))
    assert (late.width, late.fits) == (1, False), "the closest is the fastest"
    both = answer(table, ACCURACY, Budget(max_ms=0.25, max_bytes=5000))
    assert (both.width, both.fits) == (1, True)
    assert not answer(timed(table, {}), ACCURACY, Budget(max_ms=9.0)).fits


def test_a_faster_size_is_near_and_loses_nothing():
    times = {1: (0.01, 0.0), 2: (0.1, 0.0), 4: (0.5, 0.1), 8: (0.2, 0.1), 16: (0.01, 0.0)}
    table = timed(curve(accuracy=[0.9, 0.9, 0.8, 0.85, 0.99]), times)
    assert faster(table, ACCURACY, 2) == 1, "the fastest of those within a factor of two"
    worse = table.assign(accuracy=[0.9, 0.7, 0.8, 0.85, 0.99])
    assert faster(worse, ACCURACY, 2) == 3
    noisy = timed(worse, {**times, 8: (0.2, 0.4)})
    assert faster(noisy, ACCURACY, 2) is None, "apart by less than the spread"
    assert faster(timed(worse, {8: (0.2, 0.0)}), ACCURACY, 2) is None, "of an unmeasured size nothing is said"


@given(st.integers(1, 10**6), st.integers(0, 10**6))
def test_log_spaced_widths(low, more):
    widths = log_spaced(low, low + more)
    assert widths == sorted(set(widths))
    assert (widths[0], widths[-1]) == (low, low + more)
    assert all(width & (width - 1) == 0 for width in widths[1:-1])
    assert all(b <= 2 * a for a, b in itertools.pairwise(widths))
