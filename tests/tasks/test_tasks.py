"""What a model is judged by: intervals and tests against SciPy, and figures that people read."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from core.errors import UserError
from core.tasks.classification import ACCURACY
from core.tasks.registry import TASKS, task
from core.tasks.statistics import paired_test, wilson_interval
from tests.helpers.properties import tries

LOSS = dataclasses.replace(
    ACCURACY, name="loss", unit="", scale=1.0, decimals=3, higher_is_better=False, difference_unit="nats"
)
counts = st.integers(1, 10**6).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@tries(200)
@given(counts)
def test_the_interval_is_scipys(count):
    correct, n = count
    low, high = wilson_interval(correct, n)
    known = stats.binomtest(correct, n).proportion_ci(method="wilson")
    assert low == pytest.approx(known.low, abs=1e-9)
    assert high == pytest.approx(known.high, abs=1e-9)
    assert 0 <= low <= correct / n <= high <= 1


@tries(100)
@given(counts)
def test_the_interval_is_mirrored_and_narrows(count):
    correct, n = count
    low, high = wilson_interval(correct, n)
    assert wilson_interval(n - correct, n) == pytest.approx((1 - high, 1 - low), abs=1e-9)
    more = wilson_interval(4 * correct, 4 * n)
    assert more[1] - more[0] < high - low
    wider = wilson_interval(correct, n, z=3.0)
    assert wider[0] <= low
    assert wider[1] >= high


def test_a_known_interval():
    """81 of 263: Newcombe (1998), table I, method 3."""
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)


@pytest.mark.parametrize(("correct", "n"), [(0, 0), (1, 0), (-1, 5), (6, 5), (0, -1), (math.nan, 5)])
def test_counts_that_can_not_be_are_refused(correct, n):
    with pytest.raises(ValueError, match="give n >= 1 and 0 <= correct <= n"):
        wilson_interval(correct, n)


def flags(only_a: int, only_b: int, both: int, none: int) -> tuple[np.ndarray, np.ndarray]:
    a = np.repeat([True, False, True, False], [only_a, only_b, both, none])
    b = np.repeat([False, True, True, False], [only_a, only_b, both, none])
    order = np.random.default_rng(0).permutation(len(a))
    return a[order], b[order]


@tries(150)
@given(st.integers(0, 400), st.integers(0, 400), st.integers(0, 50), st.integers(0, 50))
def test_the_paired_test_is_scipys_exact_binomial(only_a, only_b, both, none):
    a, b = flags(only_a, only_b, both, none)
    p = paired_test(a, b)
    known = stats.binomtest(only_a, only_a + only_b, 0.5).pvalue if only_a + only_b else 1.0
    assert p == pytest.approx(known, rel=1e-6, abs=1e-12)
    assert p == paired_test(b, a)
    assert 0 <= p <= 1


def test_the_paired_test_holds_on_many_flips():
    assert 0 <= paired_test(*flags(40_000, 20_000, 0, 0)) < 1e-300
    assert paired_test(*flags(20_000, 20_000, 0, 0)) == 1.0
    p = paired_test(*flags(20_300, 20_000, 10, 10))
    assert p == pytest.approx(stats.binomtest(20_000, 40_300, 0.5).pvalue, rel=1e-6)


def test_the_paired_test_takes_no_more_than_pairs():
    assert paired_test(np.array([]), np.array([])) == 1.0
    assert paired_test([1, 0, 1], [1, 0, 1]) == 1.0
    with pytest.raises(ValueError, match=r"two scores for each example, got shapes \(3,\) and \(2,\)"):
        paired_test(np.ones(3), np.ones(2))
    with pytest.raises(ValueError, match="two scores for each example"):
        paired_test(np.ones((2, 2)), np.ones((2, 2)))


def test_figures_are_written_for_people():
    assert ACCURACY.format(0.9712) == "97.1 %"
    assert ACCURACY.format(1.0) == "100.0 %"
    assert ACCURACY.format(0.9712, unit=False) == "97.1"
    assert ACCURACY.format_interval(0.969, 0.9801) == "96.9 to 98.0 %"
    assert LOSS.format(0.25) == "0.250"


@pytest.mark.parametrize(
    ("value", "reference", "words"),
    [
        (0.96, 0.971, "1.1 points below"),
        (0.971, 0.96, "1.1 points above"),
        (0.9712, 0.9712, "the same"),
        (0.9711, 0.9712, "0.01 points below"),
        (0.97, 0.970004, "0.0004 points below"),
        (0.97 + 4e-9, 0.97, "0.0000004 points above"),
        (0.1 + 0.2, 0.3, "the same"),
        (0.0, 1.0, "100.0 points below"),
        (math.nan, 0.5, "not known"),
        (0.5, math.inf, "not known"),
    ],
)
def test_a_difference_is_in_points_and_never_rounded_away(value, reference, words):
    assert ACCURACY.format_difference(value, reference) == words


@tries(200)
@given(st.integers(1, 10**7), st.data())
def test_two_different_counts_never_read_the_same(n, data):
    a, b = data.draw(st.integers(0, n)), data.draw(st.integers(0, n))
    words = ACCURACY.format_difference(a / n, b / n)
    assert (words == "the same") == (a == b)
    if a != b:
        figure, unit, side = words.split()
        assert float(figure) > 0
        assert (unit, side) == ("points", "above" if a > b else "below")


def test_which_way_is_better():
    assert ACCURACY.at_least(0.97, 0.97)
    assert not ACCURACY.at_least(0.96, 0.97)
    assert LOSS.at_least(0.2, 0.25)
    assert not LOSS.at_least(0.3, 0.25)


def test_tasks_are_known_by_name():
    for name, found in TASKS.items():
        assert task(name) is found
        assert found.metric is found.metrics[0]
    with pytest.raises(UserError, match="task 'ranking' is not known; choose one of classification"):
        task("ranking")
