"""Paired tests of two models on the same examples, in words. No Streamlit here."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.tasks.base import Task
from core.tasks.statistics import paired_test

ALPHA = 0.05  # a difference that chance alone makes less often than this is told


@dataclass(frozen=True, kw_only=True)
class Paired:
    """Result of a paired test."""

    p: float
    first_is_better: bool  # by the examples' mean score
    counts: str  # a sentence, for whoever asks how it is known

    @property
    def significant(self) -> bool:
        """Whether the difference is significant."""
        return self.p < ALPHA


def chance(p: float) -> str:
    """Return how often chance makes a difference as large, where both are equally good: `in 12 of 100 such tests`."""
    if p < 0.001:
        return "in fewer than 1 of 1,000 such tests"
    if p >= 0.5:
        return "in more than half of all such tests"
    return f"in {100 * p:.0f} of 100 such tests" if p >= 0.0095 else f"in {1000 * p:.0f} of 1,000 such tests"


def paired(task: Task, first: np.ndarray, second: np.ndarray, names: tuple[str, str]) -> Paired:
    """Compare two models' scores on the same examples, (n,) each."""
    p = paired_test(first, second)
    better = first > second if task.classes else first < second
    worse = first < second if task.classes else first > second
    wins, losses = int(better.sum()), int(worse.sum())
    mine, theirs = float(first.mean()), float(second.mean())
    first_is_better = mine > theirs if task.classes else mine < theirs
    alone, verb = ("alone ", "is right on") if task.classes else ("", "is closer to the truth on")
    counts = (
        f"Of the same {len(first):,} test {task.example}s, {names[0]} {alone}{verb} {wins:,} and "
        f"{names[1]} {alone}on {losses:,}."
    )
    if mine != theirs and wins != losses and first_is_better != (wins > losses):
        ahead, behind = names if first_is_better else names[::-1]
        counts += f" Where {behind} is closer, it is by less, so {ahead} has the smaller error on average."
    if wins or losses:
        counts += f" Chance alone would make such a difference {chance(p)}."
    return Paired(p=p, first_is_better=first_is_better, counts=counts)
