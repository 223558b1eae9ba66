"""Times of one prediction, as measured with a run. No Streamlit here."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from app.store import cache
from core.errors import RunError
from core.runs.run import Run
from core.sweep.budget import timed as with_times

if TYPE_CHECKING:
    import pandas as pd

TIMES = {"machine", "batch", "width", "median_ms", "p25_ms", "p75_ms"}


def milliseconds(run: Run) -> dict[int, float]:
    """Median time of one prediction at the measured widths, on the machine that was measured last."""
    return {width: ms for width, (ms, _) in _latency(run.path, run.stamp)[1].items()}


def timed(run: Run) -> pd.DataFrame:
    """`metrics` with the time of one prediction, see `core.sweep.budget.timed`; shared too. Raises RunError."""
    return _timed(run.path, run.stamp)


def machine(run: Run) -> str:
    """The machine that `milliseconds` was measured on; empty where there is none."""
    return _latency(run.path, run.stamp)[0]


@lru_cache(maxsize=64)
def _timed(path: Path, stamp: tuple[Any, ...]) -> pd.DataFrame:
    return with_times(cache.metrics(cache.opened(path, stamp)), _latency(path, stamp)[1])


@lru_cache(maxsize=64)
def _latency(path: Path, stamp: tuple[Any, ...]) -> tuple[str, dict[int, tuple[float, float]]]:
    """The machine, and the median and spread (quartile to quartile) in ms by width."""
    import pandas as pd

    try:
        frame = Run(path).latency()
    except RunError:
        return "", {}
    if frame is None or frame.empty or not set(frame) >= TIMES:
        return "", {}
    name = frame["machine"].iloc[-1]
    rows = frame[(frame["machine"] == name) & (frame["batch"] == 1)]
    columns = ("width", "median_ms", "p25_ms", "p75_ms")
    widths, times, low, high = (pd.to_numeric(rows[column], errors="coerce") for column in columns)
    good = (widths >= 1) & (times > 0) & np.isfinite(times)  # a damaged time is left out, the rest still shown
    spread = (high - low).abs()
    return str(name), {
        int(w): (float(ms), float(s)) for w, ms, s in zip(widths[good], times[good], spread[good], strict=True)
    }
