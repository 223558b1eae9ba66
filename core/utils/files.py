"""Read files within bounds of size; write files and folders whole or not at all, whatever is killed when."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import re
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from core.errors import RunError
from core.utils.locks import lock

MAX_JSON_BYTES = 8 * 2**20
LEFTOVER = re.compile(r"\.(.+)\.[0-9a-f]{8}\.(?:tmp|old|gone)", re.DOTALL)  # names that `_hidden` makes
AT_FDCWD, RENAME_EXCHANGE = -100, 2  # linux/fcntl.h, linux/fs.h


def write_bytes(path: Path, data: bytes, *, parents: bool = True) -> None:
    """Write `data` to `path` whole or not at all: a temporary name, fsync, rename. Raises RunError.

    Without `parents` its folder has to be there: a run that was moved away is not begun again by a file.
    """
    with replacing(path, parents=parents) as temporary, open(temporary, "wb") as file:
        file.write(data)


def json_bytes(data: Any) -> bytes:
    """Encode plain data as readable JSON. Raises ValueError for NaN and infinity."""
    text = json.dumps(data, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    return text.encode(errors="surrogatepass")  # a label may hold anything; json reads it back


def write_new(path: Path, data: bytes) -> None:
    """Write a new file, durably, in a folder that has not got its name yet. Raises OSError."""
    with open(path, "xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def copy_new(source: Path, path: Path) -> None:
    """Copy a file, durably, into a folder that has not got its name yet. Raises OSError."""
    with open(source, "rb") as reader, open(path, "xb") as writer:
        shutil.copyfileobj(reader, writer, 2**20)
        writer.flush()
        os.fsync(writer.fileno())


@contextmanager
def replacing(path: Path, *, parents: bool = True) -> Iterator[Path]:
    """Yield a temporary path that replaces `path` when the block ends well and vanishes when it doesn't.

    Raises RunError where the disk refuses, and without `parents` where the folder is not there.
    """
    with _refusals_told(path), _temporary(path, folder=False, parents=parents) as temporary:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_folder(path.parent)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Do the same for a folder; the old one stays whole under its name until the new one takes it. Raises RunError."""
    with _refusals_told(path), _temporary(path, folder=True) as temporary:
        yield temporary
        sync_folder(temporary)
        _take_place(temporary, path)
        sync_folder(path.parent)
        clear_leftovers(path)


@contextmanager
def scratch_folder(name: str) -> Iterator[Path]:
    """Yield a private folder in the system's temporary folder, removed at the end; those of killed processes go too."""
    with _temporary(Path(tempfile.gettempdir()) / name, folder=True, mode=0o700) as temporary:
        yield temporary


def remove_folder(folder: Path) -> None:
    """Remove a folder under another name first, so that a listed folder is whole or gone. Raises RunError."""
    clear_leftovers(folder)
    if not folder.exists():
        return
    with _refusals_told(folder):
        doomed = _hidden(folder, "gone")
        os.replace(folder, doomed)
    _remove(doomed)


def remove_file(path: Path) -> None:
    """Remove a file, if it is there, and what was left of writing it. Raises RunError."""
    clear_leftovers(path)
    with _refusals_told(path):
        path.unlink(missing_ok=True)


def clear_all_leftovers(folder: Path) -> None:
    """Do `clear_leftovers` for every name in `folder`."""
    with contextlib.suppress(OSError):
        names = {match[1] for name in os.listdir(folder) if (match := LEFTOVER.fullmatch(name))}
        for name in sorted(names):
            clear_leftovers(folder / name)


def clear_leftovers(path: Path) -> None:
    """Remove what processes that were killed while they wrote or removed `path` left beside it.

    A `.tmp` is in use as long as its writer holds its lock, which ends with the process. An `.old` is a folder moved
    out of the way where the system can't swap two names: it gets its name back if nothing took its place.
    """
    try:
        names = sorted(n for n in os.listdir(path.parent) if (m := LEFTOVER.fullmatch(n)) and m[1] == path.name)
    except OSError:
        return
    for name in names:
        leftover = path.parent / name
        with contextlib.suppress(OSError):
            if name.endswith(".old") and not os.path.lexists(path):
                os.replace(leftover, path)
            elif name.endswith(".tmp"):
                handle = lock(leftover, wait=False)
                _remove(leftover)
                os.close(handle)
            else:
                _remove(leftover)


