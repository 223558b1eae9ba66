"""Pack a run into one zip file, and import one from a zip of unknown origin, which is checked before it is unpacked."""

from __future__ import annotations

import os
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import IO

from core.errors import RunError, UserError
from core.runs.file_names import EXAMPLES, KEPT, NOTES, RECORD, WEIGHTS
from core.runs.notes import MAX_BYTES as MAX_NOTES_BYTES
from core.runs.run import Run
from core.runs.store import RUN_ID, RunStore, check_id, check_whole
from core.utils import files

EPOCH = (1980, 1, 1, 0, 0, 0)  # the same run gives the same zip, byte for byte
MAX_BYTES = 2**32 - 2**20  # what a plain zip can describe; a larger run is copied as a folder
MAX_DIRECTORY = 64 * 2**10  # bytes of the zip's list of contents: read before the list itself is
MAX_ENTRIES = 64
MAX_RATIO, FREE = 200, 2**20  # how much a file may grow when it is unpacked, unless it is small
MAX_EACH = {RECORD: files.MAX_JSON_BYTES, NOTES: MAX_NOTES_BYTES}
END, END_BYTES, END64 = b"PK\5\6", 22, b"PK\6\7"  # APPNOTE.TXT, 4.3.15 and 4.3.16
CHUNK = 2**20
#: Mends of a reason for runs in a store; a zip has a mend of its own.
MENDS = "; (?:restore|make it again|make the point again|train the run|remove the file|name the folder|write them)"


def pack(run: Run, out: IO[bytes]) -> None:
    """Write a zip of the run's files, in a folder named after it, once they are checked as an import would check them.

    Nothing is compressed: weights hardly shrink, and the bytes are then the same everywhere. Raises RunError.
    """
    check_whole(run)
    paths = [run.path / name for name in KEPT if (run.path / name).exists()]
    for path in paths:
        if path.is_symlink():
            raise RunError(f"{path.name} in {run.path} is a link; put the file itself there, then pack the run")
    total = sum(path.stat().st_size for path in paths)
    if total > MAX_BYTES:
        raise RunError(
            f"run {run.id} has {total:,} bytes, more than the {MAX_BYTES:,} of a zip; copy its folder instead"
        )
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as zipped:
        for path in paths:
            info = zipfile.ZipInfo(f"{run.id}/{path.name}", EPOCH)
            info.external_attr = (stat.S_IFREG | 0o644) << 16
            info.create_system = 3  # Unix, also where it is made on Windows
            info.file_size = path.stat().st_size
            with zipped.open(info, "w") as writer, open(path, "rb") as reader:
                while chunk := reader.read(CHUNK):
                    writer.write(chunk)


@contextmanager
def opened(source: IO[bytes], name: str) -> Iterator[Run]:
    """Yield the run in a zip, read and checked in a temporary folder outside any store, before it is imported.

    `name` is the file name of the zip, by which a run is called whose zip holds no folder. Raises RunError.
    """
    with files.scratch_folder("structural-dropout-zip") as temporary:
        with _refused():
            inside = _contents(source)
            folder = temporary / (inside.folder or _from_file_name(name))
            folder.mkdir()
            inside.unpack(folder)
            run = Run(folder)
            check_whole(run)
        yield run


def import_zip(
    store: RunStore, source: IO[bytes], name: str, run_id: str | None = None, *, overwrite: bool = False
) -> Run:
    """Import the run in a zip, once all of it is checked.

    Parameters
    ----------
    store
        Where the run goes.
    source
        The zip, open for reading and seeking.
    name
        Its file name, by which a run is called whose zip holds no folder.
    run_id
        Name of the run in the store; that in the zip by default.
    overwrite
        Whether a run of that name may be replaced.

    Raises
    ------
    RunError
        Where something is wrong with the zip, or the name is taken; nothing of it is then left in the store.
    UserError
        For a name that no run can have.
    """
    with _refused():
        inside = _contents(source)
    run_id = check_id(run_id or inside.folder or _from_file_name(name))
    with store.place(run_id, overwrite) as temporary, _refused():
        inside.unpack(temporary)
        check_whole(Run(temporary))
    return Run(store.folder / run_id)


class _Contents:
    """A zip whose list of contents is that of a run."""

    def __init__(self, zipped: zipfile.ZipFile, folder: str, members: dict[str, zipfile.ZipInfo]) -> None:
        self.zipped, self.folder, self.members = zipped, folder, members

    def unpack(self, target: Path) -> None:
        """Write the files into an empty folder, no more bytes than are listed. Raises RunError."""
        for name, info in self.members.items():
            with self.zipped.open(info) as reader, open(target / name, "xb") as writer:
                left = info.file_size
                while chunk := reader.read(min(CHUNK, left + 1)):
                    left -= len(chunk)
                    if left < 0:
                        raise RunError(f"{name} is larger than the zip says")
                    writer.write(chunk)
                if left:
                    raise RunError(f"{name} ends before its {info.file_size:,} bytes are there")
                writer.flush()
                os.fsync(writer.fileno())


