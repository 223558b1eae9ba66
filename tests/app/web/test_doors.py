"""What the doors let in, what they refuse before anything of Streamlit's runs, and what every answer carries."""

from __future__ import annotations

import base64
import hashlib
import logging
import re

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from app.web import access, uploads
from app.web.doors import Doors
from app.web.headers import policy, security_headers
from app.web.hosts import Hosts
from core.errors import UserError
from tests.helpers.asgi import HOME, ask, knock

UPLOAD = "/_stcore/upload_file/session/file"
PATHS = ("/", "/model-file", "/media/x.csv", "/_stcore/health", "/_stcore/host-config", "/runs", "/static/js/x.js")


def explorer(hosts: Hosts = Hosts(), heard: list[str] | None = None) -> Starlette:  # noqa: B008
    """The doors before an application that notes what reaches it."""
    reached: list[str] = [] if heard is None else heard

    async def answer(request: Request) -> Response:
        reached.append(request.url.path)
        if request.url.path == "/broken":
            raise ZeroDivisionError
        headers = {"Access-Control-Allow-Origin": "*", "Referrer-Policy": "unsafe-url"}
        if request.url.path == "/model-file":
            headers["Content-Disposition"] = "attachment; filename=\"d_w8.onnx\"; filename*=UTF-8''d%C3%BC-w8.onnx"
        return PlainTextResponse("inside", headers=headers)

    async def stream(websocket: WebSocket) -> None:
        reached.append(websocket.headers["host"])
        await websocket.accept()
        await websocket.close()

    methods = ["GET", "HEAD", "OPTIONS", "PUT", "POST", "DELETE"]
    routes = [WebSocketRoute("/_stcore/stream", stream), Route("/{path:path}", answer, methods=methods)]
    return Starlette(routes=routes, middleware=[Middleware(Doors, hosts=hosts)])


@pytest.mark.parametrize("path", PATHS)
def test_dns_rebinding_reaches_nothing(path: str) -> None:
    heard: list[str] = []
    answer = ask(explorer(heard=heard), "GET", path, {"host": "evil.test:8501"})
    assert (answer.status, heard) == (403, [])
    assert answer.text == (
        "This server answers to localhost, not to 'evil.test'; its operator can allow that name: "
        "ALLOWED_HOSTS=evil.test make app.\n"
    )
    assert ask(explorer(Hosts.parse("evil.test")), "GET", path, {"host": "evil.test:8501"}).status == 200


@pytest.mark.parametrize(
    "headers",
    [[], [("host", "localhost"), ("host", "evil.test")], [("host", "")], [("host", "local host")]],
    ids=["none", "two", "empty", "no name"],
)
def test_a_request_names_one_host(headers: list[tuple[str, str]]) -> None:
    assert ask(explorer(), "GET", "/", headers).status == 400
    assert knock(explorer(), [*headers, ("origin", "http://localhost")]).status == 400


def test_forwarded_headers_open_nothing() -> None:
    forged = {
        "host": "evil.test",
        "x-forwarded-host": "localhost",
        "x-forwarded-proto": "https",
        "forwarded": "host=localhost",
    }
    assert ask(explorer(), "GET", "/", forged).status == 403
    forged |= {"host": "localhost:8501", "origin": "https://localhost:8501"}
    assert not knock(explorer(), forged).accepted


@pytest.mark.parametrize("can_answer", [True, False])
@pytest.mark.parametrize(
    "headers",
    [
        {"host": "localhost:8501"},
        {"host": "localhost:8501", "origin": "http://localhost:9999"},
        {"host": "localhost:8501", "origin": "http://evil.test"},
        {"host": "localhost:8501", "origin": "null"},
        {"host": "evil.test:8501", "origin": "http://evil.test:8501"},
    ],
    ids=["no origin", "another port", "another site", "a sandbox", "rebound"],
)
def test_the_websocket_is_for_the_server_s_own_pages(headers: dict[str, str], can_answer: bool) -> None:
    heard: list[str] = []
    answer = knock(explorer(heard=heard), headers, can_answer=can_answer)
    assert not answer.accepted
    assert heard == []
    assert (answer.status == 403) if can_answer else answer.closed


