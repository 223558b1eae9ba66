"""Cached, read-only access to the run store. Shared by all visitors, so nothing of one visitor's is kept here."""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from app.store.summary import Summary, summary
from core.errors import RunError, UserError
from core.runs.file_names import FILES, METRICS
from core.runs.run import Run
from core.runs.store import RUN_ID, BrokenRun, RunStore, check_id
from core.runs.tables import metrics_bounds
from core.sweep.budget import AGAINST_FULL
from core.utils.parquet import check_numbers, read_numbers

if TYPE_CHECKING:
    import pandas as pd

VARIABLE = "STRUCTURAL_DROPOUT_STORE"
SAMPLES = Path(__file__).resolve().parents[2] / "sample_checkpoints"
PARTS = ("", "validation_")  # what a page shows, and what it chooses by
LONGEST_CURRENT = 1.0  # seconds that a scan of the store counts as current
LONGEST_READING = 0.1  # seconds of reading figures before a page is shown
MOST_RANKED = 24  # runs on one data set that are looked into for a good one to open

_LOG = logging.getLogger(__name__)


def folder() -> Path:
    """The store that is shown: the environment's, or the sample runs."""
    return Path(os.environ.get(VARIABLE) or SAMPLES).expanduser()


def entries() -> tuple[list[Run], list[BrokenRun]]:
    """The store's readable runs and the others with their reasons, by name. Raises RunError where it is no folder."""
    found = _look().entries
    return [e for e in found if isinstance(e, Run)], [e for e in found if isinstance(e, BrokenRun)]


def summaries(seconds: float = LONGEST_READING) -> list[Summary]:
    """A line for each run of the store, readable or not. Raises RunError where it is no folder.

    Figures that could not be read in so many seconds are said to be unread; the next call goes on from there.
    """
    entries, until = _look().entries, time.monotonic() + seconds
    return [summary(entry, until=until) for entry in entries]


def look_again() -> None:
    """Make the next look at the store a new one: something in it has just been changed from here."""
    _LOOKS.clear()


def metrics(run: Run) -> pd.DataFrame:
    """The run's table, checked so that a page can trust it; don't change it, it is shared. Raises RunError."""
    return _metrics(run.path, run.stamp)


def numbers_in_file(run: Run, widths: Iterable[int]) -> list[int]:
    """Return how many numbers the file of each width holds: weights, biases, and constants that are not trained.

    It is the count of parameters on every page. `params` in metrics.parquet leaves the constants out.
    """
    tensors = run.layout.tensors.values()
    named = (run.widths_at(int(width)) for width in widths)
    return [sum(math.prod(tensor.shape_at(sizes)) for tensor in tensors) for sizes in named]


def predicted(run: Run, width: int) -> np.ndarray:
    """Return `Run.predicted`, read once for all parts of a page; shared, don't change it. Raises RunError."""
    return _predicted(run.path, run.stamp, width)


def targets(run: Run) -> np.ndarray:
    """`Run.targets`, shared too. Raises RunError."""
    return _targets(run.path, run.stamp)


def scores(run: Run, width: int) -> np.ndarray | None:
    """Each test example's score at `width`, (n,), see `Task.score`; None where that is not known."""
    try:
        return _scores(run.path, run.stamp, width)
    except (RunError, KeyError, TypeError, ValueError):
        return None


def label_counts(run: Run) -> np.ndarray | None:
    """Return the number of test examples of each label, (labels,); None where that is not known."""
    if not run.task.classes:
        return None
    count = len(run.record.labels)
    try:
        stored = targets(run)
    except RunError:
        return None
    if stored.dtype.kind not in "iu" or (len(stored) and not 0 <= stored.min() <= stored.max() < count):
        return None
    return np.bincount(stored, minlength=count)


def data_warnings(run: Run) -> list[str]:
    """Return the sentences of warning about its data that were stored with the run."""
    stored = run.record.data.get("warnings")
    return [text for text in stored if isinstance(text, str)] if isinstance(stored, list) else []


def same_examples(a: Run, b: Run) -> bool:
    """Whether two runs were tested on the same examples."""
    mine, theirs = (run.record.data.get("test_fingerprint") for run in (a, b))
    return isinstance(mine, str) and mine == theirs


def opening(runs: list[Run]) -> Run:
    """The run that a first visit opens: the best of those on the data that was used last."""
    for newest in _newest(runs):
        if found := next(ranked(runs, newest), None):
            return found
    return runs[0]


def ranked(runs: list[Run], like: Run) -> Iterator[Run]:
    """The measured runs on the same examples as `like`, best first; read one by one, as far as they are asked for.

    The best has the best validation figure at a tenth of the newest one's full size, the newest of equals: a rule
    that fits in a sentence and does not change from visit to visit.
    """
    alike = [run for run in _newest(runs) if run.record.task == like.record.task and same_examples(run, like)]
    found: list[tuple[float, Run]] = []
    limit: float | None = None
    for run in alike[:MOST_RANKED] or [like]:
        try:
            sizes, figures = _judged(run.path, run.stamp)
        except RunError:
            continue
        limit = limit or float(sizes[-1]) / 10
        found.append((float(np.max(figures[sizes <= limit], initial=-np.inf)), run))
    for _, run in sorted(found, key=lambda pair: -pair[0]):
        with suppress(RunError):
            metrics(run)
            yield run


