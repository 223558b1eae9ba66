"""A run on disk: opening one, and reading what it holds; the names of its files are in `core.runs.tensors`.

Nothing here imports torch. Nothing is pickled. A run is written whole or not at all.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.elastic.layout import Layout
from core.elastic.scale import Scale
from core.elastic.size_grid import path_range, path_widths
from core.errors import RunError, UserError
from core.runs import polished
from core.runs import tensors as runs_tensors
from core.runs.record import RECORD, RunRecord
from core.runs.tensors import (
    CHECKPOINT,
    DIVERGED,
    EXAMPLES,
    FILES,
    LATENCY,
    METRICS,
    PARTIAL,
    PREDICTIONS,
    STATISTICS,
    TABLES,
    UNFINISHED,
    WEIGHTS,
    fingerprint,
)
from core.tasks.registry import Task, task
from core.utils import files
from core.utils.parquet import check_numbers, read_note, read_table

if TYPE_CHECKING:
    import pandas as pd

    from core.data.dataset import Dataset
    from core.elastic.family import Family

__all__ = [
    "CHECKPOINT", "DIVERGED", "EXAMPLES", "FILES", "LATENCY", "METRICS", "PARTIAL", "PREDICTIONS", "RECORD",
    "STATISTICS", "TABLES", "UNFINISHED", "WEIGHTS", "Run", "fingerprint",
]  # fmt: skip


class Run:
    """A run on disk. Opening reads run.json and the weights' header; everything else is read when asked for."""

    #: The family and data a run was just trained from, where it is still in this process; never on disk.
    family: Family | None = None
    dataset: Dataset | None = None
    #: The width at which the polished model stands in for the slice; see `with_polished`.
    polished_width: int | None = None
    _verified: tuple[int, ...] | None = None
    _stamp: tuple[Any, ...] | None = None

    def __init__(self, path: Path) -> None:
        """Raises RunError, with the reason in one sentence, where the folder holds no readable run."""
        self.path = Path(path)
        if not self.path.is_dir():
            raise RunError(f"{self.path} is not a folder; name the folder of a run")
        if not (self.path / RECORD).exists():
            if self.path.name.endswith(UNFINISHED):
                name = self.path.name.removesuffix(UNFINISHED)
                raise RunError(f"the training of {name} is not finished; repeat its command with --resume")
            raise RunError(f"{self.path} holds no {RECORD}; name the folder of a run, such as runs/digits")
        self.record = RunRecord.from_json(files.read_json(self.path / RECORD))
        runs_tensors.check_weights(self.path, self.record)

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
        """What the model is for."""
        return task(self.record.task)

    @property
    def has_metrics(self) -> bool:
        """Whether the widths have been validated."""
        return (self.path / METRICS).exists()

    @property
    def stamp(self) -> tuple[Any, ...]:
        """Changes when a file of the run does; a key for caches."""
        if self._stamp is not None:
            return self._stamp
        return tuple(
            (name, s.st_mtime_ns, s.st_size)
            for name in FILES
            if (s := runs_tensors.stat_of(self.path / name)) is not None
        )

    def metrics(self) -> pd.DataFrame:
        """A row for each width, ascending; columns as `core.sweep.sweep` describes. Raises RunError."""
        with self._remade_by_sweep(METRICS):
            frame = read_table(self.path / METRICS)
            wanted = ["width", "params", "macs", "bytes", "n", *(m.name for m in self.task.metrics)]
            check_numbers(METRICS, frame, wanted)
            low, high = path_range(self.layout)
            widths = frame["width"]
            if frame.empty or not widths.is_unique or not widths.between(low, high).all() or (widths % 1).any():
                raise RunError(f"{METRICS} wants one row for each of some widths from {low} to {high}")
        return frame.astype({"width": "int64"}).sort_values("width", ignore_index=True)

    def predictions(self, *widths: int) -> pd.DataFrame:
        """Test examples' `label`, and the prediction of each of `widths` (all when none is named) as `w<width>`.

        Where numbers are predicted, a column for each output: `label.0`, `w8.0`; see `predicted`. In the order of the
        test part. Only the columns asked for are read. Raises RunError.
        """
        named = [column for name in ("label", *(f"w{width}" for width in widths)) for column in self._columns(name)]
        with self._remade_by_sweep(PREDICTIONS):
            frame = read_table(self.path / PREDICTIONS, ["example", *named] if widths else None)
            check_numbers(PREDICTIONS, frame, ["example", *named])
        return frame.sort_values("example", ignore_index=True).drop(columns="example")

    def latency(self) -> pd.DataFrame | None:
        """Time for a prediction on each machine it was measured on, or None. Raises RunError."""
        if not (self.path / LATENCY).exists():
            return None
        with self._remade_by_sweep(LATENCY):
            frame = read_table(self.path / LATENCY)
            check_numbers(LATENCY, frame, ["threads", "batch", "width", "median_ms", "p25_ms", "p75_ms", "repeats"])
            if "machine" not in frame or not all(isinstance(name, str) for name in frame["machine"]):
                raise RunError(f"{LATENCY} names no machines")
        return frame

    def note(self, name: str) -> dict[str, Any]:
        """What a table of the run says of its own making (fingerprints, machines); empty if nothing."""
        return read_note(self.path / name)

    def weights(self) -> dict[str, np.ndarray]:
        """The full-width weights as NumPy arrays. Raises RunError where they are not those of the record."""
        self._verify_weights()
        with runs_tensors.open_tensors(self.path, WEIGHTS) as file:
            return {name: runs_tensors.read_tensor(file, WEIGHTS, name) for name in self.layout.tensors}

    def scale(self, widths: Mapping[str, int] | None = None) -> Scale:
        """What a slice is multiplied by, what is added to it, and the weights that narrow widths have of their own.

        With `widths`, what those want and no more is read. Raises RunError where the file is not that of the record.
        """
        self._verify_weights()
        return runs_tensors.read_scale(self.path, self.record, widths)

    def slice(self, **widths: int) -> dict[str, np.ndarray]:
        """The leading part of the full weights; no number is changed, and only that part is held in memory.

        Raises UserError for widths out of range, RunError where the weights are not those of the record.
        """
        checked = self.layout.check_widths(widths)
        self._verify_weights()
        with runs_tensors.open_tensors(self.path, WEIGHTS) as file:
            parts = {}
            for name, tensor in self.layout.tensors.items():
                # a scalar has no slice to take
                lazy = file.get_slice(name) if tensor.shape else file.get_tensor(name)
                try:
                    part = np.asarray(self.layout.slice_tensor(name, lazy, checked), order="C")
                    parts[name] = part.reshape(tensor.shape_at(checked))
                except (ValueError, IndexError, OverflowError) as error:  # sizes that only a damaged layout has
                    raise RunError(f"tensor {name!r} can't be cut: {error}; restore {RECORD} from a copy") from None
            return parts

    def statistics(self, widths: Mapping[str, int]) -> dict[str, np.ndarray]:
        """What replaces the slice's statistics of normalisation over batches at `widths`; empty where there are none.

        Raises RunError where they were not estimated at these widths.
        """
        if not self.record.statistics or dict(widths) == self.layout.full:
            return {}
        known = self.width_statistics()
        for width, found in known.items():
            if path_widths(self.layout, width) == dict(widths):
                return found
        listed = ", ".join(map(str, sorted(known))) or "none yet"
        raise RunError(
            f"run {self.id} has no batch statistics at {dict(widths)}; they are there at {listed}; "
            f"others want its data: sweep(run, data, widths=[...])"
        )

    def width_statistics(self) -> dict[int, dict[str, np.ndarray]]:
        """Statistics of normalisation over batches by width, as the sweep has estimated them. Raises RunError."""
        return runs_tensors.read_width_statistics(self.path, self.record)

    def write_width_statistics(self, known: Mapping[int, Mapping[str, np.ndarray]]) -> None:
        """Keep statistics by width with the run, whole or not at all. Raises RunError."""
        runs_tensors.write_width_statistics(self.path, known)

    def polished(self) -> pd.DataFrame:
        """A row for each width that was polished or refitted, ascending, as `core.runs.polished` describes; may be empty.

        Raises RunError.
        """
        return polished.table(self)

    def polished_weights(self, width: int) -> dict[str, np.ndarray]:
        """The plain small model's state at a polished width, everything folded in.

        Raises UserError where that width was not polished, RunError where the file is damaged.
        """
        return polished.read_weights(self, width)

    def with_polished(self, width: int) -> Run:
        """The same run, of which an export at `width` takes the polished model. Raises as `polished_weights` does."""
        self.polished_weights(width)
        view = copy.copy(self)
        view.polished_width = width
        return view

    def as_of(self, stamp: tuple[Any, ...]) -> Run:
        """The same run with a `stamp` that stays, so that its files are not looked at over and over in one go."""
        view = copy.copy(self)
        view._stamp = stamp
        return view

    def targets(self) -> np.ndarray:
        """What was to be predicted of each test example: (n,) classes, or (n, outputs) numbers. Raises RunError."""
        return self._answers("label")

    def predicted(self, width: int) -> np.ndarray:
        """What the model at `width` predicts of each test example, like `targets`. Raises RunError."""
        return self._answers(f"w{width}")

    def scores(self, width: int) -> np.ndarray:
        """Each test example's score at `width`, (n,): whether it is right, or its squared error. Raises RunError."""
        return self.task.score(self.predicted(width), self.targets())

    def answers(self, predictions: pd.DataFrame, name: str) -> np.ndarray | None:
        """`label` or `w<width>` of a predictions table as an array, in its order; None where it is not there."""
        columns = self._columns(name)
        if not all(column in predictions for column in columns):
            return None
        if self.task.classes:
            return np.asarray(predictions[name])
        found: np.ndarray = predictions[columns].to_numpy()
        return found.astype(np.float32) / (255 if found.dtype == np.uint8 else 1)  # colours are kept as bytes

    def _answers(self, name: str) -> np.ndarray:
        columns = ["example", *self._columns(name)]
        with self._remade_by_sweep(PREDICTIONS):
            frame = read_table(self.path / PREDICTIONS, columns)
            check_numbers(PREDICTIONS, frame, columns)
        found = self.answers(frame.sort_values("example"), name)
        assert found is not None
        return found

    def _columns(self, name: str) -> list[str]:
        return [name] if self.task.classes else [f"{name}.{k}" for k in range(len(self.record.labels))]

    def widths_at(self, width: int) -> dict[str, int]:
        """All named widths at the row of the sweep called `width`. Raises UserError where it is out of range."""
        if len(self.layout.widths) == 1:
            return self.layout.check_widths({next(iter(self.layout.widths)): width})
        low, high = path_range(self.layout)
        if isinstance(width, bool) or not isinstance(width, int) or not low <= width <= high:
            raise UserError(f"width is {width!r}; choose a whole number from {low} to {high}")
        return path_widths(self.layout, width)

    def examples(self) -> dict[str, np.ndarray]:
        """Held-out test examples: `x` (n, *input shape) raw values, `y` (n,), `index` (n,) row in the test part.

        Raises RunError.
        """
        return runs_tensors.read_examples(self.path, self.record)

    @cached_property
    def weights_bytes(self) -> int:
        """Size of the weights' file."""
        return (self.path / WEIGHTS).stat().st_size

    def _verify_weights(self) -> None:
        """Every number in the weights' file against the record, once for each state of the file."""
        found = runs_tensors.stat_of(self.path / WEIGHTS)
        state = found and (found.st_mtime_ns, found.st_size, found.st_ino)
        if state is None or state != self._verified:
            runs_tensors.verify_weights(self.path, self.record.weights_sha256)
            self._verified = state

    @contextmanager
    def _remade_by_sweep(self, name: str) -> Iterator[None]:
        """The mend that a table's errors have in common."""
        if not (self.path / name).exists():
            raise RunError(f"run {self.id} has no {name} yet; make it with: python -m core sweep {self.path}")
        try:
            yield
        except RunError as error:
            raise RunError(f"{error}; make it again with: python -m core sweep {self.path}") from None
