"""Parquet files of a run: written whole with a note of how they were made, read with suspicion."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.errors import RunError
from core.utils import files

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

MAX_BYTES = 2 * 2**30
MAX_CELLS = 10**9  # a few bytes can stand for that many equal values
NOTE = b"structural_dropout"  # key in the schema's metadata


def write_table(path: Path, frame: pd.DataFrame, note: Mapping[str, Any]) -> None:
    """A parquet file, whole or not at all, with `note` (how it was made) in its schema. Raises RunError."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pandas(frame, preserve_index=False)
    table = table.replace_schema_metadata(
        {**(table.schema.metadata or {}), NOTE: json.dumps(note, sort_keys=True).encode()}
    )
    with files.replacing(path) as temporary:
        pq.write_table(table, temporary, compression="zstd", write_page_checksum=True)


def read_table(path: Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """The table, or some columns of it. Raises RunError, which begins with the file's name and proposes no mend."""
    frame: pd.DataFrame = _read(path, columns, lambda table: table.to_pandas())
    return frame


def read_numbers(path: Path, columns: Sequence[str]) -> np.ndarray:
    """Some columns of a small table as numbers, (rows, columns); a missing one is NaN. Raises as `read_table` does.

    Without pandas, which takes three times as long: what lists many runs reads a file of each.
    """

    def numbers(table: pa.Table) -> np.ndarray:
        found = [table.column(name).to_numpy() for name in columns]
        if any(values.dtype.kind not in "iuf" for values in found):
            raise RunError(f"{path.name} holds something other than numbers")
        return np.stack(found, axis=1).astype(float) if found else np.empty((len(table), 0))

    found: np.ndarray = _read(path, columns, numbers, use_threads=False)
    return found


def _read(path: Path, columns: Sequence[str] | None, made: Callable[[pa.Table], Any], use_threads: bool = True) -> Any:
    import pyarrow.parquet as pq

    files.check_file(path, MAX_BYTES)
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            missing = set(columns or ()) - set(file.schema_arrow.names)
            cells = file.metadata.num_rows * (len(columns) if columns else file.metadata.num_columns)
            found = None if missing or cells > MAX_CELLS else made(file.read(columns, use_threads=use_threads))
    except RunError:
        raise
    except Exception as error:  # Arrow raises its own kinds, OSError and ValueError alike
        raise RunError(f"{path.name} is not a readable parquet file ({files.first_line(error)})") from None
    if missing:
        raise RunError(f"{path.name} lacks {', '.join(sorted(missing))}")
    if found is None:
        raise RunError(f"{path.name} holds {cells:,} values, more than the {MAX_CELLS:,} it may")
    return found


def check_numbers(name: str, frame: pd.DataFrame, wanted: Sequence[str]) -> None:
    """Raise RunError unless the columns `wanted` are there, once each, and hold finite numbers."""
    missing = [column for column in wanted if column not in frame]
    if missing:
        raise RunError(f"{name} lacks {', '.join(missing)}")
    for column in wanted:
        values = frame[column]
        if values.ndim != 1 or values.dtype.kind not in "iuf" or not np.isfinite(values.to_numpy()).all():
            raise RunError(f"{name} holds something other than numbers in column {column!r}")


def read_note(path: Path) -> dict[str, Any]:
    """What a table says of its own making; empty if nothing can be read."""
    import pyarrow.parquet as pq

    try:
        files.check_file(path, MAX_BYTES)
        note = (pq.read_schema(path).metadata or {}).get(NOTE)
        found = json.loads(note) if note else {}
    except (OSError, ValueError, RecursionError):  # RunError and Arrow's own errors are of these kinds
        return {}
    return found if isinstance(found, dict) else {}
