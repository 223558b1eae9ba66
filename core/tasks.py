"""What a model is for: its loss, its metrics and how a person reads them. Needs NumPy only.

The app's labels, the command line's tables and the model card all come from these descriptions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from core.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One figure that a model is judged by, with all that is needed to show it.

    A value is stored as a fraction or in its own unit; `scale` turns it into what people read.
    """

    name: str  # column in metrics.parquet
    label: str  # as a heading: "Accuracy"
    unit: str  # after the figure: " %"
    scale: float  # stored value * scale = shown value
    decimals: int
    higher_is_better: bool
    difference_unit: str  # unit of a difference: "points"
    meaning: str  # one plain sentence

    def format(self, value: float, *, unit: bool = True) -> str:
        """`value` (as stored) for people: `0.9712` becomes `97.1 %`."""
        return f"{value * self.scale:.{self.decimals}f}{self.unit if unit else ''}"

    def format_interval(self, low: float, high: float) -> str:
        """An interval for people: `96.9 to 98.0 %`."""
        return f"{self.format(low, unit=False)} to {self.format(high)}"

    def format_difference(self, value: float, reference: float) -> str:
        """How `value` differs from `reference`, never rounded away to nothing: `1.1 points below`."""
        if math.isclose(value, reference, rel_tol=1e-12, abs_tol=1e-15):  # apart by no more than rounding
            return "the same"
        shown = (value - reference) * self.scale
        if not math.isfinite(shown):
            return "not known"
        decimals = self.decimals
        while float(f"{shown:.{decimals}f}") == 0:
            decimals += 1
        return f"{abs(shown):.{decimals}f} {self.difference_unit} {'above' if shown > 0 else 'below'}"

    def at_least(self, value: float, target: float) -> bool:
        """Whether `value` is as good as `target`, whichever way is better."""
        return value >= target if self.higher_is_better else value <= target


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a model predicts and how it is scored; `metrics[0]` is the one that sizes are chosen by."""

    name: str
    loss: str  # name of the loss, as torch.nn.functional calls it
    metrics: tuple[Metric, ...]
    example: str  # what one example is called, in plain words
    classes: bool  # whether a prediction is one of the labels

    @property
    def metric(self) -> Metric:
        """The metric that sizes are chosen by."""
        return self.metrics[0]


ACCURACY = Metric(
    name="accuracy",
    label="Accuracy",
    unit=" %",
    scale=100.0,
    decimals=1,
    higher_is_better=True,
    difference_unit="points",
    meaning="How many of a hundred examples the model gets right.",
)

CLASSIFICATION = Task(name="classification", loss="cross_entropy", metrics=(ACCURACY,), example="example", classes=True)

TASKS = {task.name: task for task in (CLASSIFICATION,)}


def task(name: str) -> Task:
    """The task called `name`; UserError names the known ones."""
    if name not in TASKS:
        raise UserError(f"task {name!r} is not known; choose one of {', '.join(TASKS)}")
    return TASKS[name]


Z95 = 1.959963984540054  # two-sided 95 % quantile of the standard normal


def wilson_interval(correct: int, n: int, z: float = Z95) -> tuple[float, float]:
    """Interval of a proportion, as fractions in [0, 1] (Wilson, 1927), 95 % by default.

    Raises ValueError if n < 1 or correct is outside [0, n].
    """
    if n < 1 or not 0 <= correct <= n:
        raise ValueError(f"{correct} correct of {n}: want n >= 1 and 0 <= correct <= n")
    p = correct / n
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    # Rounding may leave the interval a hair inside p at the ends; it must hold p.
    return max(0.0, min(p, middle - half)), min(1.0, max(p, middle + half))


def paired_test(correct_a: np.ndarray, correct_b: np.ndarray) -> float:
    """Two-sided p-value that two models differ on the same examples (exact McNemar test, 1947).

    `correct_a`, `correct_b`: boolean arrays, one entry an example. Only examples on which exactly one
    of the two is right carry information; under "no difference" each falls to either side like a coin.
    """
    a, b = np.asarray(correct_a, bool), np.asarray(correct_b, bool)
    if a.shape != b.shape or a.ndim != 1:
        raise ValueError(f"paired test wants two flags for each example, got shapes {a.shape} and {b.shape}")
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    n = only_a + only_b
    if n == 0:
        return 1.0
    # log of the binomial tail, so that thousands of flips neither underflow nor need SciPy
    tail = range(min(only_a, only_b) + 1)
    logs = np.array([math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) for k in tail])
    logs -= n * math.log(2)
    top = float(logs.max())
    return min(1.0, 2.0 * math.exp(top) * float(np.exp(logs - top).sum()))
