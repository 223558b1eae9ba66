"""Uploads in memory: one limit, a quota a session, and nothing held for whoever has left."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import streamlit as st
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.uploaded_file_manager import UploadedFileRec

from app.my_runs import upload
from app.web import uploads
from core.errors import UserError
from tests.helpers.app import ROOT

LIMIT = 10  # MiB


class Server:
    """Streamlit's runtime as far as uploads go."""

    def __init__(self) -> None:
        self.uploaded_file_mgr = MemoryUploadedFileManager("/upload")
        self.active = {"mine", "theirs"}
        self.closed: list[str] = []

    def is_active_session(self, session: str) -> bool:
        return session in self.active

    def close_session(self, session: str) -> None:
        self.closed.append(session)

    def add(self, session: str, name: str, size: int) -> None:
        record = UploadedFileRec(file_id=name, name=name, type="application/zip", data=bytes(size))
        self.uploaded_file_mgr.add_file(session, record)

    @property
    def held(self) -> dict[str, list[str]]:
        return {session: sorted(files) for session, files in self.uploaded_file_mgr.file_storage.items() if files}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    made = Server()
    monkeypatch.setattr(uploads, "runtime", SimpleNamespace(exists=lambda: True, get_instance=lambda: made))
    monkeypatch.setattr(uploads, "limit", lambda: LIMIT)
    yield made
    assert uploads._coming == {}


def test_a_file_has_room_up_to_the_limit(server: Server) -> None:
    with uploads.reserved("mine", LIMIT * 2**20 + uploads.FORM):
        pass
    beyond = LIMIT * 2**20 + uploads.FORM + 1
    with pytest.raises(UserError, match="one may have 10 MB"), uploads.reserved("mine", beyond):
        pass


def test_a_session_has_a_quota_of_what_it_holds_and_what_is_on_its_way(server: Server) -> None:
    server.add("mine", "held", LIMIT * 2**20)
    with uploads.reserved("mine", LIMIT * 2**19), uploads.reserved("mine", LIMIT * 2**19):
        more = 2 * uploads.FORM + 1
        with pytest.raises(UserError, match="this session holds as much as it may"), uploads.reserved("mine", more):
            pass
        with uploads.reserved("theirs", 1):
            pass
    with uploads.reserved("mine", LIMIT * 2**20):
        pass


def test_a_session_has_so_many_files_however_small(server: Server) -> None:
    for k in range(uploads.MOST_FILES):
        server.add("mine", str(k), 0)
    with pytest.raises(UserError, match="this session holds as much as it may"), uploads.reserved("mine", 0):
        pass


def test_all_sessions_together_have_a_quota(server: Server) -> None:
    for k in range(uploads.ALTOGETHER):
        server.add(f"visitor {k}", "x", LIMIT * 2**20)
    more = uploads.ALTOGETHER * uploads.FORM + 1
    with pytest.raises(UserError, match="the server holds as many uploads as it may"), uploads.reserved("mine", more):
        pass


def test_a_failed_upload_gives_its_room_back(server: Server) -> None:
    with pytest.raises(OSError, match="cut"), uploads.reserved("mine", LIMIT * 2**20):
        raise OSError("cut")


def test_a_taken_in_file_is_let_go_at_once_and_only_that_one(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for session, name in (("mine", "run"), ("mine", "other"), ("theirs", "run")):
        server.add(session, name, 5)
    monkeypatch.setattr(uploads, "get_script_run_ctx", lambda suppress_warning: SimpleNamespace(session_id="mine"))
    uploads.release(["run"])
    assert server.held == {"mine": ["other"], "theirs": ["run"]}


def test_a_session_that_has_left_and_holds_a_file_ends_at_once(server: Server) -> None:
    server.add("mine", "run", 5)
    server.add("theirs", "run", 5)
    uploads.release_ended()
    assert server.closed == []
    server.active.remove("theirs")
    uploads.release_ended()
    assert server.closed == ["theirs"]
    assert server.held == {"mine": ["run"]}


def test_widget_server_and_sentence_name_one_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    config = (ROOT / ".streamlit" / "config.toml").read_text()
    assert f"maxUploadSize = {uploads.limit()} " in config
    monkeypatch.setattr(st, "get_option", {"server.maxUploadSize": 7}.__getitem__)
    assert uploads.limit() == 7
    large = SimpleNamespace(size=7 * 2**20 + 1, name="run/model.safetensors")
    with pytest.raises(UserError, match="the folder has more than 7 MB"):
        upload._packed([large])
