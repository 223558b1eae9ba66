"""Means with intervals, and paired tests of two models on the same examples. NumPy only."""

from __future__ import annotations

import math

import numpy as np

Z95 = 1.959963984540054  # two-sided 95 % quantile of the standard normal


def mean_and_interval(scores: np.ndarray, z: float = Z95) -> tuple[float, float, float]:
    """Mean of scores (n,) and the ends of its interval, 95 % by default.

    Flags get Wilson's interval, numbers the normal one, never below 0; a single number stands for its own spread.
    Raises ValueError without scores.
    """
    n = len(scores)
    if scores.dtype == bool:
        low, high = wilson_interval(int(scores.sum()), n, z)
        return float(scores.mean()), low, high
    if n < 1:
        raise ValueError("no scores to average")
    mean = float(scores.mean())
    half = z * (float(scores.std(ddof=1)) / math.sqrt(n) if n > 1 else mean)
    return mean, max(0.0, mean - half), mean + half


def wilson_interval(correct: int, n: int, z: float = Z95) -> tuple[float, float]:
    """Interval of a proportion, as fractions in [0, 1] (Wilson, 1927), 95 % by default.

    Parameters
    ----------
    correct
        Number of successes.
    n
        Number of trials.
    z
        Two-sided quantile of the standard normal distribution.

    Raises
    ------
    ValueError
        If n < 1 or correct is outside [0, n].
    """
    if n < 1 or not 0 <= correct <= n:
        raise ValueError(f"{correct} correct of {n}: give n >= 1 and 0 <= correct <= n")
    p = correct / n
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    # rounding may leave the interval a hair inside p at the ends; it must hold p
    return max(0.0, min(p, middle - half)), min(1.0, max(p, middle + half))


def paired_test(a: np.ndarray, b: np.ndarray) -> float:
    """Two-sided p-value that two models differ on the same examples; `a` and `b` hold their scores, (n,).

    Flags: the exact McNemar test (1947). Only examples on which exactly one of the two is right carry information;
    under "no difference" each falls to either side like a coin. Numbers: the normal test of the mean difference.
    Raises ValueError for arrays of different shapes or more than one axis.
    """
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape or a.ndim != 1:
        raise ValueError(f"a paired test needs two scores for each example, got shapes {a.shape} and {b.shape}")
    if a.dtype == bool:
        return _binomial_test(int((a & ~b).sum()), int((b & ~a).sum()))
    difference = a.astype(np.float64) - b
    spread = float(difference.std(ddof=1)) if len(a) > 1 else 0.0
    if spread == 0:
        return 1.0 if not difference.any() or len(a) < 2 else 0.0
    return math.erfc(abs(float(difference.mean())) / spread * math.sqrt(len(a) / 2))


def _binomial_test(heads: int, tails: int) -> float:
    """Two-sided p-value of a fair coin (exact binomial test)."""
    n = heads + tails
    if n == 0:
        return 1.0
    # logarithms of the binomial tail, so that thousands of flips neither underflow nor need SciPy
    k = np.arange(1, min(heads, tails) + 1)
    logs = np.concatenate([[0.0], np.cumsum(np.log(n - k + 1) - np.log(k))]) - n * math.log(2)  # of n over k
    top = float(logs.max())
    return min(1.0, 2.0 * math.exp(top) * float(np.exp(logs - top).sum()))
