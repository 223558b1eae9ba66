"""Parquet files: written whole with a note of how they were made, read only within bounds of size."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.errors import RunError
from core.utils import files

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow.parquet as pq

MAX_BYTES = 2 * 2**30  # of a file, and of a table in memory
MAX_FOOTER = 16 * 2**20  # bytes of the file's own list of contents, which is read first
FREE, MAX_RATIO = 64 * 2**20, 200  # bytes that any table may take in memory, and a larger one in sizes of its file
BYTES_EACH = {"BOOLEAN": 1, "INT32": 4, "INT64": 8, "FLOAT": 4, "DOUBLE": 8, "INT96": 12}  # by physical type
NOTE = b"structural_dropout"  # key in the schema's metadata


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """The most that a table may hold, known before it is opened."""

    rows: int
    columns: int
    values: int  # over all columns, those of lists included


def write_table(path: Path, frame: pd.DataFrame, note: Mapping[str, Any]) -> None:
    """Write a parquet file, whole or not at all, with `note` (how it was made) in its schema. Raises RunError."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pandas(frame, preserve_index=False)
    table = table.replace_schema_metadata(
        {**(table.schema.metadata or {}), NOTE: json.dumps(note, sort_keys=True).encode()}
    )
    with files.replacing(path, parents=False) as temporary:
        pq.write_table(table, temporary, compression="zstd", write_page_checksum=True)


def read_table(path: Path, columns: Sequence[str] | None = None, bounds: Bounds | None = None) -> pd.DataFrame:
    """Read a table, or some columns of it.

    Parameters
    ----------
    path
        The file.
    columns
        Names of the columns to read; all by default.
    bounds
        The most that the table may hold.

    Raises
    ------
    RunError
        Where it is damaged, lacks a column, or would be larger than `bounds` or than a file of its size may be; the
        sentence begins with the file's name and proposes no mend. Sizes are checked before anything is read.
    """
    frame: pd.DataFrame = _read(path, columns, bounds, lambda file: file.read(columns).to_pandas())
    return frame


def read_numbers(path: Path, columns: Sequence[str], bounds: Bounds | None = None) -> np.ndarray:
    """Read some columns of a small table as numbers, (rows, columns); a missing one is NaN. Raises as `read_table`.

    Three times as fast as a frame, which counts where many runs are listed.
    """

    def numbers(file: pq.ParquetFile) -> np.ndarray:
        import pyarrow.types as kinds

        types = [file.schema_arrow.field(name).type for name in columns]
        if not all(kinds.is_integer(kind) or kinds.is_floating(kind) for kind in types):
            raise RunError(f"{path.name} holds something other than numbers")
        table = file.read(columns, use_threads=False)
        values = [table.column(name).to_numpy() for name in columns]
        return np.stack(values, axis=1).astype(float) if values else np.empty((len(table), 0))

    values: np.ndarray = _read(path, columns, bounds, numbers)
    return values


def _read(
    path: Path, columns: Sequence[str] | None, bounds: Bounds | None, take: Callable[[pq.ParquetFile], Any]
) -> Any:
    import pyarrow.parquet as pq

    files.check_file(path, MAX_BYTES)
    try:
        _check_footer(path)
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            names = file.schema_arrow.names
            if missing := set(columns or ()) - set(names):
                raise RunError(f"{path.name} lacks {', '.join(sorted(missing))}")
            _check_sizes(path, file.metadata, set(names if columns is None else columns), bounds)
            return take(file)
    except RunError:
        raise
    except Exception as error:  # Arrow raises its own kinds, OSError and ValueError alike
        raise RunError(f"{path.name} is not a readable parquet file ({files.first_line(error)})") from None


def _check_footer(path: Path) -> None:
    """Raise RunError where the list of contents at the end of a parquet file is too long to be read."""
    with open(path, "rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - 8))
        size = int.from_bytes(file.read(4), "little")
    if size > MAX_FOOTER:
        raise RunError(f"{path.name} is not a readable parquet file (its footer has {size:,} bytes)")


def _check_sizes(path: Path, metadata: pq.FileMetaData, columns: set[str], bounds: Bounds | None) -> None:
    """Raise RunError where the columns would hold more than `bounds`, or than a file of this size may come to."""
    groups = [metadata.row_group(k) for k in range(metadata.num_row_groups)]
    leaves = [metadata.schema.column(k) for k in range(metadata.num_columns)]
    chosen = [k for k, leaf in enumerate(leaves) if leaf.path in columns or _list_of(leaf.path) in columns]
    rows = max(metadata.num_rows, sum(group.num_rows for group in groups))
    values = memory = 0
    for group in groups:
        for chunk in map(group.column, chosen):
            # a dictionary with one long text can stand for that text in every row
            each = BYTES_EACH.get(chunk.physical_type, chunk.total_uncompressed_size)
            values += chunk.num_values
            memory += max(chunk.total_uncompressed_size, chunk.num_values * each)
    counts = {"rows": rows, "columns": len(chosen), "values": max(values, rows * len(chosen))}
    for what, count in counts.items():
        most = None if bounds is None else getattr(bounds, what)
        if most is not None and count > most:
            raise RunError(f"{path.name} holds {count:,} {what}, more than the {most:,} that its run can have")
    most = min(MAX_BYTES, max(FREE, MAX_RATIO * path.stat().st_size))
    if memory > most:
        raise RunError(f"{path.name} would take {memory:,} bytes of memory, more than the {most:,} it may")


def _list_of(path: str) -> str:
    """Column that a leaf of a list belongs to; the path itself for any other leaf."""
    return path.removesuffix(".list.element").removesuffix(".list.item")


def check_numbers(name: str, frame: pd.DataFrame, columns: Sequence[str]) -> None:
    """Raise RunError unless `columns` are in the table called `name`, once each, and hold finite numbers."""
    missing = [column for column in columns if column not in frame]
    if missing:
        raise RunError(f"{name} lacks {', '.join(missing)}")
    for column in columns:
        values = frame[column]
        if values.ndim != 1 or values.dtype.kind not in "iuf" or not np.isfinite(values.to_numpy()).all():
            raise RunError(f"{name} holds something other than numbers in column {column!r}")


def read_note(path: Path) -> dict[str, Any]:
    """Read the note that a table was written with; empty where there is none, or it can't be read."""
    import pyarrow.parquet as pq

    try:
        files.check_file(path, MAX_BYTES)
        _check_footer(path)
        text = (pq.read_schema(path).metadata or {}).get(NOTE)
        note = json.loads(text) if text else {}
    except (OSError, ValueError, RecursionError):  # RunError and Arrow's own errors are of these kinds
        return {}
    return note if isinstance(note, dict) else {}