@lru_cache(maxsize=256)
def _judged(path: Path, stamp: tuple[Any, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Bytes, ascending, and what sizes are chosen by, turned so that more is better; both (sizes,). Raises RunError."""
    run = opened(path, stamp)
    metric = run.task.metric
    table = read_numbers(path / METRICS, ["bytes", f"validation_{metric.name}"], metrics_bounds(run.record))
    if not len(table):
        raise RunError(f"{METRICS} holds no sizes")
    size, figure = table[table[:, 0].argsort(kind="stable")].T
    return size, np.where(np.isnan(figure), -np.inf, figure * (1 if metric.higher_is_better else -1))


def _newest(runs: list[Run]) -> list[Run]:
    """Measured runs, newest first."""
    return sorted((run for run in runs if run.has_metrics), key=lambda run: (run.record.created, run.id), reverse=True)


def _stamp(path: Path) -> tuple[Any, ...]:
    """Changes when any file of a run does, so that a store that grows while it is open is noticed."""
    found, folder = [], str(path)
    for name in FILES:
        try:
            stat = os.stat(f"{folder}/{name}")  # joining paths takes longer than asking the system
        except OSError:
            continue
        found.append((name, stat.st_mtime_ns, stat.st_size))
    return tuple(found)


@dataclass(frozen=True)
class _Look:
    """The store's entries, and how long they count as current."""

    until: float
    entries: tuple[Run | BrokenRun, ...]


_LOOKING = Lock()
_LOOKS: dict[Path, _Look] = {}  # of the store, which is the same for every visitor


def _look() -> _Look:
    """Return the store's entries, at most a moment old: scanning every file of a thousand runs takes a while.

    A scan counts as current for 20 times as long as it took, at most a second, so that scanning takes a twentieth of
    the time. Visitors who come at once share one.
    """
    with _LOOKING:
        return _looked(RunStore(folder()))


def _looked(store: RunStore) -> _Look:
    started = time.monotonic()
    known = _LOOKS.get(store.folder)
    if known is not None and started < known.until:
        return known
    try:
        stamps = {store.folder / name: _stamp(store.folder / name) for name in store.ids()}
    except OSError as error:
        raise RunError(f"store {store.folder} can't be read: {error.strerror or error}") from None
    current = min(LONGEST_CURRENT, 20 * (time.monotonic() - started))
    entries = tuple(_entry(path, stamp) for path, stamp in stamps.items())
    found = _Look(time.monotonic() + current, entries)
    _LOOKS.clear()
    _LOOKS[store.folder] = found
    return found


@lru_cache(maxsize=4096)
def _entry(path: Path, stamp: tuple[Any, ...]) -> Run | BrokenRun:
    try:
        if not RUN_ID.fullmatch(path.name):
            check_id(path.name)
        return Run(path)
    except UserError as error:
        return BrokenRun(path.name, str(error))
    except Exception as error:  # whatever a damaged file does, the other runs stay usable
        _LOG.exception("run %s", path)
        return BrokenRun(path.name, f"the run can't be read: {type(error).__name__} {error}")


def opened(path: Path, stamp: tuple[Any, ...]) -> Run:
    """The run as it was when it had this stamp, for whoever reads much of it in one go. Raises RunError."""
    found = _entry(path, stamp)
    if isinstance(found, BrokenRun):
        raise RunError(found.reason)
    return found.as_of(stamp)


@lru_cache(maxsize=64)
def _metrics(path: Path, stamp: tuple[Any, ...]) -> pd.DataFrame:
    run = Run(path)
    frame = run.metrics()
    judged = [f"{part}{m.name}{end}" for m in run.task.metrics for part in PARTS for end in ("", "_low", "_high")]
    try:
        against_full = [name for name in AGAINST_FULL if name in frame]  # which older tables lack
        check_numbers(METRICS, frame, ["params", "bytes", "n", "validation_n", *judged, *against_full])
        if (frame[["params", "bytes", "n"]] < 1).any(axis=None) or (frame["params"].diff() < 0).any():
            raise RunError(f"{METRICS} holds sizes that can't be")
    except RunError as error:
        raise RunError(f"{error}; make it again with: python -m core sweep {path}") from None
    return frame.assign(params=numbers_in_file(run, frame["width"]))


@lru_cache(maxsize=4)
def _predictions(path: Path, stamp: tuple[Any, ...]) -> pd.DataFrame:
    """All sizes at once takes little longer than one, as a file of so many columns is slow to open."""
    return opened(path, stamp).predictions()


@lru_cache(maxsize=64)
def _predicted(path: Path, stamp: tuple[Any, ...], width: int) -> np.ndarray:
    found = opened(path, stamp).answers(_predictions(path, stamp), f"w{width}")
    if found is None:
        raise RunError(f"the predictions of {width} units are not there")
    return found


@lru_cache(maxsize=16)
def _targets(path: Path, stamp: tuple[Any, ...]) -> np.ndarray:
    return opened(path, stamp).targets()


@lru_cache(maxsize=128)
def _scores(path: Path, stamp: tuple[Any, ...], width: int) -> np.ndarray:
    return opened(path, stamp).task.score(_predicted(path, stamp, width), _targets(path, stamp))
