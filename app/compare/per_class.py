"""Runs side by side, label by label, and on which label they differ most. No Streamlit here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from app import words
from app.store import cache
from app.store.predictions import Answers
from app.store.significance import ALPHA
from core.tasks.classification import ACCURACY
from core.tasks.statistics import mean_and_interval, paired_test

LONGEST_HEAD = 26  # letters of a run's name, so that four runs fit beside each other


@dataclass(frozen=True, kw_only=True)
class ByClass:
    """How often each run is right on the test examples of each label."""

    names: tuple[str, ...]  # of the runs
    labels: tuple[str, ...]
    values: np.ndarray  # (runs, labels), fractions; NaN where a label has no test example
    low: np.ndarray  # 95 % interval
    high: np.ndarray
    n: np.ndarray  # test examples, (runs, labels)
    sentence: str  # on which label they differ most, and whether the data can tell


def by_class(found: Sequence[Answers]) -> ByClass | None:
    """Return each run's accuracy by label; None where the runs have different labels."""
    if len(found) < 2 or not all(a.run.task.classes for a in found):
        return None
    labels = found[0].run.record.labels
    if any(a.run.record.labels != labels for a in found):
        return None
    shape = (len(found), len(labels))
    value, low, high = (np.full(shape, np.nan) for _ in range(3))
    n = np.zeros(shape, int)
    for i, a in enumerate(found):
        for k in range(len(labels)):
            scores = a.scores[a.targets == k]
            n[i, k] = len(scores)
            if len(scores):
                value[i, k], low[i, k], high[i, k] = mean_and_interval(scores)
    names = tuple(words.short(a.run.id) for a in found)
    shown = tuple(words.short(label, 24) or f"label {k + 1}" for k, label in enumerate(labels))
    sentence = _sentence(found, names, shown, value)
    return ByClass(names=names, labels=shown, values=value, low=low, high=high, n=n, sentence=sentence)


def order(found: ByClass) -> np.ndarray:
    """Labels by how far the runs are apart on them, the farthest first; labels without test examples are left out."""
    gap = _gap(found.values)
    return np.array([k for k in np.argsort(-gap, kind="stable") if gap[k] >= 0], int)


def table(found: ByClass) -> pd.DataFrame:
    """A row for each label, the one on which the runs differ most first."""
    rows = order(found)
    columns: dict[str, list[str]] = {"Label": [found.labels[k] for k in rows]}
    for i, name in enumerate(words.short(name, LONGEST_HEAD) for name in found.names):
        columns[words.own_name(name, columns)] = [
            f"{ACCURACY.format(found.values[i, k])} ({ACCURACY.format_interval(found.low[i, k], found.high[i, k])})"
            for k in rows
        ]
    gap = _gap(found.values)
    columns["Apart"] = [f"{ACCURACY.scale * gap[k]:.1f} points" for k in rows]
    columns["Test examples"] = [" / ".join(dict.fromkeys(f"{n:,}" for n in found.n[:, k])) for k in rows]
    return pd.DataFrame(columns)


def _gap(values: np.ndarray) -> np.ndarray:
    """Between the best and the worst run on each label; -1 where a run has no test example of it."""
    known = np.isfinite(values).all(axis=0)
    return np.where(known, np.where(known, values, 0).max(axis=0) - np.where(known, values, 0).min(axis=0), -1.0)


def _sentence(found: Sequence[Answers], names: Sequence[str], labels: Sequence[str], values: np.ndarray) -> str:
    gap = _gap(values)
    if not all(cache.same_examples(found[0].run, other.run) for other in found[1:]):
        return "These runs were tested on different examples, so a difference may come from the data."
    if not len(gap) or gap.max() < 0:
        return "No label has test examples in all of these runs."
    if gap.max() == 0:
        return "On every label these runs are right equally often."
    k = int(gap.argmax())
    best, worst = int(values[:, k].argmax()), int(values[:, k].argmin())
    looked = int((gap >= 0).sum()) * len(found) * (len(found) - 1) // 2
    told = _told(found[best], found[worst], k, looked)
    sure = (
        "more than chance would make on the farthest of so many labels"
        if told
        else "which may be chance: of several labels, one always differs most"
    )
    return (
        f"They differ most on {labels[k]}: {names[best]} is right on {ACCURACY.format(values[best, k])} of these "
        f"examples, {names[worst]} on {ACCURACY.format(values[worst, k])}. That is "
        f"{ACCURACY.scale * gap[k]:.1f} points, {sure}."
    )


def _told(a: Answers, b: Answers, k: int, looked: int) -> bool:
    """Return whether two runs differ on the label picked as the farthest of `looked` (paired test, Bonferroni)."""
    mine, theirs = a.scores[a.targets == k], b.scores[b.targets == k]
    return bool(np.array_equal(a.targets, b.targets)) and paired_test(mine, theirs) * looked < ALPHA
