"""A run's polished sizes, those that were trained on by themselves: their points and weights. No Streamlit here."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd

from app.store import cache
from app.store.significance import paired
from core.errors import UserError
from core.runs.polished import read_predictions
from core.runs.run import Run

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Points:
    """What a run has of them: a row for each, ascending by width; and why they can't be read, where that is so."""

    table: pd.DataFrame = field(default_factory=pd.DataFrame)
    problem: str = ""

    def at(self, width: int) -> Mapping[str, Any] | None:
        """The row of a width, or None."""
        if self.table.empty:
            return None
        found: list[Any] = self.table[self.table["width"] == width].to_dict("records")
        return found[0] if found else None


def taken(run: Run, width: int, *, alone: bool) -> tuple[Run, str]:
    """The run that a file of `width` is made of, and why it is not the one that was asked for, where it is not.

    With `alone` it is the size as it was trained on by itself, where it was.
    """
    if not alone or points(run).at(width) is None:
        return run, ""
    try:
        return run.with_polished(width), ""
    except UserError as error:
        return run, str(error)


def points(run: Run) -> Points:
    """Those of a run; shared by all visitors, so don't change the table."""
    return _points(run.path, run.stamp)


@lru_cache(maxsize=64)
def _points(path: Path, stamp: tuple[Any, ...]) -> Points:
    run = cache.opened(path, stamp)
    try:
        found = run.polished()
        if found.empty:
            return Points()
        # a size that was never measured can't be picked
        table = found[found["width"].isin(cache.metrics(run)["width"])].reset_index(drop=True)
        return Points(table.assign(params=cache.numbers_in_file(run, table["width"])))
    except UserError as error:
        return Points(problem=str(error))
    except Exception as error:  # whatever a damaged file does, the rest of the page is worth as much
        _LOG.exception("polished points of %s", path)
        return Points(problem=f"the file can't be read ({type(error).__name__})")


def differs(run: Run, width: int) -> bool | None:
    """Whether test examples tell a polished size from the same size as trained together; None where unknown."""
    return _differs(run.path, run.stamp, width)


@lru_cache(maxsize=256)
def _differs(path: Path, stamp: tuple[Any, ...], width: int) -> bool | None:
    """By a paired test at 95 %; None where the predictions are not stored."""
    run = cache.opened(path, stamp)
    try:
        answers = read_predictions(run.path, run.record, width)
        mine, before = run.task.score(answers, run.targets()), cache.scores(run, width)
    except (UserError, ValueError, KeyError, TypeError):
        return None
    if before is None or mine.shape != before.shape:
        return None
    return paired(run.task, mine, before, ("one", "the other")).told
