"""The best run at every size, over all runs of the store that were tested on the same examples. No Streamlit here."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import pandas as pd

from app import words
from app.store import cache
from core.errors import UserError
from core.runs.file_names import METRICS
from core.runs.run import Run
from core.runs.tables import metrics_bounds
from core.sweep.budget import Budget, answer, frontier
from core.tasks.base import Metric
from core.utils.parquet import check_numbers, read_table

SECONDS = 0.5  # of reading figures at a time
BEST = 5  # runs that are listed at a size


@dataclass(frozen=True, kw_only=True)
class Field:
    """All comparable runs of the store: each one's best sizes, as rows `run`, `width`, `params`, `bytes`, figures."""

    table: pd.DataFrame
    runs: dict[str, Run]
    unread: int  # runs that there was no time for
    unusable: int  # runs whose figures can't be read

    def best(self, metric: Metric) -> pd.DataFrame:
        """The rows that no other equals or beats at the same size or less, the smallest first."""
        return self.table[frontier(self.table, metric)].sort_values("bytes", ignore_index=True)

    def at(self, metric: Metric, max_bytes: float) -> pd.DataFrame:
        """The best size of each run within a file size, best runs first (on validation examples); at most `BEST`."""
        budget = Budget(max_bytes=max_bytes)
        rows: list[pd.Series] = []
        small = self.table[self.table["bytes"] <= max_bytes]
        while len(small) and len(rows) < BEST:
            rows.append(small.iloc[answer(small, metric, budget).row])
            small = small[small["run"] != rows[-1]["run"]]
        return pd.DataFrame(rows).reset_index(drop=True)


def field(runs: Sequence[Run], like: Run, seconds: float = SECONDS) -> Field:
    """The runs that share data and metric with `like`. What is read is kept until the run changes."""
    until, parts, named, unread, unusable = time.monotonic() + seconds, [], {}, 0, 0
    for run in runs:
        if not run.has_metrics or run.task != like.task or not cache.same_examples(run, like):
            continue
        part = _KNOWN.get(run)
        if part is None:
            if time.monotonic() > until:
                unread += 1
                continue
            part = _KNOWN[run] = _part(run)
        if part.empty:
            unusable += 1
        else:
            parts.append(part)
            named[run.id] = run
    found = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    return Field(table=found, runs=named, unread=unread, unusable=unusable)


def stretches(best: pd.DataFrame, metric: Metric) -> pd.DataFrame:
    """From which file size on which run is best, a row for each stretch."""
    if best.empty:
        return pd.DataFrame()
    lines = []
    parts = [part for _, part in best.groupby((best["run"] != best["run"].shift()).cumsum())]
    for k, part in enumerate(parts):
        first, last = part.iloc[0], part.iloc[-1]
        low, high = metric.format(first[metric.name]), metric.format(last[metric.name])
        until = _kb(parts[k + 1].iloc[0]["bytes"]) if k + 1 < len(parts) else "any size"
        few, many = int(first["width"]), int(last["width"])
        lines.append(
            {
                "From a file of": _kb(first["bytes"]),
                "To": f"below {until}" if k + 1 < len(parts) else until,
                "Best run": words.short(first["run"]),
                metric.label: low if low == high else f"{low} to {high}",
                "Units": f"{few:,}" if few == many else f"{few:,} to {many:,}",
            }
        )
    return pd.DataFrame(lines)


def _kb(size: float) -> str:
    """Exact enough that two neighbours differ."""
    return f"{size / 1e3:,.2f} kB"


def _part(run: Run) -> pd.DataFrame:
    """The run's own best sizes; empty where its figures can't be used."""
    metric = run.task.metric
    judged = [metric.name, f"{metric.name}_low", f"{metric.name}_high", f"validation_{metric.name}"]
    wanted = ["width", "params", "bytes", *judged]
    try:
        frame = read_table(run.path / METRICS, wanted, metrics_bounds(run.record))[wanted]
        check_numbers(METRICS, frame, wanted)
        if (frame[["width", "params", "bytes"]] < 1).any(axis=None) or frame.empty:
            return pd.DataFrame()
    except UserError:
        return pd.DataFrame()
    frame = frame.sort_values("width", ignore_index=True)
    best = frame[frontier(frame, metric)]
    try:
        return best.assign(run=run.id, params=cache.numbers_in_file(run, best["width"]))
    except UserError:
        return pd.DataFrame()


_KNOWN: WeakKeyDictionary[Run, pd.DataFrame] = WeakKeyDictionary()  # a run that changes is another `Run`
