"""What the server reads ahead, so that its first visitor waits for little."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import streamlit as st

import app.store.cache
from app import server
from app.pick import answer as pick_answer
from app.store import file_sizes
from app.store.cache import VARIABLE
from app.web import access
from app.web.doors import Doors
from tests.helpers.app import ROOT, copy_run

FIRST_PAGE = """
import sys
from app import server
server.warm()
before = set(sys.modules)
from streamlit.testing.v1 import AppTest
tools = set(sys.modules) - before
page = AppTest.from_file("app/main.py", default_timeout=60).run()
assert not page.exception
new, known = set(sys.modules) - before - tools, {name.partition(".")[0] for name in before}
print(sorted(n for n in new if n.partition(".")[0] not in known or n.startswith(("app.", "core."))))
print("torch" in sys.modules)
"""


@pytest.mark.slow
def test_a_first_page_imports_no_package_that_was_not_read_ahead(store: Path) -> None:
    copy_run(store)
    answer = subprocess.run([sys.executable, "-c", FIRST_PAGE], cwd=ROOT, capture_output=True, text=True)
    assert answer.stdout.splitlines()[-2:] == ["[]", "False"], answer.stderr


@pytest.mark.parametrize("kind", ["missing", "a file", "empty", "broken"])
def test_a_store_that_cannot_be_read_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    folder = tmp_path / "store"
    if kind == "a file":
        folder.write_text("no store")
    elif kind != "missing":
        folder.mkdir()
    if kind == "broken":
        (copy_run(folder) / "run.json").write_text("{")
    monkeypatch.setenv(VARIABLE, str(folder))
    server.warm()
    server.read_all()


def test_an_accepted_connection_has_no_nagle() -> None:
    with socket.socket() as listening:  # as Streamlit makes it
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        server.disable_nagle()
        with socket.create_connection(listening.getsockname()), listening.accept()[0] as connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_the_server_reads_ahead_before_it_answers(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy_run(store)
    monkeypatch.setenv(VARIABLE, str(store))
    run = app.store.cache.entries()[0][0]
    misses = pick_answer.lines.cache_info().misses

    async def start() -> None:
        async with server.lifespan(server.app):
            assert pick_answer.lines.cache_info().misses == misses + 1
            pick_answer.lines(run.path, run.stamp, file_sizes.default(run))
            assert pick_answer.lines.cache_info().misses == misses + 1, "the first visitor finds it ready"

    called: list[str] = []
    monkeypatch.setattr(server, "disable_nagle", lambda: called.append("disable_nagle"))
    monkeypatch.setattr(access, "start_log", lambda: called.append("start_log"))
    asyncio.run(start())
    assert called == ["start_log", "disable_nagle"]


def test_the_server_shows_the_router() -> None:
    assert Path(server.app.script_path) == ROOT / "app" / "main.py"


def test_the_doors_stand_before_everything_of_streamlit_s() -> None:
    assert [middleware.cls for middleware in server.app._user_middleware] == [Doors]


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, "http://127.0.0.1:8501"),
        ({"server.address": None}, "http://localhost:8501"),
        ({"server.address": "0.0.0.0"}, "http://localhost:8501"),
        ({"server.address": "::1", "server.sslCertFile": "x"}, "https://[::1]:8501"),
        ({"server.baseUrlPath": "/sizes/"}, "http://127.0.0.1:8501/sizes"),
    ],
)
def test_the_address_that_is_printed(
    monkeypatch: pytest.MonkeyPatch, changed: dict[str, str | None], expected: str
) -> None:
    options = {"server.address": "127.0.0.1", "server.port": 8501, "server.sslCertFile": None, "server.baseUrlPath": ""}
    monkeypatch.setattr(st, "get_option", (options | changed).__getitem__)
    assert server.address() == expected


def test_a_server_with_hosts_that_can_t_be_read_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLOWED_HOSTS", "*")
    with pytest.raises(SystemExit, match="ALLOWED_HOSTS holds '\\*', which is no host"):
        server.allowed_hosts()


def test_telemetry_is_off_before_onnxruntime_can_be_imported() -> None:
    code = (
        "import os, sys; from app import server; "
        "print(os.environ['ORT_DISABLE_TELEMETRY'], 'onnxruntime' in sys.modules)"
    )
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert answer.stdout == "1 False\n", answer.stderr
