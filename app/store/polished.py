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
    """A run's polished sizes, a row each, ascending by width; `problem` is why they can't be read, if so."""

    table: pd.DataFrame = field(default_factory=pd.DataFrame)
    problem: str = ""

    def at(self, width: int) -> Mapping[str, Any] | None:
        """The row of a width, or None."""
        if self.table.empty:
            return None
        found: list[Any] = self.table[self.table["width"] == width].to_dict("records")
        return found[0] if found else None


def taken(run: Run, width: int, *, alone: bool) -> tuple[Run, str]:
    """Return the run to make a file of `width` from, and the reason where it is not the one asked for.

    With `alone` it is the polished size, where there is one.
    """
    if not alone or points(run).at(width) is None:
        return run, ""
    try:
        return run.with_polished(width), ""
    except UserError as error:
        return run, str(error)


def points(run: Run) -> Points:
    """Return a run's polished sizes; shared by all visitors, so don't change the table."""
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
    return paired(run.task, mine, before, ("one", "the other")).significant
