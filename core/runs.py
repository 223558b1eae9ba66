"""The run store: the only code that knows a run's files and their names.

A run is a folder:

    run.json             what it is and how it was made (`RunRecord`)
    model.safetensors    the full-width weights
    examples.safetensors held-out examples to show, to try and to check exports on
    metrics.parquet      a row for each width, written by the sweep
    predictions.parquet  test examples x widths, written by the sweep
    latency.parquet      time for a prediction on the machines it was measured on

Nothing here imports torch. Nothing is pickled. A run is written whole or not at all.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core import files
from core.errors import RunError, UserError
from core.layout import Layout
from core.record import RECORD, RunRecord, path_range, path_widths
from core.tasks import Task, task

if TYPE_CHECKING:
    import pandas as pd

    from core.data.dataset import Dataset
    from core.family import Family

WEIGHTS = "model.safetensors"
EXAMPLES = "examples.safetensors"
METRICS = "metrics.parquet"
PREDICTIONS = "predictions.parquet"
LATENCY = "latency.parquet"
FILES = (RECORD, WEIGHTS, EXAMPLES, METRICS, PREDICTIONS, LATENCY)
UNFINISHED = ".unfinished"  # suffix of the folder of a training that goes on or was interrupted

MAX_PARQUET_BYTES = 2 * 2**30
RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class Run:
    """A run on disk. Opening reads run.json and the weights' header; everything else is read when asked for."""

    #: The family and data a run was just trained from, where it is still in this process; never on disk.
    family: Family | None = None
    dataset: Dataset | None = None

    def __init__(self, path: Path) -> None:
        """Raises RunError, with the reason in one sentence, where the folder holds no readable run."""
        self.path = Path(path)
        if not self.path.is_dir():
            raise RunError(f"{self.path} is not a folder; name the folder of a run")
        if not (self.path / RECORD).exists():
            if self.path.name.endswith(UNFINISHED):
                name = self.path.name.removesuffix(UNFINISHED)
                raise RunError(f"training of {name} is not finished; continue it with: train --resume --out {name}")
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
        if not self.has_metrics:
            raise RunError(f"run {self.id} has no {METRICS} yet; make it with: python -m core sweep {self.path}")
        frame = self._parquet(METRICS)
        wanted = ["width", "params", "macs", "bytes", "n", *(m.name for m in self.task.metrics)]
        missing = [name for name in wanted if name not in frame]
        if missing or frame.empty:
            lack = f"lacks {', '.join(missing)}" if missing else "has no rows"
            raise RunError(f"{METRICS} {lack}; make it again with: python -m core sweep {self.path}")
        return frame.sort_values("width", ignore_index=True)

    def predictions(self, *widths: int) -> pd.DataFrame:
        """Test examples' `label`, and the prediction of each of `widths` (all when none is named) as `w<width>`.

        In the order of the test part. Only the columns asked for are read. Raises RunError.
        """
        columns = ["example", "label", *(f"w{width}" for width in widths)] if widths else None
        frame = self._parquet(PREDICTIONS, columns)
        if "example" not in frame:
            raise RunError(f"{PREDICTIONS} lacks example; make it again with: python -m core sweep {self.path}")
        return frame.sort_values("example", ignore_index=True).drop(columns="example")

    def latency(self) -> pd.DataFrame | None:
        """Time for a prediction on each machine it was measured on, or None."""
        return self._parquet(LATENCY) if (self.path / LATENCY).exists() else None

    def parquet_note(self, name: str) -> dict[str, Any]:
        """What a parquet file of the run says of its own making (fingerprints, machine); empty if nothing."""
        import pyarrow.parquet as pq

        try:
            note = (pq.read_schema(self.path / name).metadata or {}).get(b"structural_dropout")
            return dict(json.loads(note)) if note else {}
        except (OSError, ValueError):
            return {}

    def weights(self) -> dict[str, np.ndarray]:
        """The full-width weights as NumPy arrays. Raises RunError."""
        with self._open(WEIGHTS) as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)

    def slice(self, **widths: int) -> dict[str, np.ndarray]:
        """The leading part of the weights; only that part is read from disk, and no number is changed."""
        checked = self.layout.check_widths(widths)
        with self._open(WEIGHTS) as file:
            parts = {}
            for name, tensor in self.layout.tensors.items():
                # a scalar has no slice to take
                lazy = file.get_slice(name) if tensor.shape else file.get_tensor(name)
                parts[name] = np.ascontiguousarray(self.layout.slice_tensor(name, lazy, checked)).reshape(
                    tensor.shape_at(checked)
                )
            return parts

    def widths_at(self, width: int) -> dict[str, int]:
        """All named widths at the row of the sweep called `width`. Raises UserError where it is out of range."""
        if len(self.layout.widths) == 1:
            return self.layout.check_widths({next(iter(self.layout.widths)): width})
        low, high = path_range(self.layout)
        if isinstance(width, bool) or not isinstance(width, int) or not low <= width <= high:
            raise UserError(f"width is {width!r}; choose a whole number from {low} to {high}")
        return path_widths(self.layout, width)

    def examples(self) -> dict[str, np.ndarray]:
        """Held-out test examples: `x` (n, *input shape) raw values, `y` (n,), `index` (n,) row in the test part."""
        with self._open(EXAMPLES) as file:
            found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        if set(found) != {"x", "y", "index"} or len({len(a) for a in found.values()}) != 1:
            raise RunError(f"{EXAMPLES} wants x, y and index of one length, got {sorted(found)}")
        return found

    @cached_property
    def weights_bytes(self) -> int:
        """Size of the weights' file."""
        return (self.path / WEIGHTS).stat().st_size

    def _check_weights(self) -> None:
        """Names and shapes in the weights' header against the layout; no weight is read."""
        wanted = self.layout.tensors
        with self._open(WEIGHTS) as file:
            names = set(file.keys())
            for name in wanted.keys() - names:
                raise RunError(f"{WEIGHTS} lacks tensor {name!r} of the layout; restore the file from a copy")
            for name in names - wanted.keys():
                raise RunError(f"{WEIGHTS} holds tensor {name!r}, which the layout does not know")
            for name, tensor in wanted.items():
                shape = tuple(file.get_slice(name).get_shape())
                if shape != tensor.shape:
                    raise RunError(f"{WEIGHTS}: tensor {name!r} has shape {shape}, the layout wants {tensor.shape}")

    def _open(self, name: str) -> Any:
        from safetensors import SafetensorError, safe_open

        path = self.path / name
        if not path.exists():
            raise RunError(f"{name} is missing; restore it from a copy or remove the run")
        try:
            return safe_open(path, framework="numpy")
        except (SafetensorError, OSError, ValueError) as error:
            raise RunError(f"{name} is not a readable safetensors file ({error}); restore it from a copy") from None

    def _parquet(self, name: str, columns: list[str] | None = None) -> pd.DataFrame:
        import pandas as pd

        path = self.path / name
        size = _stat(path)
        if size is None:
            raise RunError(f"run {self.id} has no {name} yet; make it with: python -m core sweep {self.path}")
        if size.st_size > MAX_PARQUET_BYTES:
            raise RunError(f"{name} has {size.st_size:,} bytes, more than the {MAX_PARQUET_BYTES:,} it may have")
        try:
            return pd.read_parquet(path, columns=columns)
        except Exception as error:  # pyarrow raises its own kinds, OSError and ValueError alike
            reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
            mend = f"make it again with: python -m core sweep {self.path}"
            raise RunError(f"{name} is not a readable parquet file ({reason}); {mend}") from None


