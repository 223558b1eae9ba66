"""Renaming runs, and the archive: where removed runs wait, so that a removal can be taken back until it is emptied."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.errors import RunError, UserError
from core.runs.file_names import UNFINISHED
from core.runs.store import RunStore, check_id, check_replaceable
from core.utils import files

ARCHIVE = ".archive"  # a folder in the store that no listing of runs shows


def writable(store: RunStore) -> bool:
    """Whether runs can be added to the store and taken out of it."""
    return store.folder.is_dir() and os.access(store.folder, os.W_OK | os.X_OK)


def rename(store: RunStore, run_id: str, name: str) -> None:
    """Give a run, readable or not, another name.

    Raises UserError for a name that no run can have, RunError where it is taken.
    """
    if run_id.endswith(UNFINISHED):
        raise UserError(f"{run_id} is an unfinished training; bring it to its end with --resume, then rename the run")
    check_id(name)
    _move(_listed(store, run_id), store.folder / name)


def archive(store: RunStore, run_id: str) -> str:
    """Put a run, readable or not, or an unfinished training into the archive; the name that it has there.

    Raises RunError where there is none, or its folder holds anything but a run's files.
    """
    source = _listed(store, run_id)
    check_replaceable(source)
    name = free_name(archived(store), run_id)
    _move(source, _archive(store) / name)
    return name


def archived(store: RunStore) -> list[str]:
    """Names in the archive, sorted."""
    folder = _archive(store)
    if not folder.is_dir():
        return []
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))
    except OSError as error:
        raise RunError(f"the archive {folder} can't be read: {error.strerror or error}") from None


def restore(store: RunStore, name: str, run_id: str | None = None) -> str:
    """Bring a run back from the archive, under another name where `run_id` is given; the name that it has now.

    Raises UserError for a name that no run can have, RunError where the name is taken or nothing is archived so.
    """
    if name not in archived(store):
        known = ", ".join(archived(store)[:8]) or "nothing yet"
        raise RunError(f"there is no {name!r} in the archive of {store.folder}; it holds: {known}")
    suffix = UNFINISHED if name.endswith(UNFINISHED) else ""
    wanted = check_id((run_id or name).removesuffix(suffix)) + suffix
    _move(_archive(store) / name, store.folder / wanted)
    return wanted


def empty(store: RunStore) -> int:
    """Remove for good what is in the archive; how many runs that were.

    Raises RunError where a folder holds anything but a run's files: it may be somebody's work, and stays.
    """
    names = archived(store)
    for name in names:
        check_replaceable(_archive(store) / name)
    for name in names:
        files.remove_folder(_archive(store) / name)
    return len(names)


def free_name(taken: list[str], name: str) -> str:
    """`name`, or where it is taken the next of `name-2`, `name-3` and so on that is not."""
    suffix = UNFINISHED if name.endswith(UNFINISHED) else ""
    stem, known, k = name.removesuffix(suffix)[:90], set(taken), 2
    while name in known:
        name, k = f"{stem}-{k}{suffix}", k + 1
    return name


def _listed(store: RunStore, run_id: str) -> Path:
    """The folder of a run that the store lists, whatever its name: only names that were read from the disk count."""
    if run_id not in store.ids():
        raise RunError(f"there is no run {run_id!r} in {store.folder}; see what there is with: python -m core list")
    return store.folder / run_id


def _archive(store: RunStore) -> Path:
    folder = store.folder / ARCHIVE
    if os.path.lexists(folder) and (folder.is_symlink() or not folder.is_dir()):
        raise RunError(f"{folder} is no folder; move it away, since the archive is to be there")
    return folder


def _move(source: Path, target: Path) -> None:
    """Give a folder another name in one step; nothing is overwritten. Raises RunError."""
    with _told(source, target):
        target.parent.mkdir(exist_ok=True)
        if os.path.lexists(target):
            raise RunError(f"run {target.name!r} exists in {target.parent}; choose another name")
        os.rename(source, target)  # a folder that comes in between and holds a file is refused by the system
        files.sync_folder(target.parent)
        files.sync_folder(source.parent)


@contextmanager
def _told(source: Path, target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or files.first_line(error)
        raise RunError(f"{source.name!r} can't be moved to {target}: {reason}; look at what is there now") from error
