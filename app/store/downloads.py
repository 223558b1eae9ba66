"""The file of one size: built on request, opened again and compared with the run before it is sent.

The server answers the address of `app.components.take_file` with the file, or with one sentence on why there is none.
No Streamlit here.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from app.store import cache, polished
from app.words import joined
from core.errors import UserError
from core.export.base import Verified
from core.export.formats import FORMATS, export, file_name, verify_export
from core.runs.run import Run
from core.utils.formatting import kilobytes

SAID = "X-Handed-Over"  # the header that says what was handed over: percent-encoded JSON of `name`, `text`, `sha256`
AT_ONCE = 4  # files that are built at the same time; later requests wait
NOBODY = 499  # the status that logs know for a client that closed its request

_LOG = logging.getLogger(__name__)
_TURNS = asyncio.Semaphore(AT_ONCE)


@dataclass(frozen=True, kw_only=True)
class Made:
    """A file, and what was found when it was opened again."""

    name: str
    data: bytes
    mime: str
    said: str
    sha256: str


def made(run: Run, width: int, format: str, *, alone: bool = False) -> Made:
    """Build the file of a size and check it; `alone` as it was trained on by itself, where it was.

    Raises UserError where it can't be made, or isn't what was measured.
    """
    taken, _ = polished.taken(run, width, alone=alone)
    data = export(taken, width, format).data
    found = verify_export(taken, width, format, data)
    name = file_name(taken, taken.widths_at(width), format)
    return Made(
        name=name,
        data=data,
        mime="application/zip" if format == "bundle" else "application/octet-stream",
        said=joined(f"Handed over: {name}, {kilobytes(len(data))}. {_checked(taken, found)}"),
        sha256=hashlib.sha256(data).hexdigest(),
    )


async def respond(request: Request) -> Response:
    """Answer a request for a file.

    Files are built a few at a time. A request whose client has left is dropped when its turn comes, so that nobody
    waits for a file that nobody takes.
    """
    try:
        async with _TURNS:
            if await request.is_disconnected():
                return Response(status_code=NOBODY)
            made_file = await run_in_threadpool(asked_for, dict(request.query_params))
    except UserError as error:
        return JSONResponse({"problem": str(error)}, status_code=422)
    except Exception as error:
        _LOG.exception("file for %s", request.url.query)
        problem = f"something failed that nobody foresaw ({type(error).__name__}); the log says more"
        return JSONResponse({"problem": problem}, status_code=500)
    plain = re.sub(r"[^\w.-]", "_", made_file.name, flags=re.ASCII)  # for clients that know ASCII only, such as curl
    headers = {
        "Content-Disposition": f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(made_file.name)}",
        "Cache-Control": "no-store",
        SAID: quote(json.dumps({"name": made_file.name, "text": made_file.said, "sha256": made_file.sha256})),
    }
    return Response(made_file.data, media_type=made_file.mime, headers=headers)


def formats(run: Run) -> list[str]:
    """The formats that a run can be had in: not as a program, where its owner's own makes the network."""
    own = run.record.family.get("name") is None
    return [name for name, f in FORMATS.items() if not (own and f.holds_program)]


def asked_for(query: Mapping[str, str]) -> Made:
    """The file that an address asks for; nothing in it is believed."""
    runs = {run.id: run for run in cache.entries()[0]}
    run = runs.get(query.get("run", ""))
    if run is None:
        raise UserError("the run is no longer here; choose another one")
    if query.get("format") not in formats(run):
        raise UserError(f"this run can be had as: {', '.join(formats(run))}; another format was asked for")
    width = query.get("width", "")
    measured = {str(w): int(w) for w in cache.metrics(run)["width"]}
    if width not in measured:
        raise UserError("this size was not measured; choose one that is on the slider")
    return made(run, measured[width], query["format"], alone=query.get("alone") == "1")


def _checked(run: Run, found: Verified) -> str:
    """What was compared once the file was there."""
    which = "the trained network" if run.polished_width is None else "this size as it was trained on by itself"
    said = [f"all {found.numbers:,} numbers are those of {which}"] if found.numbers else []
    if found.examples:
        said.append(f"its answers on {found.examples:,} stored {run.task.example}s are those that were measured")
    return f"It was opened again: {', and '.join(said)}." if said else "Its answers were never stored, so not compared."
