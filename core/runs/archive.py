"""Rename, archive and restore runs. Emptying the archive moves it to the store's trash, which keeps it for a day."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from core.errors import RunError, UserError
from core.runs.file_names import UNFINISHED
from core.runs.store import RunStore, check_id, check_replaceable
from core.utils import files

ARCHIVE, TRASH = ".archive", ".trash"  # folders in the store that no listing of runs shows
TRASH_KEPT = timedelta(days=1)
_TIME = "%Y%m%dT%H%M%SZ"
_EMPTIED = re.compile(r"([0-9]{8}T[0-9]{6}Z)-[0-9a-f]{8}")  # folder in the trash: when it was filled, and at random


@dataclass(frozen=True)
class Trashed:
    """A run in the trash."""

    name: str
    emptied: datetime  # UTC
    folder: Path

    @property
    def until(self) -> datetime:
        """Time from which on it may be removed for good."""
        return self.emptied + TRASH_KEPT


def writable(store: RunStore) -> bool:
    """Whether runs can be added to the store and taken out of it."""
    return store.folder.is_dir() and os.access(store.folder, os.W_OK | os.X_OK)


def rename(store: RunStore, run_id: str, name: str) -> None:
    """Give a run, readable or not, another name.

    Parameters
    ----------
    store
        The store that lists the run.
    run_id
        Its name now.
    name
        Its new name.

    Raises
    ------
    UserError
        For a name that no run can have, or an unfinished training.
    RunError
        Where the name is taken, or there is no such run.
    """
    if run_id.endswith(UNFINISHED):
        raise UserError(f"{run_id} is an unfinished training; bring it to its end with --resume, then rename the run")
    check_id(name)
    _move(_listed(store, run_id), store.folder / name)


def archive(store: RunStore, run_id: str) -> str:
    """Move a run, readable or not, or an unfinished training into the archive; returns its name there.

    Raises RunError where there is none, or its folder holds anything but a run's files.
    """
    source = _listed(store, run_id)
    check_replaceable(source)
    name = free_name(archived(store), run_id)
    _move(source, _inside(store, ARCHIVE) / name)
    clear_trash(store)
    return name


def archived(store: RunStore) -> list[str]:
    """Names in the archive, sorted. Raises RunError where it can't be read."""
    return _folders(_inside(store, ARCHIVE))


def restore(store: RunStore, name: str, run_id: str | None = None) -> str:
    """Move a run back from the archive, as `run_id` where that is given; returns its name in the store.

    Raises UserError for a name that no run can have, RunError where it is taken or nothing of that name is archived.
    """
    if name not in archived(store):
        listed = ", ".join(archived(store)[:8]) or "nothing yet"
        raise RunError(f"there is no {name!r} in the archive of {store.folder}; it holds: {listed}")
    return _back(store, _inside(store, ARCHIVE) / name, run_id or name)


def empty(store: RunStore, *, now: datetime | None = None) -> int:
    """Move all archived runs to the trash, and remove from it what was there for a day; returns how many were moved.

    Parameters
    ----------
    store
        The store whose archive is emptied.
    now
        Time of the emptying, aware; the present by default.

    Raises
    ------
    RunError
        Where an archived folder holds anything but a run's files, since it may be somebody's work; nothing is moved.
    """
    now = now or datetime.now(UTC)
    names = archived(store)
    for name in names:
        check_replaceable(_inside(store, ARCHIVE) / name)
    target = _inside(store, TRASH) / f"{now.astimezone(UTC):{_TIME}}-{secrets.token_hex(4)}"
    for name in names:
        _move(_inside(store, ARCHIVE) / name, target / name)
    clear_trash(store, now=now)
    return len(names)


def trashed(store: RunStore) -> list[Trashed]:
    """Runs in the trash, the last emptied first. Raises RunError where it can't be read."""
    trash = _inside(store, TRASH)
    runs = []
    for fill in _folders(trash):
        if match := _EMPTIED.fullmatch(fill):
            try:
                emptied = datetime.strptime(match[1], _TIME).replace(tzinfo=UTC)
            except ValueError:  # a date that no calendar has: not ours
                continue
            runs += [Trashed(name, emptied, trash / fill / name) for name in _folders(trash / fill)]
    return sorted(runs, key=lambda run: (run.emptied, run.name), reverse=True)