@dataclass(frozen=True)
class BrokenRun:
    """A folder of the store that holds no readable run, and why."""

    id: str
    reason: str


class RunStore:
    """A folder of runs: list, open, write, import, remove."""

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)

    def ids(self) -> list[str]:
        """Names of the folders that may be runs, sorted. Raises RunError where the store is no folder."""
        if not self.folder.is_dir():
            raise RunError(f"store {self.folder} is not a folder; name one that holds runs, or make it")
        return sorted(
            entry.name for entry in os.scandir(self.folder) if entry.is_dir() and not entry.name.startswith(".")
        )

    def list(self) -> Iterator[Run | BrokenRun]:
        """Every run by name; one that can't be read comes as a `BrokenRun` and does not stop the rest."""
        for name in self.ids():
            try:
                yield Run(self.folder / name)
            except UserError as error:
                yield BrokenRun(name, str(error))
            except Exception as error:  # whatever a damaged file does, the other runs stay usable
                yield BrokenRun(name, f"the run can't be read: {type(error).__name__} {error}")

    def open(self, run_id: str) -> Run:
        """The run called `run_id`. Raises RunError where there is none, or it can't be read."""
        if not RUN_ID.fullmatch(run_id) or not (self.folder / run_id).is_dir():
            known = ", ".join(self.ids()[:8]) or "none yet"
            raise RunError(f"there is no run {run_id!r} in {self.folder}; runs there: {known}")
        return Run(self.folder / run_id)

    def write(
        self,
        run_id: str,
        record: RunRecord,
        weights: Mapping[str, np.ndarray],
        examples: Mapping[str, np.ndarray],
        *,
        overwrite: bool = False,
    ) -> Run:
        """A new run, whole or not at all. Raises RunError where it exists and `overwrite` is not set."""
        from safetensors.numpy import save

        check_id(run_id)
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{run_id}.", suffix=".tmp", dir=self.folder))
        try:
            files.write_bytes(temporary / WEIGHTS, save(dict(weights), {"format": "pt"}))
            files.write_bytes(temporary / EXAMPLES, save(dict(examples)))
            files.write_json(temporary / RECORD, record.to_json())
            return self._adopt(temporary, run_id, overwrite)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def import_run(self, source: Path | str, run_id: str | None = None, *, overwrite: bool = False) -> Run:
        """Copy a run's folder into the store, after it has been opened and checked where it lies. Raises RunError."""
        run = Run(Path(source))
        if run.has_metrics:
            run.metrics()
        run_id = check_id(run_id or run.id)
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{run_id}.", suffix=".tmp", dir=self.folder))
        try:
            for name in FILES:  # by name: nothing else in the folder comes along, and no path is taken from it
                if (run.path / name).is_file() and not (run.path / name).is_symlink():
                    shutil.copyfile(run.path / name, temporary / name)
            return self._adopt(temporary, run_id, overwrite)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def remove(self, run_id: str) -> None:
        """Remove a run, readable or not. Raises RunError where there is none."""
        if not RUN_ID.fullmatch(run_id) or not (self.folder / run_id).is_dir():
            raise RunError(f"there is no run {run_id!r} in {self.folder} to remove")
        files.remove_folder(self.folder / run_id)

    def _adopt(self, temporary: Path, run_id: str, overwrite: bool) -> Run:
        Run(temporary)  # what can't be read again never joins the store
        target = self.folder / run_id
        os.chmod(temporary, 0o755)
        if target.exists():
            if not overwrite:
                raise RunError(f"run {run_id!r} exists in {self.folder}; choose another name, or say --overwrite")
            files.remove_folder(target)
        os.replace(temporary, target)
        files.sync_folder(self.folder)
        return Run(target)


def check_id(run_id: str) -> str:
    """`run_id`, if it may name a run. Raises UserError."""
    if not RUN_ID.fullmatch(run_id) or run_id.endswith(UNFINISHED):
        raise UserError(
            f"{run_id!r} can't name a run; use up to 100 letters, digits, '.', '_' and '-', a letter or digit first"
        )
    return run_id


def write_parquet(path: Path, frame: pd.DataFrame, note: Mapping[str, Any]) -> None:
    """A parquet file, whole or not at all, with `note` (how it was made) in its schema."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pandas(frame, preserve_index=False)
    table = table.replace_schema_metadata(
        {**(table.schema.metadata or {}), b"structural_dropout": json.dumps(note, sort_keys=True).encode()}
    )
    with files.replacing(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def fingerprint(arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256 of named arrays: names, types, shapes and bytes."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype} {array.shape}\n".encode())
        digest.update(array.data)
    return digest.hexdigest()


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None
