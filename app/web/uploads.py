"""Uploaded files in memory: the limit of one upload, the quota of a session, and when they are let go.

Streamlit keeps an upload until its session ends for good, minutes after the visitor left. Here it goes at once when its
run was taken in, or when the connection of its session closes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import streamlit as st
from streamlit import runtime
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.scriptrunner import get_script_run_ctx

from core.errors import UserError

MIB = 2**20
PER_SESSION = 2  # limits that a session may hold: an upload, and the one that replaces it
ALTOGETHER = 10  # limits that all sessions may hold
MOST_FILES = 100  # of a session
FORM = 2**16  # bytes that a request may have beside its file

_coming: dict[str, list[int]] = {}  # bytes of each file on its way, by session; used on the event loop only


def limit() -> int:
    """Megabytes (MiB) of one upload: `server.maxUploadSize`, which server, widgets and sentences share."""
    return int(st.get_option("server.maxUploadSize"))


@contextmanager
def reserved(session: str, size: int) -> Iterator[None]:
    """Reserve room for a request of `size` bytes, a file in its form, while it is on its way.

    Raises UserError where there is none.
    """
    held = {name: [len(file.data) for file in files.values()] for name, files in _files().items()}
    for name, sizes in _coming.items():
        held[name] = held.get(name, []) + sizes
    mine = held.get(session, [])
    if size > limit() * MIB + FORM:
        raise UserError(f"a file of {size / MIB:,.0f} MB was sent, and one may have {limit():,} MB")
    if sum(mine) + size > PER_SESSION * (limit() * MIB + FORM) or len(mine) >= MOST_FILES:
        raise UserError(
            f"this session holds as much as it may ({PER_SESSION * limit():,} MB in {MOST_FILES} files); "
            "remove a file first"
        )
    if sum(map(sum, held.values())) + size > ALTOGETHER * (limit() * MIB + FORM):
        raise UserError("the server holds as many uploads as it may; try again in a minute")
    sizes = _coming.setdefault(session, [])
    sizes.append(size)
    try:
        yield
    finally:
        sizes.remove(size)
        if not sizes:
            _coming.pop(session, None)


def release(file_ids: Iterable[str]) -> None:
    """Let go of files of the current session."""
    manager, context = _manager(), get_script_run_ctx(suppress_warning=True)
    if manager is None or context is None:
        return
    for file_id in file_ids:
        manager.remove_file(context.session_id, file_id)


def release_ended() -> None:
    """End the sessions that hold files and have no connection any more. On the event loop only."""
    for session, files in _files().items():
        server = runtime.get_instance()
        if files and not server.is_active_session(session):
            server.close_session(session)
            server.uploaded_file_mgr.remove_session_files(session)


def _files() -> dict[str, dict]:
    """The files that are held, by session and file id; a copy."""
    manager = _manager()
    return {} if manager is None else {session: dict(files) for session, files in list(manager.file_storage.items())}


def _manager() -> MemoryUploadedFileManager | None:
    manager = runtime.get_instance().uploaded_file_mgr if runtime.exists() else None
    return manager if isinstance(manager, MemoryUploadedFileManager) else None
