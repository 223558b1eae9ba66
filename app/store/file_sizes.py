"""The formats that a run can be downloaded in, and its tables with the bytes of such files. No Streamlit here."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.store import cache, latency
from core.errors import UserError
from core.export.formats import FORMATS, export, size_before
from core.runs.run import Run

if TYPE_CHECKING:
    import pandas as pd

DEFAULT = "onnx"


def formats(run: Run) -> list[str]:
    """Return the formats that a run can be had in: none with a program where its owner's own makes the network."""
    own = run.record.family.get("name") is None
    return [name for name, f in FORMATS.items() if not (own and f.holds_program)]


def default(run: Run) -> str:
    """Return the format that a page starts with, and judges file sizes by until another one is chosen."""
    return DEFAULT if DEFAULT in formats(run) else formats(run)[0]


def timed(run: Run, format: str) -> pd.DataFrame:
    """Return `latency.timed` with the bytes of files of `format`; shared, don't change it. Raises RunError."""
    return _timed(run.path, run.stamp, format)


def in_format(run: Run, table: pd.DataFrame, format: str) -> pd.DataFrame:
    """Return a table of sizes, with a column `width`, in which `bytes` is that of files of `format`."""
    if table.empty:
        return table
    sizes = bytes_of(run, format)
    return table.assign(bytes=[sizes[int(width)] for width in table["width"]])


def bytes_of(run: Run, format: str) -> dict[int, int]:
    """Return the bytes of the file of each measured width. Raises RunError."""
    return _bytes_of(run.path, run.stamp, format)


def exact_bytes(run: Run, width: int, format: str) -> int | None:
    """Return the bytes of the very file, which is made for it where the format's size is an estimate.

    None where the file can't be made; the download then gives the reason.
    """
    if not FORMATS[format].roughly:
        return bytes_of(run, format)[width]
    try:
        return _made(run.path, run.stamp, width, format)
    except UserError:
        return None


@lru_cache(maxsize=256)
def _made(path: Path, stamp: tuple[Any, ...], width: int, format: str) -> int:
    return len(export(cache.opened(path, stamp), width, format).data)


@lru_cache(maxsize=64)
def _timed(path: Path, stamp: tuple[Any, ...], format: str) -> pd.DataFrame:
    run = cache.opened(path, stamp)
    return in_format(run, latency.timed(run), format)


@lru_cache(maxsize=64)
def _bytes_of(path: Path, stamp: tuple[Any, ...], format: str) -> dict[int, int]:
    run = cache.opened(path, stamp)
    widths = cache.metrics(run)["width"].tolist()
    return {width: size_before(run, run.widths_at(width), format)[0] for width in widths}
