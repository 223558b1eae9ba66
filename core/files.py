"""Reading and writing files so that a reader never meets half of one."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from core.errors import RunError

MAX_JSON_BYTES = 32 * 2**20


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path` whole or not at all: a temporary name, fsync, rename."""
    with replacing(path) as temporary, open(temporary, "wb") as file:
        file.write(data)


def write_json(path: Path, data: Any) -> None:
    """Write plain data as readable JSON, whole or not at all. NaN and infinity are refused (ValueError)."""
    write_bytes(path, (json.dumps(data, indent=1, allow_nan=False, ensure_ascii=False) + "\n").encode())


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path that takes the place of `path` when the block ends well and vanishes when it doesn't."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())  # mkstemp's 0600 would lock a shared store's other users out
        os.replace(temporary, path)
        sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


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
    try:
        size = path.stat().st_size
        if size > max_bytes:
            raise RunError(f"{path.name} has {size:,} bytes, more than the {max_bytes:,} that such a file may have")
        return path.read_bytes()
    except FileNotFoundError:
        raise RunError(f"{path.name} is missing; restore it from a copy or remove the run") from None
    except OSError as error:
        raise RunError(f"{path.name} can't be read: {error.strerror or error}") from None


def remove_folder(folder: Path) -> None:
    """Remove a folder under its own name first, so that what is listed is whole or gone."""
    if not folder.exists():
        return
    doomed = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".gone", dir=folder.parent))
    os.replace(folder, doomed / folder.name)
    shutil.rmtree(doomed, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
