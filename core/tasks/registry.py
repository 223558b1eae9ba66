"""What a model is for: its loss, its metrics and how a person reads them. Needs NumPy only.

The app's labels, the command line's tables and the model card all come from these descriptions. Every example gets
one score (right or wrong, or its squared error), and a metric is a function of the scores' mean. To add a task: its
metrics, a `Task`, and its line in `TASKS`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from core.errors import UserError

PERCENT = "%"


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
    #: The metric from the mean of the examples' scores and the variance of what was to be predicted.
    of: Callable[[float, float], float] = lambda mean, variance: mean
    significant: bool = False  # `decimals` counts significant digits: for figures of any size

    def format(self, value: float, *, unit: bool = True) -> str:
        """`value` (as stored) for people: `0.9712` becomes `97.1 %`."""
        return f"{_digits(value * self.scale, self.decimals, self.significant)}{self.unit if unit else ''}"

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
        while float(_digits(shown, decimals, self.significant)) == 0:
            decimals += 1
        unit = f" {self.difference_unit}" if self.difference_unit else ""
        return f"{_digits(abs(shown), decimals, self.significant)}{unit} {'above' if shown > 0 else 'below'}"

    def at_least(self, value: float, target: float) -> bool:
        """Whether `value` is as good as `target`, whichever way is better."""
        return value >= target if self.higher_is_better else value <= target

    @property
    def limit(self) -> str:
        """What a wish for this metric sets: `at least`, or `at most` where lower is better."""
        return "at least" if self.higher_is_better else "at most"

    @property
    def percent(self) -> bool:
        """Whether values are fractions that people read in per cent."""
        return self.unit.strip() == PERCENT

    def measure(self, scores: np.ndarray, variance: float = math.nan) -> tuple[float, float, float]:
        """Value and 95 % interval from the examples' scores, (n,); `variance` is that of what was to be predicted."""
        mean, low, high = mean_and_interval(scores)
        ends = sorted((self.of(low, variance), self.of(high, variance)))
        return self.of(mean, variance), ends[0], ends[1]


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a model predicts and how it is scored; `metrics[0]` is the one that sizes are chosen by."""

    name: str
    loss: str  # name of the loss, as torch.nn.functional calls it
    metrics: tuple[Metric, ...]
    example: str  # what one example is called, in plain words
    classes: bool  # whether a prediction is one of the labels; else it is a number for each of them
    goal: str  # what a model does, as in "a model that ..."
    bounded: bool = False  # whether predicted numbers are clipped to [0, 1] before they are scored, as colours are

    @property
    def metric(self) -> Metric:
        """The metric that sizes are chosen by."""
        return self.metrics[0]

    def score(self, predictions: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """One score an example: whether it is right, or the squared error, averaged over what is predicted.

        predictions: (n, ...) classes, or (n, outputs, ...) numbers; targets: (n,) or (n, outputs). Result: (n, ...).
        """
        if self.classes:
            right: np.ndarray = predictions == targets.reshape(-1, *(1,) * (predictions.ndim - 1))
            return right
        found = np.clip(predictions, 0.0, 1.0) if self.bounded else predictions
        error = found.astype(np.float64) - targets.reshape(*targets.shape, *(1,) * (found.ndim - 2))
        squared: np.ndarray = np.square(error).mean(axis=1)
        return squared

    def variance(self, targets: np.ndarray) -> float:
        """Variance of what is to be predicted, averaged over the outputs: what a constant answer's score would be."""
        return math.nan if self.classes else float(targets.astype(np.float64).var(axis=0).mean())

    def say(self, prediction: np.ndarray, labels: tuple[str, ...]) -> str:
        """One prediction for people: its label, or each output's number."""
        if self.classes:
            return labels[int(prediction)]
        return ", ".join(f"{label} {value:.4g}" for label, value in zip(labels, np.ravel(prediction), strict=True))


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

RMSE = Metric(
    name="rmse",
    label="Typical error",
    unit="",
    scale=1.0,
    decimals=3,
    significant=True,
    higher_is_better=False,
    difference_unit="",
    meaning="How far predictions typically are from the truth, in the units of what is predicted (root mean square).",
    of=lambda mean, variance: math.sqrt(mean),
)