def _contents(source: IO[bytes]) -> _Contents:
    """Check a zip by its list of contents. Raises RunError before anything is unpacked."""
    _check_directory(source)
    zipped = zipfile.ZipFile(source)
    infos = zipped.infolist()
    if not infos:
        raise RunError("it is empty")
    if len(infos) > MAX_ENTRIES:
        raise RunError(f"it holds {len(infos):,} files, more than the {MAX_ENTRIES} it may")
    members: dict[str, zipfile.ZipInfo] = {}
    folders = set()
    for info in infos:
        name = info.orig_filename
        _check_name(name)
        if name.startswith("__MACOSX/") or PurePath(name).name == ".DS_Store":
            continue  # added by macOS; never read
        folder, _, base = name.rpartition("/")
        folders.add(folder)
        if not base and info.file_size == 0:
            continue  # the folder itself
        _check_member(info, name, base)
        if base in members:
            raise RunError(f"it holds {base} twice")
        members[base] = info
    if len(folders) != 1 or "/" in (folder := folders.pop()):
        raise RunError("its files are not all in one folder")
    if folder and not RUN_ID.fullmatch(folder):
        raise RunError(f"its folder {_shown(folder)} can't name a run")
    for name in (RECORD, WEIGHTS, EXAMPLES):
        if name not in members:
            raise RunError(f"it holds no {name}")
    total = sum(info.file_size for info in members.values())
    if total > MAX_BYTES:
        raise RunError(f"it would have {total:,} bytes, more than the {MAX_BYTES:,} it may")
    return _Contents(zipped, folder, members)


def _check_directory(source: IO[bytes]) -> None:
    """Raise RunError unless the file ends like a plain zip with a short list of contents, which is parsed later."""
    size = source.seek(0, os.SEEK_END)
    source.seek(max(0, size - END_BYTES - 2**16))
    tail = source.read()
    at = tail.rfind(END)
    if at < 0 or len(tail) - at < END_BYTES:
        raise RunError("it is no zip file, or its end is missing")
    length = int.from_bytes(tail[at + 12 : at + 16], "little")
    if END64 in tail[max(0, at - 20) : at] or length == 0xFFFFFFFF:
        raise RunError("it is of the kind for huge files (zip64); copy the run as a folder instead")
    if length > MAX_DIRECTORY:
        raise RunError(f"its list of contents has {length:,} bytes, more than the {MAX_DIRECTORY:,} it may")


def _check_name(name: str) -> None:
    if not name.isprintable():
        raise RunError(f"the name {_shown(name)} holds a control character")
    if "\\" in name or name.startswith("/") or re.match("[A-Za-z]:", name) or ".." in name.split("/"):
        raise RunError(f"{_shown(name)} leads out of its folder")


def _check_member(info: zipfile.ZipInfo, name: str, base: str) -> None:
    """Raise RunError unless a file in the zip may be unpacked."""
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        raise RunError(f"{_shown(name)} is a {'link' if stat.S_ISLNK(kind) else 'folder or device'}, not a file")
    if base not in KEPT:
        raise RunError(f"it holds {_shown(name)}, which is no file of a run")
    if info.flag_bits & 0x1:
        raise RunError(f"{base} is encrypted")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise RunError(f"{base} is packed in a way that is not read here")
    most = MAX_EACH.get(base, MAX_BYTES)
    if info.file_size > most:
        raise RunError(f"{base} would have {info.file_size:,} bytes, more than the {most:,} it may")
    if info.file_size > FREE and info.file_size > MAX_RATIO * info.compress_size:
        raise RunError(f"{base} would grow more than {MAX_RATIO} times when it is unpacked")


def _from_file_name(name: str) -> str:
    """A run's name from the zip's own: `digits (1).zip` becomes `digits-1`."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", PurePath(name).name.removesuffix(".zip")).strip("-._")[:100]
    return stem or "imported"


def _shown(name: str) -> str:
    """A name from a zip, short and without control characters."""
    return repr(name if len(name) <= 60 else name[:59] + "…")


@contextmanager
def _refused() -> Iterator[None]:
    """Raise any error that a zip leads to as one sentence with its mend."""
    try:
        yield
    except UserError as error:
        cause = re.split(MENDS, str(error))[0]
    except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, RuntimeError, ValueError) as error:
        cause = f"it is damaged ({files.first_line(error).rstrip('.')})"
    except OSError as error:
        raise RunError(
            f"this zip can't be unpacked here: {error.strerror or error}; make room and try again"
        ) from error
    else:
        return
    raise RunError(f"this zip is not taken in: {cause}; pack the run again where it came from")
