"""Metric and Task: how a model is scored, and how a figure is shown to people. NumPy only.

Each example gets one score (whether the prediction is right, or its squared error), and a metric is a function of the
mean score. The app's labels, the command line's tables and the model card are all made from these descriptions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from core.tasks.statistics import mean_and_interval

PERCENT = "%"


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One figure that models are judged by, with all that is needed to show it.

    Values are stored as fractions or in the metric's own unit; `scale` turns them into what people read.
    """

    name: str  # column in metrics.parquet
    label: str  # as a heading: "Accuracy"
    unit: str  # after the figure: " %"
    scale: float  # stored value * scale = shown value
    decimals: int
    higher_is_better: bool
    difference_unit: str  # unit of a difference: "points"
    meaning: str  # one plain sentence
    #: The metric from the mean score of the examples and the variance of the targets.
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
        """Kind of limit that a target for this metric sets: `at least`, or `at most` where lower is better."""
        return "at least" if self.higher_is_better else "at most"

    @property
    def percent(self) -> bool:
        """Whether values are fractions that people read in per cent."""
        return self.unit.strip() == PERCENT

    def measure(self, scores: np.ndarray, variance: float = math.nan) -> tuple[float, float, float]:
        """Value and 95 % interval from the examples' scores, (n,); `variance` is that of the targets."""
        mean, low, high = mean_and_interval(scores)
        ends = sorted((self.of(low, variance), self.of(high, variance)))
        return self.of(mean, variance), ends[0], ends[1]


@dataclass(frozen=True, kw_only=True)
class Task:
    """The kind of prediction that a model makes and how it is scored; sizes are chosen by `metrics[0]`."""

    name: str
    loss: str  # name of the loss in torch.nn.functional
    metrics: tuple[Metric, ...]
    example: str  # noun for one example, in plain words
    classes: bool  # whether a prediction is one of the labels; else it is a number for each of them
    goal: str  # completes "a model that ..."
    bounded: bool = False  # whether predicted numbers are clipped to [0, 1] before they are scored, as colours are

    @property
    def metric(self) -> Metric:
        """The metric that sizes are chosen by."""
        return self.metrics[0]

    @property
    def number_columns(self) -> tuple[str, ...]:
        """Columns of metrics.parquet that hold one number a width, on test and on validation examples."""
        judged = [f"{metric.name}{end}" for metric in self.metrics for end in ("", "_low", "_high")]
        part = ["n", "loss", *judged]
        return "params", "macs", "bytes", *part, *(f"validation_{name}" for name in part)

    def score(self, predictions: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """One score an example: whether it is right, or its squared error averaged over the outputs.

        predictions: (n, ...) classes, or (n, outputs, ...) numbers; targets: (n,) or (n, outputs). Result: (n, ...).
        """
        if self.classes:
            right: np.ndarray = predictions == targets.reshape(-1, *(1,) * (predictions.ndim - 1))
            return right
        numbers = np.clip(predictions, 0.0, 1.0) if self.bounded else predictions
        error = numbers.astype(np.float64) - targets.reshape(*targets.shape, *(1,) * (numbers.ndim - 2))
        squared: np.ndarray = np.square(error).mean(axis=1)
        return squared

    def variance(self, targets: np.ndarray) -> float:
        """Variance of the targets, averaged over the outputs: the score of the best constant. NaN for classes."""
        return math.nan if self.classes else float(targets.astype(np.float64).var(axis=0).mean())

    def say(self, prediction: np.ndarray, labels: tuple[str, ...]) -> str:
        """One prediction for people: its label, or the number of each output."""
        if self.classes:
            return labels[int(prediction)]
        return ", ".join(f"{label} {value:.4g}" for label, value in zip(labels, np.ravel(prediction), strict=True))


def _digits(value: float, decimals: int, significant: bool) -> str:
    """A number with so many decimals, or so many significant digits but never an exponent."""
    if not significant:
        return f"{value:.{decimals}f}"
    if not math.isfinite(value) or value == 0:
        return f"{value:g}"
    return f"{value:.{min(max(decimals - 1 - math.floor(math.log10(abs(value))), 0), 12)}f}"
