"""What changes from full size to a smaller one, on the same test examples. No Streamlit here."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from app import words
from app.store import cache
from app.store.predictions import Answers, answers
from app.store.significance import ALPHA
from core.errors import RunError
from core.runs.run import Run
from core.tasks.classification import ACCURACY
from core.tasks.statistics import Z95, paired_test

MOST_ROWS = 200  # of a table
LONGEST_LABEL = 24


@dataclass(frozen=True, kw_only=True, eq=False)
class Pair:
    """The same test examples at the picked size and at full size."""

    here: Answers
    full: Answers

    @property
    def run(self) -> Run:
        """The run that both are of."""
        return self.here.run

    @property
    def lost(self) -> np.ndarray:
        """(n,) flags: right at full size and wrong here; of numbers, farther from the truth here."""
        return _better(self.full, self.here)

    @property
    def gained(self) -> np.ndarray:
        """(n,) flags: the other way round."""
        return _better(self.here, self.full)

    @property
    def sentence(self) -> str:
        """How many test examples change, in plain words."""
        n, lost, gained = len(self.lost), int(self.lost.sum()), int(self.gained.sum())
        size, one = words.units(self.here.width), self.here.width == 1
        if not self._classes:
            return (
                f"Of {n:,} test {self.run.task.example}s, {size} {'is' if one else 'are'} farther from the truth than "
                f"full size on {lost:,} and closer on {gained:,}."
            )
        both = int((self.here.predicted != self.full.predicted).sum()) - lost - gained
        more = f" On {both:,} more both are wrong, each in its own way." if both else ""
        return (
            f"Of {n:,} test examples, {lost:,} that full size gets right {'goes' if lost == 1 else 'go'} wrong at "
            f"{size}, and {gained:,} that full size gets wrong {'comes' if gained == 1 else 'come'} right.{more}"
        )

    @property
    def _classes(self) -> bool:
        return self.run.task.classes


@dataclass(frozen=True, kw_only=True, eq=False)
class ByLabel:
    """How often each label is right here against full size, the label that loses most first; arrays are (labels,)."""

    names: tuple[str, ...]
    change: np.ndarray  # fractions; below 0 where this size is right less often
    low: np.ndarray  # 95 % interval
    high: np.ndarray
    lost: np.ndarray
    gained: np.ndarray
    n: np.ndarray  # test examples
    significant: np.ndarray  # whether the change is more than chance makes on one of so many labels

    @property
    def sentence(self) -> str:
        """Which label loses most, and whether that may be chance."""
        if not self.lost.any() and not self.gained.any():
            return "No label is right more or less often than at full size."
        change = ACCURACY.scale * abs(self.change[0])
        if self.change[0] >= 0:
            return "No label is right less often than at full size."
        sure = (
            "more than chance makes on the worst of so many labels"
            if self.significant[0]
            else "which may be chance: of several labels, one always changes most"
        )
        others = int((self.significant & (self.change < 0))[1:].sum())
        more = f" {others:,} more {'loses' if others == 1 else 'lose'} more than chance would make." if others else ""
        return f"{self.names[0]} loses most: {change:.1f} points, {sure}.{more}"


@dataclass(frozen=True, kw_only=True, eq=False)
class MixUps:
    """How often one label is taken for another; what has grown most against full size first; arrays are (pairs,)."""

    true: np.ndarray  # label's number
    said: np.ndarray
    here: np.ndarray  # test examples
    full: np.ndarray

    @property
    def change(self) -> np.ndarray:
        """How many more there are here."""
        more: np.ndarray = self.here - self.full
        return more


def pair(run: Run, width: int) -> Pair | None:
    """The answers of a measured width and of full size; None where they are not stored or are damaged."""
    try:
        full = int(cache.metrics(run)["width"].iloc[-1])
    except RunError:
        return None
    found = [answers(run, size) for size in (width, full)]
    if found[0] is None or found[1] is None or not len(found[0].targets):
        return None
    here, whole = found[0], found[1]
    if run.task.classes:
        for values in (here.predicted, whole.predicted, here.targets):
            if values.dtype.kind not in "iu" or values.min() < 0 or values.max() >= len(run.record.labels):
                return None
    return Pair(here=here, full=whole)


def by_label(found: Pair) -> ByLabel:
    """Each label that has test examples."""
    labels, targets = found.run.record.labels, found.here.targets.astype(np.int64)
    n, lost, gained = (
        np.bincount(targets[flags], minlength=len(labels))
        for flags in (np.ones(len(targets), bool), found.lost, found.gained)
    )
    kinds = np.flatnonzero(n)
    kinds = kinds[np.argsort((gained[kinds] - lost[kinds]) / n[kinds], kind="stable")]
    change = (gained[kinds] - lost[kinds]) / n[kinds]
    low, high = paired_interval(lost[kinds], gained[kinds], n[kinds])
    flips = ((np.arange(g + b) < g, np.arange(g + b) >= g) for g, b in zip(gained[kinds], lost[kinds], strict=True))
    significant = np.array([paired_test(*pair) * len(kinds) < ALPHA for pair in flips], bool)
    return ByLabel(
        names=tuple(name_of(labels, int(k)) for k in kinds),
        change=change, low=low, high=high, lost=lost[kinds], gained=gained[kinds], n=n[kinds], significant=significant,
    )  # fmt: skip


def paired_interval(lost: np.ndarray, gained: np.ndarray, n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """95 % interval of the difference of two shares on the same n examples, as fractions (Agresti and Min, 2005).

    Half an example is added to each of the four outcomes, so that no change at all is not held for certain.
    """
    total = n + 2.0
    middle = (gained - lost) / total
    half = Z95 * np.sqrt(lost + gained + 1 - np.square(gained - lost) / total) / total
    return np.maximum(middle - half, -1.0), np.minimum(middle + half, 1.0)


def mix_ups(found: Pair) -> MixUps:
    """Every pair of labels that are mixed up at either size. Counted by pair: labels may be many."""
    count = len(found.run.record.labels)
    targets = found.here.targets.astype(np.int64)
    codes = [targets * count + side.predicted.astype(np.int64) for side in (found.here, found.full)]
    pairs = np.unique(np.concatenate([code[code // count != code % count] for code in codes]))
    here, full = (np.bincount(_places(pairs, code), minlength=len(pairs)) for code in codes)
    order = np.lexsort((pairs, -here, full - here))
    true, said = (part[order] for part in (pairs // count, pairs % count))
    return MixUps(true=true, said=said, here=here[order], full=full[order])


def mix_up_sentence(found: MixUps, labels: tuple[str, ...]) -> str:
    """Return in a sentence which mix-up grows most against full size."""
    if not len(found.here):
        return "Nothing is mixed up, here or at full size."
    if found.change[0] <= 0:
        return "No two labels are mixed up more often than at full size."
    true, said = name_of(labels, int(found.true[0])), name_of(labels, int(found.said[0]))
    return (
        f"What grows most: {true} is taken for {said} {int(found.here[0]):,} times here, and {int(found.full[0]):,} "
        "times at full size."
    )


def mix_up_table(found: MixUps, labels: tuple[str, ...]) -> pd.DataFrame:
    """A row for each mix-up."""
    rows = range(min(len(found.here), MOST_ROWS))
    return pd.DataFrame(
        {
            "It is": [name_of(labels, int(found.true[k])) for k in rows],
            "Taken for": [name_of(labels, int(found.said[k])) for k in rows],
            "This size": [f"{found.here[k]:,}" for k in rows],
            "Full size": [f"{found.full[k]:,}" for k in rows],
            "Change": [signed(int(found.change[k])) for k in rows],
        }
    )


def label_table(found: ByLabel) -> pd.DataFrame:
    """A row for each label."""
    rows = range(min(len(found.names), MOST_ROWS))
    scale = ACCURACY.scale
    return pd.DataFrame(
        {
            "Label": [found.names[k] for k in rows],
            "Change": [f"{_points(scale * found.change[k])} points" for k in rows],
            "95 % interval": [f"{_points(scale * found.low[k])} to {_points(scale * found.high[k])}" for k in rows],
            "Right → wrong": [f"{found.lost[k]:,}" for k in rows],
            "Wrong → right": [f"{found.gained[k]:,}" for k in rows],
            "Test examples": [f"{found.n[k]:,}" for k in rows],
        }
    )


def name_of(labels: tuple[str, ...], kind: int) -> str:
    """A label in a chart or a table, which may be long, or nothing at all."""
    return words.short(labels[kind], LONGEST_LABEL) or f"label {kind + 1}"


def signed(value: int) -> str:
    """`+3`, `−5`, `0`."""
    return f"+{value:,}" if value > 0 else f"−{-value:,}" if value else "0"


def _better(a: Answers, b: Answers) -> np.ndarray:
    """(n,) flags: where `a` is right and `b` is not, or where its number is closer to the truth."""
    found: np.ndarray = a.scores & ~b.scores if a.run.task.classes else a.scores < b.scores
    return found


def _points(value: float) -> str:
    text = f"{abs(value):.1f}"
    return text if text == "0.0" else f"{'+' if value > 0 else '−'}{text}"


def _places(pairs: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Where each code stands among the sorted pairs; codes that are none of them are left out."""
    at = np.searchsorted(pairs, codes)
    inside = at < len(pairs)
    at, codes = at[inside], codes[inside]
    found: np.ndarray = at[pairs[at] == codes]
    return found
