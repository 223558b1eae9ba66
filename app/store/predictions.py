"""Predictions of runs on their test examples, cached for all visitors. No Streamlit here."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from app.store import cache
from core.errors import UserError
from core.runs.run import Run
from core.tasks.base import Metric

Measured = list[tuple[Run, pd.DataFrame]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Answers:
    """One run at one size on its test examples; arrays are shared, don't change them."""

    run: Run
    width: int
    predicted: np.ndarray  # (n,) classes, or (n, outputs) numbers
    targets: np.ndarray  # like `predicted`
    scores: np.ndarray  # (n,), see `Task.score`


@dataclass(frozen=True, kw_only=True, eq=False)
class Comparison:
    """The comparison on the page: runs with their figures, the question, and the row of each run that answers it."""

    measured: Measured
    metric: Metric
    rows: list[int | None]
    question: str  # as a person reads it: "a file of at most 50 kB"
    against: str  # what the curves are drawn over: "bytes" or "width"
    max_kb: float | None = None  # where they are compared at a file size

    @property
    def here(self) -> list[tuple[Run, pd.Series]]:
        """The runs that have a size that fits, each with its figures there."""
        return [
            (run, metrics.iloc[row])
            for (run, metrics), row in zip(self.measured, self.rows, strict=True)
            if row is not None
        ]

    @property
    def same_examples(self) -> bool:
        """Whether all runs were tested on the same examples, so that a difference is theirs and not the data's."""
        first = self.measured[0][0]
        return all(cache.same_examples(first, run) for run, _ in self.measured[1:])

    @property
    def widths(self) -> list[int | None]:
        """The width of each run that is compared, or None."""
        return [
            None if row is None else int(metrics["width"].iloc[row])
            for (_, metrics), row in zip(self.measured, self.rows, strict=True)
        ]


def answers(run: Run, width: int) -> Answers | None:
    """The run's answers at `width`; None where they are not stored or can't be read."""
    try:
        return _answers(run.path, run.stamp, width)
    except (UserError, KeyError, TypeError, ValueError):
        return None


def all_answers(comparison: Comparison) -> list[Answers]:
    """The answers of each run that has a size that fits; those that can't be read are left out."""
    return [found for run, at in comparison.here if (found := answers(run, int(at["width"]))) is not None]


@lru_cache(maxsize=64)
def _answers(path: Path, stamp: tuple[Any, ...], width: int) -> Answers:
    run = cache.opened(path, stamp)
    predicted, targets, scores = cache.predicted(run, width), cache.targets(run), cache.scores(run, width)
    if scores is None:
        raise UserError(f"the scores of run {run.id} at width {width} can't be read")
    return Answers(run=run, width=width, predicted=predicted, targets=targets, scores=scores)
