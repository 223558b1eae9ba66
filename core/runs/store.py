"""RunStore: a folder of runs, where runs are listed, opened, written, imported and removed."""

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
from core.utils import files, locks
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
        """Names of the folders that may be runs, sorted; leftovers of killed processes are removed on the way.

        A link or folder that can't be looked into is among them. Raises RunError where the store is no folder.
        """
        names = self._folders()
        if any(map(files.LEFTOVER.fullmatch, names)):
            files.clear_all_leftovers(self.folder)
            names = self._folders()
        return sorted(name for name in names if not name.startswith("."))

    def _folders(self) -> set[str]:
        check_store(self.folder)
        try:
            with os.scandir(self.folder) as entries:
                return {entry.name for entry in entries if _may_be_run(entry)}
        except FileNotFoundError:
            raise RunError(f"store {self.folder} is not there; name a folder that holds runs, or make it") from None
        except OSError as error:
            raise RunError(f"store {self.folder} can't be read: {error.strerror or error}") from None

    def list(self) -> Iterator[Run | BrokenRun]:
        """Yield every run by name; one that can't be read is a `BrokenRun` with the reason, and stops no other."""
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
        """Open the run called `run_id`. Raises RunError where there is none, or it can't be read."""
        if not RUN_ID.fullmatch(run_id) or not os.path.lexists(self.folder / run_id):
            listed = ", ".join(self.ids()[:8]) or "none yet"
            raise RunError(f"there is no run {run_id!r} in {self.folder}; runs there: {listed}")
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
        """Write a new run, whole or not at all; a run of that name stays until the new one takes its place.

        Parameters
        ----------
        run_id
            Name of the run.
        record
            Content of run.json.
        weights
            All tensors of the weights' file, with the checksum that the record holds.
        examples
            Held-out examples: `x`, `y` and `index`.
        overwrite
            Whether a run of that name may be replaced.

        Raises
        ------
        RunError
            Where the run exists and may not be replaced, or the disk refuses.
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
        """Copy a run's folder into the store, once all of it has been read and checked where it lies.

        Parameters
        ----------
        source
            Folder of the run.
        run_id
            Its name in the store; that of the folder by default.
        overwrite
            Whether a run of that name may be replaced.

        Raises
        ------
        RunError
            Where something is wrong with the run, or the disk refuses; nothing of it is then left in the store.
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
        """Remove a run, readable or not, or an unfinished training.

        Raises RunError where there is none, a training goes on in it, or its folder holds anything but a run's files:
        those may be somebody's work.
        """
        if not RUN_ID.fullmatch(run_id) or not os.path.lexists(self.folder / run_id):
            raise RunError(f"there is no run {run_id!r} in {self.folder} to remove")
        check_replaceable(self.folder / run_id)
        files.remove_folder(self.folder / run_id)

    @contextmanager
    def place(self, run_id: str, overwrite: bool) -> Iterator[Path]:
        """Yield a temporary folder that becomes run `run_id` once it can be read as one. Raises RunError, UserError."""
        target = self.folder / check_id(run_id)
        check_store(self.folder)
        files.clear_all_leftovers(self.folder)
        if os.path.lexists(target) and not overwrite:
            raise RunError(f"run {run_id!r} exists in {self.folder}; choose another name, or say --overwrite")
        check_replaceable(target)
        with files.replacing_folder(target) as temporary:
            yield temporary
            Run(temporary).verify_weights()  # a run that can't be read again never joins the store


def check_whole(run: Run) -> None:
    """Read all files of a run and check them against its record: shapes, checksum, finite numbers. Raises RunError."""
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
    """Return `run_id` where it may name a run. Raises UserError."""
    if not RUN_ID.fullmatch(run_id) or run_id.endswith(UNFINISHED):
        raise UserError(
            f"{run_id!r} can't name a run; use up to 100 letters, digits, '.', '_' and '-', a letter or digit first"
        )
    return run_id


def check_store(folder: Path) -> None:
    """Raise RunError where something that is no folder has the store's name."""
    if os.path.lexists(folder) and not os.path.isdir(folder):
        raise RunError(f"store {folder} is not a folder; name one that holds runs")


def check_replaceable(path: Path) -> None:
    """Raise RunError unless `path` is free, or a folder with a run's files and no others that no training uses."""
    if not os.path.lexists(path):
        return
    if os.path.islink(path) or not os.path.isdir(path):
        raise RunError(f"{path} is no folder of a run; move it away, or choose another name")
    if path.name.endswith(UNFINISHED):
        locks.check_free(path, under_way(path))
    ours = "|".join(re.escape(name) for name in (*KEPT, CHECKPOINT, DIVERGED, PARTIAL))
    pattern = re.compile(rf"{ours}|\.({ours})\.[0-9a-f]{{8}}\.tmp|\.DS_Store")
    try:
        strange = sorted(name for name in os.listdir(path) if not pattern.fullmatch(name))
    except OSError as error:
        raise RunError(f"{path} can't be read: {error.strerror or error}; move it away") from None
    if strange:
        raise RunError(f"{path} holds {strange[0]!r}, which is no part of a run; move it away, or choose another name")


def under_way(folder: Path) -> str:
    """Sentence for a folder that another process holds: the folder of an unfinished training."""
    name = folder.name.removesuffix(UNFINISHED)
    return f"a training of {name} is under way in another process; wait for it, stop it, or choose another name"


def _may_be_run(entry: os.DirEntry[str]) -> bool:
    """Whether an entry of the store is a folder, a link to one, or a link that can't be followed."""
    try:
        return entry.is_dir() or (entry.is_symlink() and not os.path.exists(entry.path))
    except OSError:  # a loop of links, or one that leads behind somebody else's permission
        return True
