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
from app.store.file_sizes import formats
from app.words import joined
from core.errors import UserError
from core.export.base import Verified
from core.export.formats import export, file_name, verify_export
from core.runs.run import Run
from core.utils.formatting import kilobytes

HANDED_OVER = "X-Handed-Over"  # header that describes the file: percent-encoded JSON of `name`, `text`, `sha256`
AT_ONCE = 4  # files that are built at the same time; later requests wait
NOBODY = 499  # the status that logs know for a client that closed its request

_LOG = logging.getLogger(__name__)
_TURNS = asyncio.Semaphore(AT_ONCE)


@dataclass(frozen=True, kw_only=True)
class BuiltFile:
    """A file ready for download, and the sentence on how it was compared with the run."""

    name: str
    data: bytes
    mime: str
    sentence: str
    sha256: str


def build(run: Run, width: int, format: str, *, alone: bool = False) -> BuiltFile:
    """Build the file of a size and compare it with the run.

    Parameters
    ----------
    run
        The run.
    width
        The size, in units.
    format
        A key of `FORMATS`.
    alone
        Whether the size is taken as it was trained on by itself, where it was.

    Raises
    ------
    UserError
        Where the file can't be built, or differs from what was measured.
    """
    source, _ = polished.taken(run, width, alone=alone)
    data = export(source, width, format).data
    comparison = _comparison(source, verify_export(source, width, format, data))
    name = file_name(source, source.widths_at(width), format)
    return BuiltFile(
        name=name,
        data=data,
        mime="application/zip" if format == "bundle" else "application/octet-stream",
        sentence=joined(f"Handed over: {name}, {kilobytes(len(data))}. {comparison}"),
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
            file = await run_in_threadpool(requested_file, dict(request.query_params))
    except UserError as error:
        return JSONResponse({"problem": str(error)}, status_code=422)
    except Exception as error:
        _LOG.exception("file for %s", request.url.query)
        problem = f"something failed that nobody foresaw ({type(error).__name__}); the log says more"
        return JSONResponse({"problem": problem}, status_code=500)
    plain = re.sub(r"[^\w.-]", "_", file.name, flags=re.ASCII)  # for clients that know ASCII only, such as curl
    headers = {
        "Content-Disposition": f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(file.name)}",
        "Cache-Control": "no-store",
        HANDED_OVER: quote(json.dumps({"name": file.name, "text": file.sentence, "sha256": file.sha256})),
    }
    return Response(file.data, media_type=file.mime, headers=headers)


def requested_file(query: Mapping[str, str]) -> BuiltFile:
    """Build the file that an address's query names. Raises UserError where the query names none."""
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
    return build(run, measured[width], query["format"], alone=query.get("alone") == "1")


def _comparison(run: Run, verified: Verified) -> str:
    """Say what of the file was compared with the run."""
    which = "the trained network" if run.polished_width is None else "this size as it was trained on by itself"
    parts = [f"all {verified.numbers:,} numbers are those of {which}"] if verified.numbers else []
    if verified.examples:
        parts.append(f"its answers on {verified.examples:,} stored {run.task.example}s are those that were measured")
    return (
        f"It was opened again: {', and '.join(parts)}." if parts else "Its answers were never stored, so not compared."
    )