R2 = Metric(
    name="r2",
    label="Explained share",
    unit=" %",
    scale=100.0,
    decimals=1,
    higher_is_better=True,
    difference_unit="points",
    meaning="How much of the variation the model explains; 0 % is as good as always answering the average (R²).",
    of=lambda mean, variance: 1 - mean / variance if variance > 0 else float(mean == 0),
)

PSNR = Metric(
    name="psnr",
    label="Picture quality",
    unit=" dB",
    scale=1.0,
    decimals=1,
    higher_is_better=True,
    difference_unit="dB",
    meaning="How close the picture is to the original (peak signal-to-noise ratio); 6 dB more is half the error.",
    of=lambda mean, variance: -10 * math.log10(max(mean, 1e-12)),
)

CLASSIFICATION = Task(
    name="classification", loss="cross_entropy", metrics=(ACCURACY,), example="example", classes=True,
    goal="tells which label an example has",
)  # fmt: skip
REGRESSION = Task(
    name="regression", loss="mse_loss", metrics=(RMSE, R2), example="example", classes=False, goal="predicts numbers"
)
IMAGE = Task(
    name="image", loss="mse_loss", metrics=(PSNR,), example="pixel", classes=False, goal="paints a picture, pixel by "
    "pixel", bounded=True,
)  # fmt: skip

TASKS = {task.name: task for task in (CLASSIFICATION, REGRESSION, IMAGE)}


def task(name: str) -> Task:
    """The task called `name`; UserError names the known ones."""
    if name not in TASKS:
        raise UserError(f"task {name!r} is not known; choose one of {', '.join(TASKS)}")
    return TASKS[name]


def mean_and_interval(scores: np.ndarray, z: float | None = None) -> tuple[float, float, float]:
    """Mean of scores (n,) and its 95 % interval: Wilson's for flags, else the normal one, never below 0.

    A single score stands for its own spread. Raises ValueError without scores.
    """
    z, n = Z95 if z is None else z, len(scores)
    if scores.dtype == bool:
        return (float(scores.mean()), *wilson_interval(int(scores.sum()), n, z))
    if n < 1:
        raise ValueError("no scores to average")
    mean = float(scores.mean())
    half = z * (float(scores.std(ddof=1)) / math.sqrt(n) if n > 1 else mean)
    return mean, max(0.0, mean - half), mean + half


def _digits(value: float, decimals: int, significant: bool) -> str:
    """A number with so many decimals, or so many significant digits but never an exponent."""
    if not significant:
        return f"{value:.{decimals}f}"
    if not math.isfinite(value) or value == 0:
        return f"{value:g}"
    return f"{value:.{min(max(decimals - 1 - math.floor(math.log10(abs(value))), 0), 12)}f}"


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


def paired_test(a: np.ndarray, b: np.ndarray) -> float:
    """Two-sided p-value that two models differ on the same examples; `a` and `b` hold their scores, (n,).

    Flags: the exact McNemar test (1947). Only examples on which exactly one of the two is right carry information;
    under "no difference" each falls to either side like a coin. Numbers: the normal test of the mean difference.
    """
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape or a.ndim != 1:
        raise ValueError(f"paired test wants two scores for each example, got shapes {a.shape} and {b.shape}")
    if a.dtype == bool:
        return _coin_test(int((a & ~b).sum()), int((b & ~a).sum()))
    difference = a.astype(np.float64) - b
    spread = float(difference.std(ddof=1)) if len(a) > 1 else 0.0
    if spread == 0:
        return 1.0 if not difference.any() or len(a) < 2 else 0.0
    return math.erfc(abs(float(difference.mean())) / spread * math.sqrt(len(a) / 2))


def _coin_test(heads: int, tails: int) -> float:
    """Two-sided p-value of a fair coin (exact binomial test)."""
    n = heads + tails
    if n == 0:
        return 1.0
    # log of the binomial tail, so that thousands of flips neither underflow nor need SciPy
    k = np.arange(1, min(heads, tails) + 1)
    logs = np.concatenate([[0.0], np.cumsum(np.log(n - k + 1) - np.log(k))]) - n * math.log(2)  # of n over k
    top = float(logs.max())
    return min(1.0, 2.0 * math.exp(top) * float(np.exp(logs - top).sum()))
