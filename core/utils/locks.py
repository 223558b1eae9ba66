"""Locks on files and folders that end with the process that holds them, however it ends."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.errors import RunError

try:
    import fcntl
except ImportError:  # Windows: leftovers of a killed process then stay until a person removes them
    fcntl = None  # type: ignore[assignment]

READING = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)  # no waiting for a pipe's writer


def lock(path: Path, *, wait: bool) -> int:
    """Hold `path` until the returned handle is closed or this process ends.

    Raises OSError where it can't be opened, and without `wait` where another process holds it or nothing can be held.
    """
    handle = os.open(path, READING)
    try:
        if fcntl is None:
            raise OSError("no locks here")
        fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # held by its writer, or a file system without locks, where leftovers stay
        if not wait:
            os.close(handle)
            raise
    return handle


@contextmanager
def held(folder: Path, busy: str) -> Iterator[None]:
    """Hold `folder`, made where it is not there, until the block ends or this process dies.

    Parameters
    ----------
    folder
        The folder; where it is empty at the end it is removed.
    busy
        Sentence for the error where another process holds it.

    Raises
    ------
    RunError
        With `busy`, or where the disk refuses. Where the file system has no locks nothing is held.
    """
    try:
        handle = _made_and_held(folder, busy)
    except OSError as error:
        raise RunError(f"{folder} can't be written: {error.strerror or error}; choose another folder") from error
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            folder.rmdir()
        os.close(handle)


def check_free(folder: Path, busy: str) -> None:
    """Raise RunError, with the sentence `busy`, where another process holds `folder`."""
    with contextlib.suppress(OSError):
        os.close(_hold(folder, busy))


def _made_and_held(folder: Path, busy: str) -> int:
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):  # another process removed it in between
            handle = _hold(folder, busy)
            if os.path.samestat(os.fstat(handle), os.stat(folder)):
                return handle
            os.close(handle)


def _hold(folder: Path, busy: str) -> int:
    handle = os.open(folder, READING)
    try:
        if fcntl is not None:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise RunError(busy) from None
    except OSError:  # a file system without locks
        pass
    return handle
