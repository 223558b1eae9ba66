"""The real server, as an attacker and as an honest client without a browser meet it."""

from __future__ import annotations

import asyncio
import re
import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from app.store import downloads
from app.web.headers import security_headers
from core.errors import RunError
from tests.helpers.app import DIGITS, copy_run
from tests.helpers.browser import serving
from tests.helpers.visitor_by_hand import SECONDS, ByHand, expect_held, fetch, handshake

pytestmark = pytest.mark.slow

FILE = f"/model-file?{urlencode({'run': 'digits-paper', 'format': 'safetensors', 'alone': 0, 'width': 9})}"
PLACES = ("/", "/runs", FILE, "/media/x", "/_stcore/health", "/_stcore/host-config", "/_stcore/metrics", "/static/x.js")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("live")
    (folder / "store").mkdir()
    for name in DIGITS:
        copy_run(folder / "store", name)
    return folder


@pytest.fixture(scope="module")
def url(home: Path) -> Iterator[str]:
    with serving(home / "store", home, STREAMLIT_SERVER_MAX_UPLOAD_SIZE="2") as address:
        yield address


@pytest.mark.parametrize("place", PLACES)
def test_a_rebound_name_gets_a_sentence_from_every_address(url: str, place: str) -> None:
    status, body = fetch(url + place, Host="evil.test")
    assert status == 403
    assert body.decode().startswith("This server answers to localhost, not to 'evil.test'; its operator can allow")


def test_the_websocket_opens_for_the_server_s_own_page_alone(url: str) -> None:
    own = url.removeprefix("http://")
    port = own.partition(":")[2]
    assert handshake(url, Host=own, Origin=url)[0] == 101
    assert handshake(url, Host=f"localhost:{port}", Origin=f"http://localhost:{port}")[0] == 101
    for host, origin in (
        (own, "http://127.0.0.1:1"), (own, "http://evil.test"), (own, "null"), (own, f"https://{own}"),
        (f"evil.test:{port}", f"http://evil.test:{port}"), (own, f"http://localhost:{port}"),
    ):  # fmt: skip
        status, text = handshake(url, Host=host, Origin=origin)
        assert (status, text.count("\n")) == (403, 1), (host, origin)
    assert handshake(url, Host=own)[0] == 403, "without an origin"


def test_answers_of_every_kind_carry_the_headers(url: str) -> None:
    for place in (*PLACES, "/no/such/page", "//evil.test/", "/%00"):
        with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=SECONDS) as connection:
            connection.sendall(f"GET {place} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
            answer = b""
            while part := connection.recv(65536):
                answer += part
        head = answer.partition(b"\r\n\r\n")[0].decode().lower()
        for name, value in security_headers().items():
            assert f"{name}: {value.lower()}" in head, (place, name)


def test_a_session_uploads_up_to_its_quota_and_what_it_held_goes_with_it(url: str) -> None:
    visitor = ByHand(url)
    size = 2 * 2**20  # the limit to the byte
    assert [visitor.upload(size + more) for more in (1, 2**20)] == [413, 413], "over the limit of a file"
    assert [visitor.upload(size) for _ in range(3)] == [204, 204, 413]
    assert visitor.upload(10, Origin="http://127.0.0.1:1") == 403
    expect_held(url, 2 * size)
    visitor.close()
    expect_held(url, 0)
    other = ByHand(url)
    assert other.upload(size) == 204
    other.close()


def test_a_download_is_in_the_log_with_its_client(url: str, home: Path) -> None:
    def lines() -> list[str]:
        return re.findall(r"^\S+Z (.*)$", (home / "server.log").read_text(), re.MULTILINE)

    before = lines()
    assert fetch(url + FILE, Sec_Fetch_Site="cross-site")[0] == 403
    assert lines() == before
    assert fetch(url + FILE, Sec_Fetch_Site="same-origin")[0] == 200
    assert lines() == [*before, "download: digits-paper-w9.safetensors [127.0.0.1]"]


def test_files_that_nobody_waits_for_are_not_built(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a real server between, whose word it is that a client has left."""
    building, going_on = threading.Semaphore(0), threading.Event()
    built: list[str] = []

    def build(query: dict[str, str]) -> downloads.BuiltFile:
        built.append(query["who"])
        building.release()
        assert going_on.wait(SECONDS)
        raise RunError("nothing")

    monkeypatch.setattr(downloads, "requested_file", build)
    monkeypatch.setattr(downloads, "_TURNS", asyncio.Semaphore(downloads.AT_ONCE))
    app = Starlette(routes=[Route("/", downloads.respond), Route("/heard", lambda request: Response())])
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        port = listening.getsockname()[1]

        def ask(who: str) -> socket.socket:
            connection = socket.create_connection(("127.0.0.1", port), timeout=SECONDS)
            connection.sendall(f"GET /?who={who} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            return connection

        first = [ask(f"first-{k}") for k in range(downloads.AT_ONCE)]
        for _ in first:
            assert building.acquire(timeout=SECONDS)
        for connection in [ask(f"given-up-{k}") for k in range(20)]:
            connection.close()
        assert fetch(f"http://127.0.0.1:{port}/heard")[0] == 200, "the server has met what came before"
        honest = ask("honest")
        going_on.set()
        assert honest.recv(100).startswith(b"HTTP/1.1 422")
        for connection in (*first, honest):
            connection.close()
        server.should_exit = True
        thread.join(SECONDS)
    assert sorted(who for who in built if not who.startswith("first")) == ["honest"]


def test_the_operator_s_names_and_the_read_only_switch(home: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    shutil.copytree(home / "store", store)
    before = {path: path.stat().st_mtime_ns for path in store.rglob("*")}
    names = "explorer.example,https://sizes.example"
    with serving(store, tmp_path, ALLOWED_HOSTS=names, READ_ONLY="1") as url:
        assert fetch(f"{url}/runs", Host="explorer.example")[0] == 200
        assert handshake(url, Host="explorer.example", Origin="https://explorer.example")[0] == 101
        assert handshake(url, Host=url[7:], Origin="https://sizes.example")[0] == 101
        assert handshake(url, Host="explorer.example", Origin="https://other.example")[0] == 403
        assert fetch(f"{url}/runs", Host="other.example")[0] == 403
        visitor = ByHand(url)
        assert visitor.upload(10) == 403
        assert fetch(url + FILE)[0] == 200
        visitor.close()
    assert {path: path.stat().st_mtime_ns for path in store.rglob("*")} == before
