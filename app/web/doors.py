"""The middleware in front of the explorer: foreign requests are refused, uploads counted, downloads logged.

It runs before anything of Streamlit's, whose own check of a foreign websocket asks a host on the internet for this
machine's address.
"""

from __future__ import annotations

import logging
import re
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import unquote

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from app.components.take_file import PATH
from app.web import access, uploads
from app.web.headers import security_headers
from app.web.hosts import VARIABLE, Address, Hosts, parse_host, parse_origin
from core.errors import UserError
from core.sweep.report import printable

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
UPLOAD = re.compile(r"/_stcore/upload_file/(?P<session>[^/]+)/[^/]+$")
FILES = re.compile(rf"/(?:{re.escape(PATH)}|media/.*)$")  # addresses that hand over a file
FILE_NAME = re.compile(r"filename\*=utf-8''([^;]+)|filename=\"([^\"]+)\"", re.IGNORECASE)

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Refusal:
    """The status and the sentence of a refused request."""

    status: HTTPStatus
    sentence: str


class Doors:
    """ASGI middleware that lets in what the explorer's own pages ask for.

    Parameters
    ----------
    app
        The application behind it.
    hosts
        The hosts that the server answers to.
    """

    def __init__(self, app: ASGIApp, hosts: Hosts) -> None:
        self._app, self._hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check a request or a websocket, then hand it on."""
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def answer(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                _complete(scope, message)
            await send(message)

        refusal = self._refusal(scope) or _upload_refusal(scope)
        if refusal is not None:
            await _refuse(refusal, scope, receive, answer)
            return
        try:
            with _room(scope):
                await self._app(_without_length(scope), receive, answer)
        except UserError as error:  # of an upload that has no room
            await _refuse(Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, str(error)), scope, receive, answer)
        except Exception:
            _LOG.exception("request for %s", printable(str(scope.get("path")))[:200])
            if started:
                raise
            sentence = "something failed; the server's log has the details"
            await _refuse(Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, sentence), scope, receive, answer)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._refusal(scope)
        if refusal is not None:
            await _refuse_websocket(refusal, scope, receive, send)
            return
        # Streamlit compares Host and origin as text, and asks the internet where they differ in letters only.
        headers = MutableHeaders(raw=list(scope["headers"]))
        headers["host"] = headers["origin"].partition("://")[2]
        try:
            await self._app({**scope, "headers": headers.raw}, receive, send)
        finally:
            uploads.release_ended()

    def _refusal(self, scope: Scope) -> Refusal | None:
        """The reason to refuse a request by its Host, Origin and Sec-Fetch headers, if there is one."""
        headers = Headers(scope=scope)
        hosts, origins = headers.getlist("host"), headers.getlist("origin")
        host = parse_host(hosts[0]) if len(hosts) == 1 else None
        if host is None:
            return Refusal(HTTPStatus.BAD_REQUEST, "the request names no host, or not one alone")
        if not self._hosts.serve(host):
            return Refusal(HTTPStatus.FORBIDDEN, _unknown_host(host, self._hosts))
        changing = scope["type"] == "websocket" or scope["method"] not in SAFE_METHODS
        if not origins and changing:
            return Refusal(
                HTTPStatus.FORBIDDEN, "the request names no origin; only this server's own pages make changes"
            )
        if origins:
            origin = parse_origin(origins[0]) if len(origins) == 1 else None
            if origin is None or not self._hosts.admit(origin, host):
                return Refusal(HTTPStatus.FORBIDDEN, _foreign_origin(origins[0]))
        if _from_elsewhere(scope, headers):
            return Refusal(HTTPStatus.FORBIDDEN, "another site's page asked for this; open the explorer's own page")
        return None


def _unknown_host(host: Address, hosts: Hosts) -> str:
    served = ", ".join(["localhost", *(entry.host for entry in hosts.allowed)])
    return (
        f"this server answers to {served}, not to {host.host!r}; its operator can allow that name: "
        f"{VARIABLE}={host.host} make app"
    )


def _foreign_origin(origin: str) -> str:
    return (
        f"the request comes from a page of {printable(origin)[:100]!r}, which is not this server's; behind a proxy its "
        f"operator names the page's full origin: {VARIABLE}=https://explorer.example make app"
    )


def _from_elsewhere(scope: Scope, headers: Headers) -> bool:
    """Whether a page of another site, or another port, asks for something else than to show a page (Fetch Metadata)."""
    if headers.get("sec-fetch-site", "none") in ("same-origin", "none"):
        return False
    opens_page = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
    return not (opens_page and scope.get("method") in SAFE_METHODS) or FILES.search(scope["path"]) is not None


def _upload_refusal(scope: Scope) -> Refusal | None:
    if scope["method"] in SAFE_METHODS or UPLOAD.search(scope["path"]) is None:
        return None
    if access.read_only():
        return Refusal(HTTPStatus.FORBIDDEN, access.SENTENCE)
    if scope["method"] == "PUT" and not Headers(scope=scope).get("content-length", "").isdecimal():
        return Refusal(HTTPStatus.LENGTH_REQUIRED, "an upload says its length first; this one doesn't")
    return None


def _without_length(scope: Scope) -> Scope:
    """Hide an upload's length from Streamlit, which would take the form around a file as part of it.

    A file of just the limit was refused. Streamlit counts what arrives as well, and the file itself exactly.
    """
    if UPLOAD.search(scope["path"]) is None:
        return scope
    return {**scope, "headers": [(name, value) for name, value in scope["headers"] if name != b"content-length"]}


def _room(scope: Scope) -> AbstractContextManager[None]:
    """Room in memory for an upload while it is on its way, for every other request nothing. Raises UserError."""
    match = UPLOAD.search(scope["path"])
    if match is None or scope["method"] != "PUT":
        return nullcontext()
    return uploads.reserved(match["session"], int(Headers(scope=scope)["content-length"]))


def _complete(scope: Scope, start: Message) -> None:
    """Add the security headers to the start of an answer, and log it where it is a download."""
    headers = MutableHeaders(raw=start.setdefault("headers", []))
    for name in ("access-control-allow-origin", "access-control-allow-credentials"):
        del headers[name]  # no other origin has any business here
    headers.update(security_headers())
    disposition = headers.get("content-disposition", "")
    if disposition.startswith("attachment") and start["status"] < 300 and scope["method"] == "GET":
        match = FILE_NAME.search(disposition)
        file = unquote(match[1] or match[2]) if match else "a file"
        access.log_download(file, scope["client"][0] if scope.get("client") else "unknown client")


async def _refuse(refusal: Refusal, scope: Scope, receive: Receive, send: Send) -> None:
    text = f"{refusal.sentence[:1].upper()}{refusal.sentence[1:]}.\n"
    await _discard_body(scope, receive)
    response = PlainTextResponse(text, status_code=refusal.status, headers={"Connection": "close"})
    await response(scope, receive, send)


async def _discard_body(scope: Scope, receive: Receive) -> None:
    """Read an upload off, so that its browser gets the sentence and not a broken connection.

    A body of a length that no upload has is left unread, and the connection ends with the answer.
    """
    length = Headers(scope=scope).get("content-length", "")
    if not length.isdecimal() or int(length) > uploads.PER_SESSION * uploads.limit() * uploads.MIB:
        return
    while True:
        message = await receive()
        if message["type"] != "http.request" or not message.get("more_body"):
            return


async def _refuse_websocket(refusal: Refusal, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer the handshake with the sentence where the server can, and close it in any case."""
    websocket = WebSocket(scope, receive, send)
    if "websocket.http.response" not in scope.get("extensions", {}):
        await websocket.close(code=1008)
        return
    response = PlainTextResponse(f"{refusal.sentence}\n", status_code=refusal.status)
    response.headers.update(security_headers())
    await websocket.send_denial_response(response)
