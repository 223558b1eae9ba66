"""Regression and pictures: metrics and intervals against scikit-learn and brute force."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import mean_squared_error, r2_score

from core.tasks.classification import CLASSIFICATION
from core.tasks.image import IMAGE, PSNR
from core.tasks.regression import R2, REGRESSION, RMSE
from core.tasks.statistics import mean_and_interval, paired_test
from tests.helpers.properties import tries


def numbers(seed: int, n: int = 50, outputs: int = 2) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = rng.normal(3, 5, (n, outputs)).astype(np.float32)
    return y, (y + rng.normal(0, 1, y.shape)).astype(np.float32)


@tries(40)
@given(st.integers(0, 10**6), st.integers(2, 80), st.integers(1, 3))
def test_regression_is_scikit_learns(seed, n, outputs):
    y, found = numbers(seed, n, outputs)
    scores = REGRESSION.score(found, y)
    value, low, high = RMSE.measure(scores)
    assert value == pytest.approx(np.sqrt(mean_squared_error(y, found)), rel=1e-6)
    assert low <= value <= high
    share, _, most = R2.measure(scores, REGRESSION.variance(y))
    assert share == pytest.approx(r2_score(y, found, multioutput="variance_weighted"), rel=1e-4, abs=1e-6)
    assert share <= most <= 1


def test_every_width_at_once_is_each_alone():
    y, found = numbers(1)
    both = np.stack([found, found + 1], axis=-1)  # (n, outputs, widths)
    each = np.stack([REGRESSION.score(found, y), REGRESSION.score(found + 1, y)], axis=-1)
    assert np.allclose(REGRESSION.score(both, y), each)
    classes = np.array([[0, 1], [1, 1]])
    assert CLASSIFICATION.score(classes, np.array([0, 1])).tolist() == [[True, False], [True, True]]


def test_the_interval_covers_the_truth_as_often_as_it_says():
    rng, hits = np.random.default_rng(0), 0
    for _ in range(400):
        _, low, high = RMSE.measure(np.square(rng.normal(0, 2, 400)))
        hits += low <= 2 <= high
    assert 365 <= hits <= 395


def test_picture_quality_is_of_what_is_shown():
    y = np.full((100, 3), 0.5, np.float32)
    assert PSNR.measure(IMAGE.score(y + 0.1, y))[0] == pytest.approx(20, abs=1e-3)
    beyond = IMAGE.score(np.full_like(y, 7.0), np.ones_like(y))
    assert beyond.max() == 0  # a colour above white is shown white
    assert PSNR.measure(beyond)[0] == pytest.approx(120)


@pytest.mark.parametrize("n", [1, 2])
def test_a_few_examples_give_finite_figures(n):
    value, low, high = RMSE.measure(np.full(n, 4.0))
    assert np.isfinite([value, low, high]).all()
    assert low <= value == 2 <= high
    assert np.isfinite(R2.measure(np.full(n, 4.0), 0.0)).all()


def test_no_scores_are_refused():
    with pytest.raises(ValueError, match="no scores"):
        mean_and_interval(np.zeros(0))


def test_the_paired_test_of_numbers_is_nearly_students():
    rng = np.random.default_rng(0)
    for shift in (0.0, 0.05, 0.2):
        a = rng.normal(1, 1, 500)
        b = a + rng.normal(shift, 0.5, 500)
        assert paired_test(a, b) == pytest.approx(stats.ttest_rel(a, b).pvalue, abs=0.003)
    assert paired_test(a, a) == 1
    assert paired_test(a, a + 1) == 0


def test_words_go_with_the_way_that_is_better():
    assert (RMSE.limit, PSNR.limit) == ("at most", "at least")
    assert RMSE.at_least(0.1, 0.2)
    assert not PSNR.at_least(20, 30)
    assert RMSE.format(0.00012345) == "0.000123"
    assert RMSE.format(12345.6) == "12346"
    assert PSNR.format_difference(30.0, 31.5) == "1.5 dB below"
    assert R2.format(0.4567) == "45.7 %"
    assert REGRESSION.say(np.array([1.25]), ("price",)) == "price 1.25"
    assert CLASSIFICATION.say(np.array(1), ("no", "yes")) == "yes"
