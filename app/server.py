"""The explorer's server: `streamlit run app/server.py`. What a first page takes is fetched before a visitor asks."""

from __future__ import annotations

import importlib
import logging
import os
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from threading import Thread

import streamlit as st
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

HERE = Path(__file__).resolve().parent
if str(HERE.parent) not in sys.path:  # Streamlit puts this folder on the path, not the project's
    sys.path.insert(0, str(HERE.parent))

# The pages in the router's order, so that no two threads wait for each other; then what Streamlit, and the files of a
# run, want only once something is drawn.
WANTED = (
    "app.compare.page", "app.url_state", "app.my_runs.page", "app.pick.page", "app.help.page", "app.widgets.notices", "app.components.theme", "pyarrow.parquet",
    "safetensors", "core.runs.layout_json", "plotly.tools", "PIL.Image", "streamlit.material_icon_names",
)  # fmt: skip
_LOG = logging.getLogger(__name__)


def warm() -> None:
    """Import what the pages import, and read what the first one shows. What fails here is told by the page itself.

    It comes before the first answer: beside the hundred files that a browser asks for first it takes three times as
    long, and holds these up.
    """
    with _told_later():
        for name in WANTED:
            importlib.import_module(name)
        from app.pick import selected
        from app.store import cache

        runs, _ = cache.entries()
        if runs:
            selected.read_ahead(cache.opening(runs))


def read_all() -> None:
    """Read the lines of My runs."""
    from app.store import cache

    with _told_later():
        cache.summaries(float("inf"))


@contextmanager
def _told_later() -> Iterator[None]:
    try:
        yield
    except Exception:
        _LOG.debug("reading ahead", exc_info=True)


def send_at_once() -> None:
    """Let what is written be sent at once on every connection, which has this from the socket that it came in by.

    Without it the second part of an answer waits for the browser's word on the first one: 40 ms for each of the
    hundred files of a first visit. asyncio sees to that itself, but not for a socket that was made as Streamlit's.
    """
    try:
        numbers = [int(name) for name in os.listdir("/dev/fd")]
    except OSError:
        return
    for number in numbers:
        with suppress(OSError), socket.socket(fileno=os.dup(number)) as found:
            if found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


@asynccontextmanager
async def lifespan(_: st.App) -> AsyncIterator[None]:
    """Read ahead as the server starts: what the first page takes before it answers, the rest beside it."""
    send_at_once()
    warm()
    Thread(target=read_all, name="read-ahead", daemon=True).start()
    yield


def files() -> Route:
    """The address that hands over a model's file, beside the page's own."""
    from app.components.take_file import PATH

    base = str(st.get_option("server.baseUrlPath") or "").strip("/")
    return Route("/" + "/".join(filter(None, (base, PATH))), hand_over)


async def hand_over(request: Request) -> Response:
    """Answer a request for a file."""
    from app.store.downloads import respond  # once the pages are imported, which has what it needs

    return await respond(request)


app = st.App(HERE / "main.py", lifespan=lifespan, routes=[files()])
