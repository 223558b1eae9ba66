"""Agreement of two runs: on how many test examples predictions match, and who is right elsewhere. No Streamlit here."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from app import words
from app.store import cache
from app.store.predictions import Answers
from core.tasks.statistics import wilson_interval

PERCENT = 100.0


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Two runs on the same test examples."""

    names: tuple[str, str]
    n: int
    same: int  # same label, right or wrong; of numbers, equally close to the truth
    first: int  # only the first is right, or it is closer to the truth
    second: int
    neither: int  # both wrong, each in its own way; 0 for numbers
    apart: float | None  # of numbers: how far the two typically are from each other (root mean square)
    example: str

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the share of equal predictions, as fractions."""
        return wilson_interval(self.same, self.n)

    @property
    def sentence(self) -> str:
        """The counts as sentences."""
        a, b = self.names
        if self.apart is not None:
            equal = f", and both equally close on {self.same:,}" if self.same else ""
            return (
                f"Of {self.n:,} test {self.example}s, {a} is closer to the truth on {self.first:,} and {b} on "
                f"{self.second:,}{equal}. Typically their predictions are {self.apart:.3g} apart."
            )
        low, high = self.interval
        head = (
            f"{a} and {b} say the same on {self.same:,} of {self.n:,} test {self.example}s "
            f"({_percent(self.same / self.n)}; 95 % interval {PERCENT * low:.1f} to {_percent(high)})."
        )
        if self.same == self.n:
            return head
        return (
            f"{head} Of the other {self.n - self.same:,}, {a} is right on {self.first:,}, {b} on {self.second:,}, "
            f"and neither on {self.neither:,}."
        )


def agreements(found: Sequence[Answers]) -> list[Agreement]:
    """Every pair of runs that were tested on the same examples."""
    pairs = (_pair(a, b) for a, b in itertools.combinations(found, 2))
    return [pair for pair in pairs if pair is not None]


def table(pairs: Sequence[Agreement]) -> pd.DataFrame:
    """Return the counts as a table; all pairs have one kind of task."""
    return pd.DataFrame([_line(pair) for pair in pairs])


def _line(pair: Agreement) -> dict[str, Any]:
    line: dict[str, Any] = {"First run": pair.names[0], "Second run": pair.names[1]}
    if pair.apart is not None:
        return line | {
            "First is closer": f"{pair.first:,}",
            "Second is closer": f"{pair.second:,}",
            "Equally close": f"{pair.same:,}",
            "Typically apart": f"{pair.apart:.3g}",
        }
    low, high = pair.interval
    return line | {
        "Say the same": _percent(pair.same / pair.n),
        "95 % interval": f"{PERCENT * low:.1f} to {_percent(high)}",
        "Only first right": f"{pair.first:,}",
        "Only second right": f"{pair.second:,}",
        "Both wrong, different answers": f"{pair.neither:,}",
    }


def _pair(a: Answers, b: Answers) -> Agreement | None:
    if not cache.same_examples(a.run, b.run) or not np.array_equal(a.targets, b.targets):
        return None
    if a.predicted.shape != b.predicted.shape or a.run.task != b.run.task or not len(a.targets):
        return None
    known: dict[str, Any] = {
        "names": (words.short(a.run.id), words.short(b.run.id)),
        "n": len(a.targets),
        "example": a.run.task.example,
    }
    if not a.run.task.classes:
        apart = math.sqrt(float(np.square(a.predicted.astype(np.float64) - b.predicted).mean()))
        first, second = int((a.scores < b.scores).sum()), int((a.scores > b.scores).sum())
        return Agreement(
            **known, same=len(a.targets) - first - second, first=first, second=second, neither=0, apart=apart
        )
    if a.run.record.labels != b.run.record.labels:
        return None
    differ = a.predicted != b.predicted
    first, second = int((differ & a.scores).sum()), int((differ & b.scores).sum())
    total = int(differ.sum())
    return Agreement(
        **known, same=len(differ) - total, first=first, second=second, neither=total - first - second, apart=None
    )


def _percent(share: float) -> str:
    return f"{PERCENT * share:.1f} %"
