"""The explorer's server: `streamlit run app/server.py`. It reads what the first page needs before it answers.

How to put it on a network is in `app/SERVING.md`.
"""

from __future__ import annotations

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # onnxruntime reads it once, when it is imported

import importlib
import logging
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from threading import Thread

import streamlit as st
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

HERE = Path(__file__).resolve().parent
if str(HERE.parent) not in sys.path:  # Streamlit puts this folder on the path, not the project's
    sys.path.insert(0, str(HERE.parent))

from app.web import access  # noqa: E402
from app.web.doors import Doors  # noqa: E402
from app.web.hosts import VARIABLE, Hosts  # noqa: E402
from core.errors import UserError  # noqa: E402

# The pages in the router's order, so that no two threads wait for each other's import; then the modules that Streamlit
# and a run's files import only once something is drawn.
PRELOADED = (
    "app.compare.page", "app.url_state", "app.my_runs.page", "app.pick.page", "app.help.page", "app.widgets.notices",
    "app.components.theme", "pyarrow.parquet", "safetensors", "core.runs.layout_json", "plotly.tools", "PIL.Image",
    "streamlit.material_icon_names",
)  # fmt: skip
_LOG = logging.getLogger(__name__)


def warm() -> None:
    """Import the pages' modules and read what the first page shows. Failures are left to the page to show.

    It runs before the first answer: beside the hundred files that a browser requests first it would take three times
    as long and hold these up.
    """
    with _errors_left_to_the_page():
        for name in PRELOADED:
            importlib.import_module(name)
        from app.pick import selected
        from app.store import cache

        runs, _ = cache.entries()
        if runs:
            selected.read_ahead(cache.opening(runs))


def read_all() -> None:
    """Read the lines of My runs, and remove from the store's trash what was there for a day."""
    from app.store import cache
    from core.runs.archive import clear_trash
    from core.runs.store import RunStore

    with _errors_left_to_the_page():
        if not access.read_only() and (removed := clear_trash(RunStore(cache.folder()))):
            access.log_change(f"{removed} runs were in the trash for a day and are removed")
    with _errors_left_to_the_page():
        cache.summaries(float("inf"))


@contextmanager
def _errors_left_to_the_page() -> Iterator[None]:
    try:
        yield
    except Exception:
        _LOG.debug("reading ahead", exc_info=True)


def disable_nagle() -> None:
    """Set TCP_NODELAY on the listening sockets; every accepted connection inherits it.

    With Nagle's algorithm the second part of an answer waits for the browser's acknowledgement of the first: 40 ms for
    each of the hundred files of a first visit. asyncio sets the option itself, but not on a socket that Streamlit made.
    """
    try:
        descriptors = [int(name) for name in os.listdir("/dev/fd")]
    except OSError:
        return
    for descriptor in descriptors:
        with suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as candidate:
            if candidate.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                candidate.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


@asynccontextmanager
async def lifespan(_: st.App) -> AsyncIterator[None]:
    """Read ahead as the server starts: the first page's needs before the first answer, the rest beside it."""
    access.start_log()
    disable_nagle()
    warm()
    print(f"\n  The explorer is open at {address()}\n", flush=True)
    Thread(target=read_all, name="read-ahead", daemon=True).start()
    yield


def address() -> str:
    """The explorer's address for a browser on this machine."""
    host = st.get_option("server.address") or ""
    if host in ("", "0.0.0.0", "::"):
        host = "localhost"
    scheme = "https" if st.get_option("server.sslCertFile") else "http"
    port, base = st.get_option("server.port"), str(st.get_option("server.baseUrlPath") or "").strip("/")
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}/{base}".rstrip("/")


def files() -> Route:
    """The route of a model's file, beside the page's own."""
    from app.components.take_file import PATH

    base = str(st.get_option("server.baseUrlPath") or "").strip("/")
    return Route("/" + "/".join(filter(None, (base, PATH))), hand_over, methods=["GET"])


async def hand_over(request: Request) -> Response:
    """Answer a request for a file."""
    from app.store.downloads import respond  # after `warm`, which has imported what it needs

    return await respond(request)


def allowed_hosts() -> Hosts:
    """The hosts that the operator allows; the server does not start where they can't be read."""
    scheme = "https" if st.get_option("server.sslCertFile") else "http"
    try:
        return Hosts.parse(os.environ.get(VARIABLE, ""), scheme)
    except UserError as error:
        raise SystemExit(str(error)) from None


app = st.App(
    HERE / "main.py", lifespan=lifespan, routes=[files()], middleware=[Middleware(Doors, hosts=allowed_hosts())]
)
