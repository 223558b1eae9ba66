"""A visitor without a browser: scripted handshakes, a websocket of Streamlit's own messages, and uploads."""

from __future__ import annotations

import re
import socket
import time
import urllib.error
import urllib.request
import uuid
from http.cookies import SimpleCookie
from urllib.parse import urlsplit

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import connect
from websockets.typing import Origin, Subprotocol

SECONDS = 60.0


def handshake(url: str, **headers: str) -> tuple[int, str]:
    """Ask for the websocket with these headers, `_` for `-`; gives the answer's status and text."""
    address = urlsplit(url)
    assert address.hostname
    assert address.port
    lines = ["GET /_stcore/stream HTTP/1.1", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"]
    lines += ["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    with socket.create_connection((address.hostname, address.port), timeout=SECONDS) as connection:
        connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        answer = b""
        while not _ended(answer) and (part := connection.recv(65536)):
            answer += part
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), body.decode("utf-8", "replace")


def _ended(answer: bytes) -> bool:
    head, separator, body = answer.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head.lower())
    return bool(separator) and (length is None or len(body) >= int(length[1]))


def fetch(url: str, method: str = "GET", body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
    """Ask for an address with these headers, `_` for `-`; gives the answer's status and body."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url, data=body, method=method, headers=named)
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def expect_held(url: str, size: int) -> None:
    """Wait until the server holds so many bytes of uploads, as Streamlit counts them once in five seconds."""
    until = time.monotonic() + SECONDS
    while True:
        text = fetch(f"{url}/_stcore/metrics?families=cache_memory_bytes")[1].decode()
        match = re.search(r'cache_memory_bytes\{cache_type="UploadedFileManager"[^}]*\} (\d+)', text)
        held = int(match[1]) if match else 0
        if held == size:
            return
        assert time.monotonic() < until, f"{held} bytes are held, not {size}"


class ByHand:
    """One session, as a page of the explorer would open it."""

    def __init__(self, url: str) -> None:
        self.url = url
        with urllib.request.urlopen(f"{url}/_stcore/health", timeout=SECONDS) as answer:
            self._token = SimpleCookie(answer.headers["Set-Cookie"])["_streamlit_xsrf"].value
        cookie = {"Cookie": f"_streamlit_xsrf={self._token}"}
        protocols = [Subprotocol("streamlit"), Subprotocol("PLACEHOLDER_AUTH_TOKEN")]
        self._socket = connect(
            f"{url.replace('http', 'ws', 1)}/_stcore/stream", origin=Origin(url), subprotocols=protocols,
            additional_headers=cookie, max_size=None, open_timeout=SECONDS, proxy=None,
        )  # fmt: skip
        self.session = self._open()

    def _open(self) -> str:
        message = BackMsg()
        message.rerun_script.query_string = ""
        self._socket.send(message.SerializeToString())
        session = ""
        while True:
            answer = ForwardMsg.FromString(bytes(self._socket.recv(timeout=SECONDS)))
            if answer.WhichOneof("type") == "new_session":
                session = answer.new_session.initialize.session_id
            if answer.WhichOneof("type") == "script_finished":
                return session

    def upload(self, size: int, **headers: str) -> int:
        """Upload so many bytes; gives the answer's status."""
        edge = uuid.uuid4().hex
        head = f'--{edge}\r\nContent-Disposition: form-data; name="file"; filename="x.zip"\r\n\r\n'
        body = head.encode() + bytes(size) + f"\r\n--{edge}--\r\n".encode()
        named = {
            "Origin": self.url, "Cookie": f"_streamlit_xsrf={self._token}", "X_Xsrftoken": self._token,
            "Content_Type": f"multipart/form-data; boundary={edge}", **headers,
        }  # fmt: skip
        return fetch(f"{self.url}/_stcore/upload_file/{self.session}/{uuid.uuid4()}", "PUT", body, **named)[0]

    def close(self) -> None:
        self._socket.close()
