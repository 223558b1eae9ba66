"""Reading and writing files so that a reader never meets half of one, whatever is killed when."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from core.errors import RunError

try:
    import fcntl
except ImportError:  # Windows: what a killed process left behind then stays until a person removes it
    fcntl = None  # type: ignore[assignment]

MAX_JSON_BYTES = 8 * 2**20
AT_FDCWD, RENAME_EXCHANGE = -100, 2  # linux/fcntl.h, linux/fs.h


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path` whole or not at all: a temporary name, fsync, rename. Raises RunError."""
    with replacing(path) as temporary, open(temporary, "wb") as file:
        file.write(data)


def json_bytes(data: Any) -> bytes:
    """Plain data as readable JSON. NaN and infinity are refused (ValueError)."""
    text = json.dumps(data, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    return text.encode(errors="surrogatepass")  # a label may hold anything; json reads it back


def write_new(path: Path, data: bytes) -> None:
    """A file inside a folder that is not yet under its name, durable. Raises OSError."""
    with open(path, "xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def copy_new(source: Path, path: Path) -> None:
    """The same from another file's bytes, a part at a time. Raises OSError."""
    with open(source, "rb") as reader, open(path, "xb") as writer:
        shutil.copyfileobj(reader, writer, 2**20)
        writer.flush()
        os.fsync(writer.fileno())


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path that takes the place of `path` when the block ends well and vanishes when it doesn't.

    Raises RunError where the disk refuses.
    """
    with _refusals_told(path), _temporary(path, folder=False) as temporary:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_folder(path.parent)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """The same for a folder; the old one stays whole under its name until the new one takes it. Raises RunError."""
    with _refusals_told(path), _temporary(path, folder=True) as temporary:
        yield temporary
        sync_folder(temporary)
        _take_place(temporary, path)
        sync_folder(path.parent)
        clear_leftovers(path)


def remove_folder(folder: Path) -> None:
    """Remove a folder under another name first, so that what is listed is whole or gone. Raises RunError."""
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


def clear_leftovers(path: Path) -> None:
    """Remove what processes that were killed while they wrote or removed `path` left beside it.

    A `.tmp` is being written as long as its writer holds its lock, which a kill lets go. An `.old` is what an
    overwriting took out of the way where the system can't swap two names: it comes back if nothing took its place.
    """
    ours = re.compile(re.escape(f".{path.name}.") + r"[0-9a-f]{8}\.(tmp|old|gone)")
    try:
        names = sorted(name for name in os.listdir(path.parent) if ours.fullmatch(name))
    except OSError:
        return
    for name in names:
        found = path.parent / name
        with contextlib.suppress(OSError):
            if name.endswith(".old") and not os.path.lexists(path):
                os.replace(found, path)
            elif name.endswith(".tmp"):
                handle = _lock(found, wait=False)
                _remove(found)
                os.close(handle)
            else:
                _remove(found)


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
    """Plain data from a JSON file. Raises RunError where it is missing, too large or no JSON."""
    data = read_bytes(path, max_bytes)
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise RunError(f"{path.name} is not JSON ({error}); restore it from a copy or remove the run") from None


def read_bytes(path: Path, max_bytes: int) -> bytes:
    """A file's bytes; the size is looked at before anything is read. Raises RunError."""
    check_file(path, max_bytes)
    try:
        return path.read_bytes()
    except OSError as error:
        raise RunError(f"{path.name} can't be read: {error.strerror or error}") from None


def check_file(path: Path, max_bytes: int) -> None:
    """Raise RunError unless `path` is a regular file of at most `max_bytes`; a pipe would be waited on for ever."""
    try:
        found = path.stat()
    except FileNotFoundError:
        raise RunError(f"{path.name} is missing; restore it from a copy or remove the run") from None
    except (OSError, ValueError) as error:
        raise RunError(f"{path.name} can't be read: {getattr(error, 'strerror', None) or error}") from None
    if not stat.S_ISREG(found.st_mode):
        raise RunError(f"{path.name} is no regular file; restore it from a copy or remove the run")
    if found.st_size > max_bytes:
        raise RunError(f"{path.name} has {found.st_size:,} bytes, more than the {max_bytes:,} such a file may have")


def state_of(path: Path) -> os.stat_result | None:
    """Status of a file; None where it is not there or can't be looked at."""
    try:
        return path.stat()
    except OSError:
        return None


def first_line(error: Exception) -> str:
    """What a library's error says, short enough for one sentence."""
    return str(error).splitlines()[0][:120] if str(error) else type(error).__name__


@contextmanager
def _temporary(path: Path, *, folder: bool) -> Iterator[Path]:
    """A new, locked file or folder beside `path`; whatever then bears its name is removed at the end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    clear_leftovers(path)
    while True:
        temporary = _hidden(path, "tmp")  # a new name each time: a clean-up may still be about the last one
        temporary.mkdir() if folder else temporary.touch(exist_ok=False)
        try:
            handle = _lock(temporary, wait=True)
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


def _lock(path: Path, *, wait: bool) -> int:
    """Hold `path` until the returned handle is closed or this process ends. Raises OSError where another holds it."""
    handle = os.open(path, os.O_RDONLY)
    try:
        if fcntl is None:
            raise OSError("no locks here")
        fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # held by its writer, or a file system without locks, where nobody then clears up
        if not wait:
            os.close(handle)
            raise
    return handle


def _take_place(folder: Path, path: Path) -> None:
    """`folder` gets the name `path`; what had it goes under the other name, or away. Raises OSError."""
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
    """Swap what two names mean in one step; False where the system has no such call (Linux: renameat2(2))."""
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
    """What the system says against writing `path`, as one sentence."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or first_line(error)
        raise RunError(f"{path} can't be written: {reason}; make room there or choose another folder") from error
