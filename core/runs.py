"""A run on disk: the only code that knows a run's files and their names.

A run is a folder:

    run.json             what it is and how it was made (`RunRecord`)
    model.safetensors    the full-width weights, and the recipe's tables over width where it has them
    statistics.safetensors  of normalisation over batches at each width, where the model has any
    examples.safetensors held-out examples to show, to try and to check exports on
    metrics.parquet      a row for each width, written by the sweep
    predictions.parquet  test examples x widths, written by the sweep
    latency.parquet      time for a prediction on the machines it was measured on

Nothing here imports torch. Nothing is pickled. A run is written whole or not at all.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core import files
from core.errors import RunError, UserError
from core.layout import DTYPES, Layout
from core.record import RECORD, RunRecord, path_range, path_widths
from core.scale import Scale, knots, tabled
from core.tables import check_numbers, read_note, read_table
from core.tasks import Task, task

if TYPE_CHECKING:
    import pandas as pd

    from core.data.dataset import Dataset
    from core.family import Family

WEIGHTS = "model.safetensors"
EXAMPLES = "examples.safetensors"
STATISTICS = "statistics.safetensors"
METRICS = "metrics.parquet"
PREDICTIONS = "predictions.parquet"
LATENCY = "latency.parquet"
FILES = (RECORD, WEIGHTS, EXAMPLES, STATISTICS, METRICS, PREDICTIONS, LATENCY)
UNFINISHED = ".unfinished"  # suffix of the folder of a training that goes on or was interrupted
CHECKPOINT, DIVERGED = "checkpoint.safetensors", "diverged"  # files in it
PARTIAL = "sweep.partial.safetensors"  # of a sweep that goes on or was interrupted

TABLES = "tables/"  # before the name of the vector that a table in the weights' file is added to

MAX_WEIGHTS_BYTES = 64 * 2**30


class Run:
    """A run on disk. Opening reads run.json and the weights' header; everything else is read when asked for."""

    #: The family and data a run was just trained from, where it is still in this process; never on disk.
    family: Family | None = None
    dataset: Dataset | None = None
    _verified: tuple[int, ...] | None = None

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
        self._check_weights()

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
        return tuple((name, s.st_mtime_ns, s.st_size) for name in FILES if (s := _stat(self.path / name)) is not None)

    def metrics(self) -> pd.DataFrame:
        """A row for each width, ascending; columns as `core.sweep` describes. Raises RunError."""
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
        with self._open(WEIGHTS) as file:
            return {name: _tensor(file, WEIGHTS, name) for name in self.layout.tensors}

    def scale(self) -> Scale:
        """What a slice is multiplied by and what is added to it. Raises RunError where it is not that of the record."""
        self._verify_weights()
        with self._open(WEIGHTS) as file:
            stored = [key for key in file.keys() if key.startswith(TABLES)]  # noqa: SIM118 (no mapping)
            tables = {key.removeprefix(TABLES): _tensor(file, WEIGHTS, key) for key in stored}
        return Scale.from_json(self.record.scale, self.layout, tables)

    def slice(self, **widths: int) -> dict[str, np.ndarray]:
        """The leading part of the weights; no number is changed, and only that part is held in memory.

        Raises UserError for widths out of range, RunError where the weights are not those of the record.
        """
        checked = self.layout.check_widths(widths)
        self._verify_weights()
        with self._open(WEIGHTS) as file:
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
        found: dict[int, dict[str, np.ndarray]] = {}
        if not (self.path / STATISTICS).exists():
            return found
        for key, value in self._tensors(STATISTICS).items():
            text, _, name = key.partition("/")
            if not text.isdecimal() or len(text) > 9 or name not in self.record.statistics:
                raise RunError(f"{STATISTICS} holds {key!r}, which is no statistic of this run; remove the file")
            found.setdefault(int(text), {})[name] = value
        low, high = path_range(self.layout)
        for width, tensors in found.items():
            shapes = self.layout.shapes(path_widths(self.layout, width)) if low <= width <= high else {}
            if {name: value.shape for name, value in tensors.items()} != {
                name: shapes.get(name) for name in self.record.statistics
            } or not all(np.isfinite(value).all() for value in tensors.values()):
                raise RunError(f"{STATISTICS} is not what the layout wants at width {width}; remove the file")
        return found

    def write_width_statistics(self, known: Mapping[int, Mapping[str, np.ndarray]]) -> None:
        """Keep statistics by width with the run, whole or not at all. Raises RunError."""
        from safetensors.numpy import save

        tensors = {
            f"{width}/{name}": np.asarray(v, order="C") for width, part in known.items() for name, v in part.items()
        }
        files.write_bytes(self.path / STATISTICS, save(tensors))

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
        if not set(columns) <= set(predictions):
            return None
        found: np.ndarray = predictions[columns].to_numpy()
        if self.task.classes:
            return found[:, 0]
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
        found = self._tensors(EXAMPLES)
        wrong = f"{EXAMPLES} is not what {RECORD} describes"
        if set(found) != {"x", "y", "index"}:
            raise RunError(f"{wrong}: it holds {', '.join(sorted(found)) or 'nothing'}, wanted x, y and index")
        x, y, index = found["x"], found["y"], found["index"]
        outputs = len(self.record.labels)
        shape, dtype = tuple(self.record.input.shape), self.record.input.dtype
        y_shape = x.shape[:1] if self.task.classes else (len(x), outputs)
        if x.shape[1:] != shape or str(x.dtype) != dtype or y.shape != y_shape or index.shape != x.shape[:1]:
            raise RunError(
                f"{wrong}: x is {x.dtype} {x.shape}, y {y.shape}, index {index.shape}; wanted n of {dtype} {shape} each"
            )
        if not self.task.classes:
            if y.dtype != np.float32 or not np.isfinite(y).all():
                raise RunError(f"{wrong}: y holds something other than finite numbers; restore it from a copy")
        elif y.dtype.kind not in "iu" or (len(y) and not 0 <= y.min() <= y.max() < outputs):
            raise RunError(f"{wrong}: y is not one of {len(self.record.labels)} labels; restore it from a copy")
        return found

    @cached_property
    def weights_bytes(self) -> int:
        """Size of the weights' file."""
        return (self.path / WEIGHTS).stat().st_size

    def _check_weights(self) -> None:
        """Names, shapes and types in the weights' header against the layout; no weight is read."""
        wanted = self.layout.tensors
        with self._open(WEIGHTS) as file:
            names = set(file.keys())
            for name in wanted.keys() - names:
                raise RunError(f"{WEIGHTS} lacks tensor {name!r} of the layout; restore the file from a copy")
            tables = {f"{TABLES}{name}": (knots(self.layout), *wanted[name].shape) for name in tabled(self.layout)}
            for name in names & tables.keys() - wanted.keys():
                header = file.get_slice(name)
                if (tuple(header.get_shape()), header.get_dtype()) != (tables[name], DTYPES["float32"][0]):
                    raise RunError(f"{WEIGHTS}: {name!r} has shape {tuple(header.get_shape())}, not {tables[name]}")
            for name in names - wanted.keys() - tables.keys():
                raise RunError(f"{WEIGHTS} holds tensor {name!r}, which the layout does not know")
            for name, tensor in wanted.items():
                header = file.get_slice(name)
                shape, dtype = tuple(header.get_shape()), header.get_dtype()
                if shape != tensor.shape:
                    raise RunError(f"{WEIGHTS}: tensor {name!r} has shape {shape}, the layout wants {tensor.shape}")
                if dtype != DTYPES[tensor.dtype][0]:
                    raise RunError(f"{WEIGHTS}: tensor {name!r} is of type {dtype}, the layout wants {tensor.dtype}")

    def _verify_weights(self) -> None:
        """Every number in the weights' file against the record, once for each state of the file."""
        found = _stat(self.path / WEIGHTS)
        state = found and (found.st_mtime_ns, found.st_size, found.st_ino)
        if state is not None and state == self._verified:
            return
        digest, strange = hashlib.sha256(), []
        with self._open(WEIGHTS) as file:
            for name in sorted(file.keys()):
                value = _tensor(file, WEIGHTS, name)
                _add(digest, name, value)
                if value.dtype.kind == "f" and not np.isfinite(value).all():
                    strange.append(name)
        if digest.hexdigest() != self.record.weights_sha256:
            raise RunError(f"{WEIGHTS} does not hold the weights that {RECORD} describes; restore it from a copy")
        if strange:
            raise RunError(f"{WEIGHTS}: tensor {strange[0]!r} holds values that are not finite; train the run anew")
        self._verified = state

    def _tensors(self, name: str) -> dict[str, np.ndarray]:
        """All tensors of a file. Raises RunError."""
        with self._open(name) as file:
            return {key: _tensor(file, name, key) for key in file.keys()}  # noqa: SIM118 (no mapping)

    def _open(self, name: str) -> Any:
        from safetensors import safe_open

        files.check_file(self.path / name, MAX_WEIGHTS_BYTES)
        try:
            return safe_open(self.path / name, framework="numpy")
        except Exception as error:  # safetensors raises its own kind, OSError and ValueError alike
            raise _unreadable(name, "safetensors", error) from None

    @contextmanager
    def _remade_by_sweep(self, name: str) -> Iterator[None]:
        """The mend that a table's errors have in common."""
        if not (self.path / name).exists():
            raise RunError(f"run {self.id} has no {name} yet; make it with: python -m core sweep {self.path}")
        try:
            yield
        except RunError as error:
            raise RunError(f"{error}; make it again with: python -m core sweep {self.path}") from None


def fingerprint(arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256 of named arrays: names, types, shapes and bytes."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        _add(digest, name, arrays[name])
    return digest.hexdigest()


def _add(digest: Any, name: str, value: np.ndarray) -> None:
    array = np.ascontiguousarray(value)
    digest.update(f"{name} {array.dtype} {array.shape}\n".encode())
    digest.update(array.data)


def _tensor(file: Any, name: str, key: str) -> np.ndarray:
    """One tensor of an open file. Raises RunError."""
    try:
        found: np.ndarray = file.get_tensor(key)
        return found
    except Exception as error:  # a type that NumPy does not have, a file that shrinks while it is read
        raise _unreadable(name, "safetensors", error) from None


def _unreadable(name: str, kind: str, error: Exception) -> RunError:
    return RunError(f"{name} is not a readable {kind} file ({files.first_line(error)}); restore it from a copy")


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None
