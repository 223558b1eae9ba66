"""Cached, read-only access to the run store. Shared by all visitors, so nothing of one visitor's is kept here."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import RunError, UserError
from core.runs import FILES, BrokenRun, Run, RunStore

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

VARIABLE = "STRUCTURAL_DROPOUT_STORE"
SAMPLES = Path(__file__).resolve().parents[1] / "sample_checkpoints"


def folder() -> Path:
    """The store that is shown: the environment's, or the sample runs."""
    return Path(os.environ.get(VARIABLE) or SAMPLES)


def entries() -> tuple[list[Run], list[BrokenRun]]:
    """The store's readable runs and the others with their reasons, by name. Raises RunError where it is no folder."""
    store = RunStore(folder())
    found = [_entry(store.folder / name, _stamp(store.folder / name)) for name in store.ids()]
    return [e for e in found if isinstance(e, Run)], [e for e in found if isinstance(e, BrokenRun)]


def metrics(run: Run) -> pd.DataFrame:
    """The run's table; don't change it, it is shared. Raises RunError."""
    return _metrics(run.path, run.stamp)


def correct(run: Run, width: int) -> np.ndarray | None:
    """Which test examples the run gets right at `width`, (n,) bool; None where that is not known."""
    try:
        return _correct(run.path, run.stamp, width)
    except RunError:
        return None


def milliseconds(run: Run) -> dict[int, float]:
    """Median time of one prediction at the measured widths, on the machine that was measured last."""
    return _milliseconds(run.path, run.stamp)


def _stamp(path: Path) -> tuple[Any, ...]:
    """Changes when any file of a run does, so that a store that grows while it is open is noticed."""
    found = []
    for name in FILES:
        try:
            stat = os.stat(path / name)
        except OSError:
            continue
        found.append((name, stat.st_mtime_ns, stat.st_size))
    return tuple(found)


@lru_cache(maxsize=4096)
def _entry(path: Path, stamp: tuple[Any, ...]) -> Run | BrokenRun:
    try:
        return Run(path)
    except UserError as error:
        return BrokenRun(path.name, str(error))
    except Exception as error:  # whatever a damaged file does, the other runs stay usable
        return BrokenRun(path.name, f"the run can't be read: {type(error).__name__} {error}")


@lru_cache(maxsize=64)
def _metrics(path: Path, stamp: tuple[Any, ...]) -> pd.DataFrame:
    return Run(path).metrics()


@lru_cache(maxsize=512)
def _correct(path: Path, stamp: tuple[Any, ...], width: int) -> np.ndarray:
    frame = Run(path).predictions(width)
    found: np.ndarray = (frame[f"w{width}"] == frame["label"]).to_numpy()
    return found


@lru_cache(maxsize=64)
def _milliseconds(path: Path, stamp: tuple[Any, ...]) -> dict[int, float]:
    try:
        frame = Run(path).latency()
    except RunError:
        return {}
    if frame is None or frame.empty or not {"machine", "batch", "width", "median_ms"} <= set(frame):
        return {}
    rows = frame[(frame["machine"] == frame["machine"].iloc[-1]) & (frame["batch"] == 1)]
    return {int(w): float(ms) for w, ms in zip(rows["width"], rows["median_ms"], strict=True)}