def test_streamlit_never_compares_an_origin_with_another_host() -> None:
    """Where they differ, if only in letters, it would ask a host on the internet for this machine's address."""
    for headers, host in (
        (HOME, "localhost:8501"),
        ({"host": "LOCALHOST.:8501", "origin": "http://localhost:8501"}, "localhost:8501"),
        ({"host": "127.0.0.1:8501", "origin": "https://explorer.example"}, "explorer.example"),
    ):
        heard: list[str] = []
        assert knock(explorer(Hosts.parse("https://explorer.example"), heard), headers).accepted
        assert heard == [host]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_whoever_changes_something_is_a_page_of_the_server(method: str) -> None:
    size = {"content-length": "0"}
    assert ask(explorer(), method, UPLOAD, HOME | size).status == 200
    assert ask(explorer(), method, UPLOAD, {"host": HOME["host"]} | size).status == 403
    for origin in ("http://localhost:9999", "http://evil.test", "null"):
        assert ask(explorer(), method, UPLOAD, HOME | size | {"origin": origin}).status == 403


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_another_site_may_link_to_a_page_and_nothing_else(site: str) -> None:
    opened = {
        "host": "localhost:8501",
        "sec-fetch-site": site,
        "sec-fetch-mode": "navigate",
        "sec-fetch-dest": "document",
    }
    assert ask(explorer(), "GET", "/runs", opened).status == 200
    for path in ("/model-file", "/media/x.csv"):
        assert ask(explorer(), "GET", path, opened).status == 403
    for other in (
        {"sec-fetch-dest": "iframe"},
        {"sec-fetch-mode": "no-cors", "sec-fetch-dest": "image"},
        {"sec-fetch-mode": "cors"},
    ):
        for path in PATHS:
            assert ask(explorer(), "GET", path, opened | other).status == 403
    for own in ("same-origin", "none"):
        assert ask(explorer(), "GET", "/model-file", opened | {"sec-fetch-site": own}).status == 200


def test_every_answer_carries_the_security_headers() -> None:
    answers = [
        ask(explorer(), "GET", "/", {"host": "localhost"}),
        ask(explorer(), "GET", "/", {"host": "evil.test"}),
        ask(explorer(), "GET", "/broken", {"host": "localhost"}),
        knock(explorer(), {"host": "evil.test", "origin": "http://evil.test"}),
    ]
    assert [answer.status for answer in answers] == [200, 403, 500, 403]
    for answer in answers:
        for name, value in security_headers().items():
            assert answer.headers.getlist(name) == [value]
        assert "access-control-allow-origin" not in answer.headers
    assert "ZeroDivisionError" not in answers[2].text


def test_the_policy_names_no_outside_origin_and_allows_only_its_own_inline_scripts() -> None:
    script = "\n window.x = 1\n"
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    directives = dict(
        part.split(" ", 1) for part in policy(f"<script>{script}</script><script src=x></script>").split("; ")
    )
    assert directives["script-src"] == f"'self' blob: 'wasm-unsafe-eval' 'sha256-{digest}'"
    assert directives["frame-ancestors"] == "'none'"
    assert directives["default-src"] == "'none'"
    allowed = re.compile(r"'none'|'self'|'unsafe-inline'|'wasm-unsafe-eval'|data:|blob:|'sha256-[\w+/=]+'")
    for name, sources in directives.items():
        assert all(map(allowed.fullmatch, sources.split())), name
    assert [name for name, sources in directives.items() if "'unsafe-inline'" in sources] == ["style-src"]
    assert re.search(r"script-src[^;]*'sha256-", security_headers()["content-security-policy"]), (
        "of Streamlit's own page"
    )


def test_a_download_is_a_line_in_the_log(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access.LOG, "propagate", True)
    with caplog.at_level(logging.INFO, logger="explorer"):
        for method, path in (("GET", "/model-file"), ("HEAD", "/model-file"), ("GET", "/runs")):
            ask(explorer(), method, path, {"host": "localhost"})
    assert [record.getMessage() for record in caplog.records if record.name == "explorer"] == [
        "download: d_w8.onnx [203.0.113.9]"
    ]


def test_a_read_only_server_takes_no_upload(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(access.VARIABLE, "1")
    for method in ("PUT", "DELETE", "POST"):
        answer = ask(explorer(), method, UPLOAD, HOME | {"content-length": "1"}, b"x")
        assert answer.status == 403
        assert "read-only" in answer.text
    assert ask(explorer(), "GET", "/model-file", {"host": "localhost"}).status == 200


def test_an_upload_has_a_length_and_the_quota_s_refusal_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ask(explorer(), "PUT", UPLOAD, HOME, b"x").status == 411
    assert ask(explorer(), "PUT", UPLOAD, HOME | {"content-length": "-1"}, b"x").status == 411
    assert ask(explorer(), "PUT", UPLOAD, HOME | {"content-length": "1"}, b"x").status == 200

    def refuse(session: str, size: int) -> None:
        raise UserError(f"{session} has no room for {size} bytes")

    monkeypatch.setattr(uploads, "reserved", refuse)
    answer = ask(explorer(), "PUT", UPLOAD, HOME | {"content-length": "1"}, b"x")
    assert (answer.status, answer.text) == (413, "Session has no room for 1 bytes.\n")