def restore_trashed(store: RunStore, name: str, run_id: str | None = None) -> str:
    """Move the run that was emptied last under `name` back to the store, as `run_id` where given; returns its name.

    Raises as `restore` does.
    """
    runs = trashed(store)
    match = next((run for run in runs if run.name == name), None)
    if match is None:
        listed = ", ".join(run.name for run in runs[:8]) or "nothing"
        raise RunError(f"there is no {name!r} in the trash of {store.folder}; it holds: {listed}")
    restored = _back(store, match.folder, run_id or name)
    _drop_if_empty(match.folder.parent)
    return restored


def clear_trash(store: RunStore, *, now: datetime | None = None) -> int:
    """Remove for good the runs that were in the trash for `TRASH_KEPT`; returns how many those were.

    Called whenever the archive is filled or emptied. A folder that holds anything but a run's files stays. Raises
    RunError where the trash can't be read.
    """
    now, removed = now or datetime.now(UTC), 0
    for run in trashed(store):
        if run.until > now:
            continue
        try:
            check_replaceable(run.folder)
            files.remove_folder(run.folder)
        except RunError:  # somebody's work, or a folder that refuses: the others still go
            continue
        _drop_if_empty(run.folder.parent)
        removed += 1
    return removed


def free_name(taken: list[str], name: str) -> str:
    """`name`, or where it is taken the first of `name-2`, `name-3` and so on that is free."""
    suffix = UNFINISHED if name.endswith(UNFINISHED) else ""
    stem, names, k = name.removesuffix(suffix)[:90], set(taken), 2
    while name in names:
        name, k = f"{stem}-{k}{suffix}", k + 1
    return name


def _listed(store: RunStore, run_id: str) -> Path:
    """Folder of a run that the store lists, whatever its name: only names that were read from the disk count."""
    if run_id not in store.ids():
        raise RunError(f"there is no run {run_id!r} in {store.folder}; see what there is with: python -m core list")
    return store.folder / run_id


def _inside(store: RunStore, name: str) -> Path:
    """The archive or the trash of a store. Raises RunError where something else has its name."""
    folder = store.folder / name
    if os.path.lexists(folder) and (folder.is_symlink() or not folder.is_dir()):
        raise RunError(f"{folder} is no folder; move it away, since the {name[1:]} is to be there")
    return folder


def _folders(folder: Path) -> list[str]:
    """Names of the folders in `folder`, sorted; none where it is not there. Raises RunError."""
    if not folder.is_dir():
        return []
    try:
        with os.scandir(folder) as entries:
            return sorted(e.name for e in entries if e.is_dir(follow_symlinks=False) and not e.name.startswith("."))
    except OSError as error:
        raise RunError(f"{folder} can't be read: {error.strerror or error}") from None


def _back(store: RunStore, source: Path, name: str) -> str:
    """Move a folder into the store as `name`; an unfinished training keeps its suffix. Raises UserError, RunError."""
    suffix = UNFINISHED if source.name.endswith(UNFINISHED) else ""
    name = check_id(name.removesuffix(suffix)) + suffix
    _move(source, store.folder / name)
    return name


def _drop_if_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:  # other runs are in it
        return


def _move(source: Path, target: Path) -> None:
    """Give a folder another name in one step; nothing is overwritten. Raises RunError."""
    with _refusal_told(source, target):
        target.parent.mkdir(parents=True, exist_ok=True)
        if os.path.lexists(target):
            raise RunError(f"run {target.name!r} exists in {target.parent}; choose another name")
        os.rename(source, target)  # a folder that comes in between and holds a file is refused by the system
        files.sync_folder(target.parent)
        files.sync_folder(source.parent)


@contextmanager
def _refusal_told(source: Path, target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or files.first_line(error)
        raise RunError(f"{source.name!r} can't be moved to {target}: {reason}; look at what is there now") from error
