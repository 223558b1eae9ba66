"""A client that talks to an ASGI application without a network."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message

HOME = {"host": "localhost:8501", "origin": "http://localhost:8501"}


@dataclass
class Answer:
    """An application's answer; `accepted` where it took a websocket."""

    status: int = 0
    headers: Headers = field(default_factory=Headers)
    body: bytes = b""
    accepted: bool = False
    closed: bool = False

    @property
    def text(self) -> str:
        return self.body.decode()


def ask(
    app: ASGIApp, method: str, path: str, headers: dict[str, str] | list[tuple[str, str]], body: bytes = b""
) -> Answer:
    """An HTTP request's answer."""
    scope = _scope("http", path, headers) | {"method": method}
    return asyncio.run(_talk(app, scope, [{"type": "http.request", "body": body, "more_body": False}]))


def knock(app: ASGIApp, headers: dict[str, str] | list[tuple[str, str]], *, can_answer: bool = True) -> Answer:
    """The answer to a websocket's handshake."""
    scope = _scope("websocket", "/_stcore/stream", headers) | {"subprotocols": []}
    scope["extensions"] = {"websocket.http.response": {}} if can_answer else {}
    return asyncio.run(_talk(app, scope, [{"type": "websocket.connect"}]))


def _scope(kind: str, path: str, headers: dict[str, str] | list[tuple[str, str]]) -> dict[str, Any]:
    pairs = headers.items() if isinstance(headers, dict) else headers
    return {
        "type": kind, "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "", "scheme": "http",
        "client": ("203.0.113.9", 5), "server": ("127.0.0.1", 8501),
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in pairs],
    }  # fmt: skip


async def stays() -> Message:
    """Receive from a client that has asked and waits for its answer."""
    await asyncio.Event().wait()
    raise AssertionError


async def has_left() -> Message:
    """Receive from a client that has closed its connection."""
    return {"type": "http.disconnect"}


async def _talk(app: ASGIApp, scope: dict[str, Any], messages: list[Message]) -> Answer:
    answer, waiting = Answer(), list(messages)

    async def receive() -> Message:
        return waiting.pop(0) if waiting else {"type": f"{scope['type']}.disconnect", "code": 1005}

    async def send(message: Message) -> None:
        kind = message["type"]
        if kind.endswith("response.start"):
            answer.status, answer.headers = message["status"], Headers(raw=list(message["headers"]))
        elif kind.endswith("response.body"):
            answer.body += message.get("body", b"")
        elif kind == "websocket.accept":
            answer.accepted = True
        elif kind == "websocket.close":
            answer.closed = True

    await app(scope, receive, send)
    return answer
