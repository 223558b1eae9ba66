"""The run store: a folder of runs. What a run's files are called, only `core.runs.run` knows."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.errors import RunError, UserError
from core.runs import polished
from core.runs.file_names import (
    CHECKPOINT,
    DIVERGED,
    EXAMPLES,
    KEPT,
    METRICS,
    PARTIAL,
    PREDICTIONS,
    RECORD,
    UNFINISHED,
    WEIGHTS,
)
from core.runs.notes import read_notes
from core.runs.record import RunRecord
from core.runs.run import Run
from core.utils import files
from core.utils.parquet import check_numbers

RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


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
        check_store(self.folder)
        if not self.folder.is_dir():
            raise RunError(f"store {self.folder} is not there; name a folder that holds runs, or make it")
        try:
            with os.scandir(self.folder) as entries:
                return sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))
        except OSError as error:
            raise RunError(f"store {self.folder} can't be read: {error.strerror or error}") from None

    def list(self) -> Iterator[Run | BrokenRun]:
        """Every run by name; one that can't be read comes as a `BrokenRun` and does not stop the rest."""
        for name in self.ids():
            try:
                if not RUN_ID.fullmatch(name):
                    check_id(name)
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
        """A new run, whole or not at all. Raises RunError where it exists, unless `overwrite`, or a disk refuses.

        A run of that name stays as it is until the new one takes its place.
        """
        from safetensors.numpy import save

        with self.place(run_id, overwrite) as temporary:
            # safetensors writes an array in the order of its memory, whatever its shape says
            arrays = {name: np.asarray(value, order="C") for name, value in weights.items()}
            files.write_new(temporary / WEIGHTS, save(arrays, {"format": "pt"}))
            arrays = {name: np.asarray(value, order="C") for name, value in examples.items()}
            files.write_new(temporary / EXAMPLES, save(arrays))
            files.write_new(temporary / RECORD, files.json_bytes(record.to_json()))
        return Run(self.folder / run_id)

    def import_run(self, source: Path | str, run_id: str | None = None, *, overwrite: bool = False) -> Run:
        """Copy a run's folder into the store, after all of it has been read and checked where it lies.

        Raises RunError, and leaves nothing of it behind.
        """
        run = Run(Path(os.path.abspath(source)))
        for name in KEPT:  # by name: nothing else in the folder comes along
            if (run.path / name).is_symlink():
                raise RunError(f"{name} in {run.path} is a link; import a folder that holds the file itself")
        check_whole(run)
        run_id = run_id or run.id
        with self.place(run_id, overwrite) as temporary:
            for name in KEPT:
                if (run.path / name).exists():
                    files.copy_new(run.path / name, temporary / name)
        return Run(self.folder / run_id)

    def remove(self, run_id: str) -> None:
        """Remove a run, readable or not, or an unfinished training. Raises RunError where there is none.

        A folder that holds anything but a run's files stays: it may be somebody's work.
        """
        if not RUN_ID.fullmatch(run_id) or not (self.folder / run_id).is_dir():
            raise RunError(f"there is no run {run_id!r} in {self.folder} to remove")
        check_replaceable(self.folder / run_id)
        files.remove_folder(self.folder / run_id)

    @contextmanager
    def place(self, run_id: str, overwrite: bool) -> Iterator[Path]:
        """A temporary folder that becomes run `run_id` once it can be read as one."""
        target = self.folder / check_id(run_id)
        check_store(self.folder)
        if os.path.lexists(target) and not overwrite:
            raise RunError(f"run {run_id!r} exists in {self.folder}; choose another name, or say --overwrite")
        check_replaceable(target)
        with files.replacing_folder(target) as temporary:
            yield temporary
            Run(temporary).verify_weights()  # what can't be read again never joins the store


def check_whole(run: Run) -> None:
    """Read all of a run's files against its record: shapes, checksum, finite numbers. Raises RunError."""
    run.weights()
    run.scale()
    run.examples()
    run.width_statistics()
    polished.check(run.path, run.record)
    run.latency()
    if run.has_metrics:
        low_high = [f"{metric.name}{end}" for metric in run.task.metrics for end in ("", "_low", "_high")]
        check_numbers(METRICS, run.metrics(), ["params", "bytes", "n", *low_high])
    if (run.path / PREDICTIONS).exists():
        run.predictions()
    read_notes(run.path)


def check_id(run_id: str) -> str:
    """`run_id`, if it may name a run. Raises UserError."""
    if not RUN_ID.fullmatch(run_id) or run_id.endswith(UNFINISHED):
        raise UserError(
            f"{run_id!r} can't name a run; use up to 100 letters, digits, '.', '_' and '-', a letter or digit first"
        )
    return run_id


def check_store(folder: Path) -> None:
    """Raise RunError where something that is no folder bears the store's name."""
    if os.path.lexists(folder) and not folder.is_dir():
        raise RunError(f"store {folder} is not a folder; name one that holds runs")


def check_replaceable(path: Path) -> None:
    """Raise RunError unless what lies at `path`, if anything, is a folder with a run's files and no others."""
    if not os.path.lexists(path):
        return
    if path.is_symlink() or not path.is_dir():
        raise RunError(f"{path} is no folder of a run; move it away, or choose another name")
    known = "|".join(re.escape(name) for name in (*KEPT, CHECKPOINT, DIVERGED, PARTIAL))
    ours = re.compile(rf"{known}|\.({known})\.[0-9a-f]{{8}}\.tmp|\.DS_Store")
    strange = sorted(name for name in os.listdir(path) if not ours.fullmatch(name))
    if strange:
        raise RunError(f"{path} holds {strange[0]!r}, which is no part of a run; move it away, or choose another name")