def sync_folder(folder: Path) -> None:
    """Make renames inside `folder` durable, where the system can."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        pass  # some network file systems have no folder sync
    finally:
        os.close(handle)


def read_json(path: Path, max_bytes: int = MAX_JSON_BYTES) -> Any:
    """Read plain data from a JSON file. Raises RunError where it is missing, too large or no JSON."""
    data = read_bytes(path, max_bytes)
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise RunError(f"{path.name} is not JSON ({error}); restore it from a copy or remove the run") from None


def read_bytes(path: Path, max_bytes: int) -> bytes:
    """Read a file, once its size is known to be at most `max_bytes`. Raises RunError."""
    check_file(path, max_bytes)
    try:
        return path.read_bytes()
    except OSError as error:
        raise RunError(f"{path.name} can't be read: {error.strerror or error}") from None


def check_file(path: Path, max_bytes: int) -> None:
    """Raise RunError unless `path` is a regular file of at most `max_bytes`; a pipe would be waited on for ever."""
    try:
        state = path.stat()
    except FileNotFoundError:
        raise RunError(f"{path.name} is missing; restore it from a copy or remove the run") from None
    except (OSError, ValueError) as error:
        raise RunError(f"{path.name} can't be read: {getattr(error, 'strerror', None) or error}") from None
    if not stat.S_ISREG(state.st_mode):
        raise RunError(f"{path.name} is no regular file; restore it from a copy or remove the run")
    if state.st_size > max_bytes:
        raise RunError(f"{path.name} has {state.st_size:,} bytes, more than the {max_bytes:,} such a file may have")


def state_of(path: Path) -> os.stat_result | None:
    """Status of a file; None where it is not there or can't be looked at."""
    try:
        return path.stat()
    except OSError:
        return None


def first_line(error: Exception) -> str:
    """First line of a library's error, short enough for one sentence."""
    return str(error).splitlines()[0][:120] if str(error) else type(error).__name__


@contextmanager
def _temporary(path: Path, *, folder: bool, parents: bool = True, mode: int = 0o777) -> Iterator[Path]:
    """A new, locked file or folder beside `path`; whatever then bears its name is removed at the end."""
    if parents:
        path.parent.mkdir(parents=True, exist_ok=True)
    clear_leftovers(path)
    while True:
        temporary = _hidden(path, "tmp")  # a new name each time: a clean-up may still be at the last one
        temporary.mkdir(mode) if folder else temporary.touch(exist_ok=False)
        try:
            handle = lock(temporary, wait=True)
        except FileNotFoundError:
            continue  # another's clean-up came before the lock
        if temporary.exists():
            break
        os.close(handle)
    try:
        yield temporary
    finally:
        _remove(temporary)
        os.close(handle)


def _hidden(path: Path, kind: str) -> Path:
    """A name beside `path` that no listing of runs shows."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.{kind}")


def _take_place(folder: Path, path: Path) -> None:
    """Give `folder` the name `path`; a folder of that name gets the other one, or goes. Raises OSError."""
    if _exchange(folder, path):
        return
    try:
        os.replace(folder, path)  # nothing is there
        return
    except OSError:
        if not path.is_dir():
            raise
    if _exchange(folder, path):  # it came in between
        return
    aside = _hidden(path, "old")
    os.replace(path, aside)
    try:
        os.replace(folder, path)
    except OSError:
        os.replace(aside, path)
        raise


def _exchange(a: Path, b: Path) -> bool:
    """Swap two names in one step; False where the system has no such call (Linux: renameat2(2))."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError, TypeError):
        return False
    done: int = rename(AT_FDCWD, os.fsencode(a), AT_FDCWD, os.fsencode(b), RENAME_EXCHANGE)
    return done == 0


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


@contextmanager
def _refusals_told(path: Path) -> Iterator[None]:
    """Raise the system's refusal to write `path` as one sentence."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or first_line(error)
        raise RunError(f"{path} can't be written: {reason}; make room there or choose another folder") from error
