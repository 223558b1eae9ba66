"""Run: a trained model on disk, opened and read without torch. README.md describes its files."""

from __future__ import annotations

import copy
import functools
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import numpy as np

from core.elastic.layout import Layout
from core.elastic.scale import Scale
from core.elastic.size_grid import path_range, path_widths, points
from core.errors import RunError, UserError
from core.runs import polished, tables, tensors
from core.runs.file_names import FILES, METRICS, RECORD, UNFINISHED, WEIGHTS
from core.runs.record import RunRecord
from core.tasks.base import Task
from core.tasks.registry import task
from core.utils import files
from core.utils.parquet import read_note

if TYPE_CHECKING:
    import pandas as pd

    from core.data.dataset import Dataset
    from core.elastic.family import Family

P = ParamSpec("P")
T = TypeVar("T")


def _reading(method: Callable[Concatenate[Run, P], T]) -> Callable[Concatenate[Run, P], T]:
    """Let a method that reads the run's files raise one clear RunError once the folder has been moved away."""

    @functools.wraps(method)
    def read(self: Run, *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return method(self, *args, **kwargs)
        except (UserError, OSError) as error:
            if not os.path.lexists(self.path):
                gone = "it was renamed, archived or removed; look at the list again"
                raise RunError(f"run {self.id} is no longer here: {gone}") from None
            if isinstance(error, UserError):
                raise
            raise RunError(f"run {self.id} can't be read: {files.first_line(error)}; look at its folder") from None

    return read


class Run:
    """A run on disk. Opening reads run.json and the weights' header; everything else is read when asked for.

    Each method that reads raises RunError for a file that is damaged or not that of the record, and where the run has
    been moved away since it was opened.
    """

    #: The family and data that the run was trained from in this process; never on disk.
    family: Family | None = None
    dataset: Dataset | None = None
    #: The width at which the polished model stands in for the slice; see `with_polished`.
    polished_width: int | None = None
    _verified: tuple[int, ...] | None = None
    _stamp: tuple[Any, ...] | None = None

    def __init__(self, path: Path) -> None:
        """Open the run in folder `path`. Raises RunError, with the reason in one sentence, where it can't be read."""
        self.path = Path(path)
        try:
            names = os.listdir(self.path)
        except (FileNotFoundError, NotADirectoryError):
            link = " but a link to nothing" if os.path.islink(self.path) else ""
            raise RunError(f"{self.path} is not a folder{link}; name the folder of a run") from None
        except (OSError, ValueError) as error:  # a loop of links, somebody else's folder, a name that can't be
            reason = getattr(error, "strerror", None) or error
            raise RunError(f"{self.path} can't be opened: {reason}; name the folder of a run") from None
        if RECORD not in names:
            if self.path.name.endswith(UNFINISHED):
                name = self.path.name.removesuffix(UNFINISHED)
                raise RunError(f"the training of {name} is not finished; repeat its command with --resume")
            raise RunError(f"{self.path} holds no {RECORD}; name the folder of a run, such as runs/digits")
        self.record = RunRecord.from_json(files.read_json(self.path / RECORD))
        tensors.check_weights(self.path, self.record)

    @property
    def id(self) -> str:
        """Name of the run's folder."""
        return self.path.name

    @property
    def layout(self) -> Layout:
        """Layout of the run's family."""
        return self.record.layout

    @property
    def task(self) -> Task:
        """Task of the model."""
        return task(self.record.task)

    @property
    def has_metrics(self) -> bool:
        """Whether the widths have been validated."""
        return (self.path / METRICS).exists()

    @property
    def stamp(self) -> tuple[Any, ...]:
        """Name, time and size of each file: a key for caches that changes when a file does."""
        if self._stamp is not None:
            return self._stamp
        states = ((name, files.state_of(self.path / name)) for name in FILES)
        return tuple((name, state.st_mtime_ns, state.st_size) for name, state in states if state is not None)

    @_reading
    def metrics(self) -> pd.DataFrame:
        """A row for each width, ascending; `core.sweep.sweep` describes the columns."""
        return tables.read_metrics(self.path, self.record)

    @_reading
    def predictions(self, *widths: int) -> pd.DataFrame:
        """Test examples' `label`, and the prediction of each of `widths` (all when none is named) as `w<width>`.

        Where numbers are predicted there is a column for each output, `label.0`, `w8.0`; see `predicted`. Rows are in
        the order of the test part. Only the columns of `widths` are read.
        """
        return tables.read_predictions(self.path, self.record, *widths)

    @_reading
    def latency(self) -> pd.DataFrame | None:
        """Times of a prediction on each machine where they were measured; None without any."""
        return tables.read_latency(self.path)

    @_reading
    def targets(self) -> np.ndarray:
        """Targets of the test examples: (n,) classes, or (n, outputs) numbers."""
        return tables.read_answers(self.path, self.record, "label")

    @_reading
    def predicted(self, width: int) -> np.ndarray:
        """Predictions of the model at `width` for the test examples, like `targets`."""
        return tables.read_answers(self.path, self.record, f"w{width}")

    @_reading
    def class_counts(self) -> np.ndarray | None:
        """Number of test examples of each label, (labels,), by which its figure is judged; None for numbers."""
        return tables.read_class_counts(self.path, self.record)

    def scores(self, width: int) -> np.ndarray:
        """Each test example's score at `width`, (n,): whether it is right, or its squared error."""
        return self.task.score(self.predicted(width), self.targets())

    def answers(self, predictions: pd.DataFrame, name: str) -> np.ndarray | None:
        """`label` or `w<width>` of a predictions table as an array, in its order; None where it is not there."""
        return tables.as_array(self.record, predictions, name)

    def note(self, name: str) -> dict[str, Any]:
        """Note of how a table of the run was made (fingerprints, machines); empty without one."""
        return read_note(self.path / name)

    @_reading
    def weights(self) -> dict[str, np.ndarray]:
        """The full-width weights as NumPy arrays, verified against the record's checksum."""
        self.verify_weights()
        with tensors.open_tensors(self.path, WEIGHTS) as file:
            return {name: tensors.read_tensor(file, WEIGHTS, name) for name in self.layout.tensors}

    @_reading
    def scale(self, widths: Mapping[str, int] | None = None) -> Scale:
        """Factors of a slice, and the bands of weights that narrow widths own; with `widths`, the band of those."""
        self.verify_weights()
        return tensors.read_scale(self.path, self.record, widths)

    @_reading
    def slice(self, **widths: int) -> dict[str, np.ndarray]:
        """The leading part of the full weights, unchanged; only that part is held in memory.

        Raises UserError for widths out of range.
        """
        checked = self.layout.check_widths(widths)
        self.verify_weights()
        return tensors.read_slice(self.path, self.record, checked)

    @_reading
    def statistics(self, widths: Mapping[str, int]) -> dict[str, np.ndarray]:
        """Batch-normalisation statistics at `widths` that replace the slice's; empty for a model without any.

        Raises RunError where they were not estimated at these widths.
        """
        if not self.record.statistics or dict(widths) == self.layout.full:
            return {}
        by_width = self.width_statistics()
        for width, statistics in by_width.items():
            if path_widths(self.layout, width) == dict(widths):
                return statistics
        listed = ", ".join(map(str, sorted(by_width))) or "none yet"
        raise RunError(
            f"run {self.id} has no batch statistics at {dict(widths)}; they are there at {listed}; "
            f"others need its data: sweep(run, data, widths=[...])"
        )

    @_reading
    def width_statistics(self) -> dict[int, dict[str, np.ndarray]]:
        """Batch-normalisation statistics by width, as the sweep has estimated them."""
        return tensors.read_width_statistics(self.path, self.record)

    def write_width_statistics(self, by_width: Mapping[int, Mapping[str, np.ndarray]]) -> None:
        """Keep statistics by width with the run, whole or not at all. Raises RunError."""
        tensors.write_width_statistics(self.path, by_width)

    @_reading
    def polished(self) -> pd.DataFrame:
        """A row for each polished or refitted width, ascending, as `core.runs.polished` describes; may be empty."""
        return polished.table(self.path, self.record)

    @_reading
    def polished_weights(self, width: int) -> dict[str, np.ndarray]:
        """The plain small model's state at a polished width, everything folded in.

        Raises UserError where that width was not polished.
        """
        return polished.read_weights(self.path, self.record, width)

    def with_polished(self, width: int) -> Run:
        """A view of the run whose export at `width` is the polished model. Raises as `polished_weights` does."""
        self.polished_weights(width)
        view = copy.copy(self)
        view.polished_width = width
        return view

    def as_of(self, stamp: tuple[Any, ...]) -> Run:
        """A view of the run with a fixed `stamp`, so that its files are not looked at over and over in one go."""
        view = copy.copy(self)
        view._stamp = stamp
        return view

    def widths_at(self, width: int) -> dict[str, int]:
        """All named widths at the row of the sweep called `width`. Raises UserError where it is out of range."""
        if len(self.layout.widths) == 1:
            return self.layout.check_widths({next(iter(self.layout.widths)): width})
        low, high = path_range(self.layout)
        if isinstance(width, bool) or not isinstance(width, int) or width not in points(self.layout):
            grid = "" if len(points(self.layout)) == high - low + 1 else " that the sizes of the largest width hold"
            raise UserError(f"width is {width!r}; choose a whole number from {low} to {high}{grid}")
        return path_widths(self.layout, width)

    @_reading
    def examples(self) -> dict[str, np.ndarray]:
        """Held-out test examples: `x` (n, *input shape) raw values, `y` (n,), `index` (n,) row in the test part."""
        return tensors.read_examples(self.path, self.record)

    def verify_weights(self) -> None:
        """Compare every number in the weights' file with the record, once for each state of the file."""
        state = files.state_of(self.path / WEIGHTS)
        key = state and (state.st_mtime_ns, state.st_size, state.st_ino)
        if key is None or key != self._verified:
            tensors.verify_weights(self.path, self.record.weights_sha256)
            self._verified = key
