"""A run in one line of a table: what it is, its figures at full size and at a tenth of it. No Streamlit here."""

from __future__ import annotations

import hashlib
import math
import time
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from core.errors import UserError
from core.runs.file_names import METRICS, NOTES, UNFINISHED
from core.runs.notes import Notes, read_notes
from core.runs.run import Run
from core.runs.store import BrokenRun
from core.runs.tables import metrics_bounds
from core.tasks.base import Metric
from core.utils.formatting import kilobytes, printable
from core.utils.parquet import read_numbers

POINTS = 24  # of a small curve
TENTH = 0.1
NOTHING = Notes()
READY, UNMEASURED = "Ready", "Not measured yet"
BROKEN, STARTED, UNREAD = "Can't be read", "Not finished", "Being read"


@dataclass(frozen=True, kw_only=True)
class Summary:
    """A run's line in the table. Figures are as stored; None where they are not known."""

    id: str
    state: str
    reason: str = ""  # why it is not ready
    metric: Metric | None = None
    full: float | None = None
    tenth: float | None = None
    bytes: float | None = None
    curve: tuple[float, ...] = ()  # as people read it, at sizes spaced evenly on a log axis
    data: str = ""
    model: str = ""
    created: str = ""
    notes: Notes = NOTHING

    def figure(self, value: float | None) -> str:
        """A figure with its own unit: `97.1 %`."""
        return "" if self.metric is None or value is None else self.metric.format(value)

    @property
    def words(self) -> str:
        """All that a search looks into."""
        label = self.metric.label if self.metric else ""
        notes = self.notes
        return " ".join(
            (self.id, self.state, label, self.data, self.model, self.created, notes.title, *notes.tags, notes.note)
        ).casefold()


def summary(run: Run | BrokenRun, *, until: float = math.inf) -> Summary:
    """The line of a run; read only where it is another `Run`, as after each change, or has other notes.

    Figures that can't be read before `until` (`time.monotonic`) are left out, and the line's state says so.
    """
    if isinstance(run, BrokenRun):
        state = STARTED if run.id.endswith(UNFINISHED) else BROKEN
        return Summary(id=run.id, state=state, reason=printable(run.reason))
    if (found := _known(run)) is not None:
        return found
    left = until - time.monotonic()
    # one at a time, since another visitor, or the server as it starts, is likely to be reading the same
    if left > 0 and _READING.acquire(timeout=-1 if math.isinf(left) else left):
        try:
            return _known(run) or _read(run)
        finally:
            _READING.release()
    return Summary(**_of_record(run), state=UNREAD, reason="It is being read.")


def _known(run: Run) -> Summary | None:
    """What was read, where it is what there is still."""
    known = _KNOWN.get(run)
    return known[1] if known is not None and known[0] == _changed(run.path / NOTES) else None


def _read(run: Run) -> Summary:
    notes = _changed(run.path / NOTES)
    try:
        found = of_run(run)
    except Exception as error:  # it changes while it is read: the next look brings another `Run`
        found = Summary(id=run.id, state=BROKEN, reason=printable(str(error)))
    _KNOWN[run] = notes, found
    return found


def of_run(run: Run) -> Summary:
    """The line of a readable run, read now."""
    known = {**_of_record(run), "notes": _notes(run.path)}
    if not run.has_metrics:
        return Summary(**known, state=UNMEASURED, reason="Its sizes have not been measured yet.")
    try:
        return Summary(**known, state=READY, **_figures(run))
    except UserError as error:
        return Summary(**known, state=BROKEN, reason=printable(f"Its figures can't be read: {error}"))


def _of_record(run: Run) -> dict[str, Any]:
    """Return the fields of the line that come from run.json alone."""
    data, model = (str(part.get("name") or "its owner's own") for part in (run.record.data, run.record.family))
    return {
        "id": run.id, "metric": run.task.metric, "data": printable(data)[:60], "model": printable(model)[:60],
        "created": printable(run.record.created)[:32],
    }  # fmt: skip


def _figures(run: Run) -> dict[str, Any]:
    metric = run.task.metric
    columns = ["width", "params", "bytes", metric.name]
    table = read_numbers(run.path / METRICS, columns, metrics_bounds(run.record))
    if not len(table) or not np.isfinite(table).all() or (table[:, :3] < 1).any():
        raise UserError(f"{METRICS} holds figures that can't be")
    _, params, sizes, values = table[table[:, 0].argsort(kind="stable")].T
    small = np.flatnonzero(sizes <= TENTH * sizes[-1])
    places = np.linspace(math.log(params[0]), math.log(params[-1]), POINTS)
    curve = np.interp(places, np.log(params), values * metric.scale)
    return {
        "full": float(values[-1]),
        "tenth": float(values[small[-1]]) if len(small) else None,
        "bytes": float(sizes[-1]),
        "curve": tuple(round(float(value), 4) for value in curve),
    }


def _notes(path: Path) -> Notes:
    try:
        return read_notes(path)
    except UserError as error:
        return Notes(note=printable(str(error))[:200])


def _changed(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


_READING = Lock()
_KNOWN: WeakKeyDictionary[Run, tuple[Any, Summary]] = WeakKeyDictionary()


def line(found: Summary) -> str:
    """A run in a sentence: `diabetes, mlp: typical error 55.2 at full size, 73 kB`."""
    what = ", ".join(part for part in (found.data, found.model) if part)
    if found.metric is None or found.full is None or found.bytes is None:
        return f"{what}: {found.reason}" if what else found.reason
    return (
        f"{what}: {found.metric.label.lower()} {found.figure(found.full)} at full size, which is a file of "
        f"{kilobytes(found.bytes)}"
    )


def mark(text: str) -> str:
    """A short key for any text: the name of a folder may hold what no message to a browser can."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:16]
