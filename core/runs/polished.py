"""Polished and refitted widths of a run, in one file beside it: their weights, figures and predictions. No torch.

In polished.safetensors a tensor is called `<width>/<name>`, the predictions for the test part `predictions/<width>`,
and the header holds a row for each width, so that weights and figures are replaced together or not at all.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.elastic.layout import DTYPES
from core.elastic.size_grid import path_range, path_widths
from core.errors import RunError, UserError
from core.runs.file_names import POLISHED
from core.runs.record import RunRecord
from core.runs.tensors import open_tensors, read_tensor
from core.tasks.base import Task
from core.tasks.registry import task
from core.utils import files
from core.utils.fingerprint import fingerprint
from core.utils.jsonable import jsonable

if TYPE_CHECKING:
    import pandas as pd

ROWS = "rows"  # key in the header
PREDICTIONS = "predictions/"  # before the width, in the name of the tensor
METHODS = {"polish": "polished", "refit": "output layer refitted"}  # how a width was made, and what it is then called
STORED_AS = {"uint8": "U8", "uint16": "U16", "uint32": "U32", "float32": "F32"}  # NumPy's name: the file's
MAX_NOTE = 32 * 2**20
TEXTS = ("method", "machine", "created", "sha256", "run_sha256")
GAINS = ("unpolished", "validation_unpolished", "gain", "validation_gain", "epochs", "seconds", "learning_rate")
MEND = "make the point again, or remove the file"


def number_columns(record: RunRecord) -> list[str]:
    """Columns of a row that hold one number each: sizes and figures as in `Run.metrics`, and `GAINS`."""
    sizes = [f"width_{name}" for name in record.layout.widths]
    return ["width", *sizes, *task(record.task).number_columns, *GAINS]


def read_rows(folder: Path, record: RunRecord) -> dict[int, dict[str, Any]]:
    """Row of each polished width; empty without any. Raises RunError where one does not belong to this run."""
    if not (folder / POLISHED).exists():
        return {}
    with open_tensors(folder, POLISHED) as file:
        return _rows(record, file)


def table(folder: Path, record: RunRecord) -> pd.DataFrame:
    """A row for each polished width, ascending: `number_columns`, `TEXTS`, and what its method adds. May be empty.

    It lacks the paired differences of `Run.metrics`; where classes are predicted it has the column of lists by class.
    Raises RunError.
    """
    import pandas as pd

    rows = read_rows(folder, record)
    if not rows:
        return pd.DataFrame(columns=[*number_columns(record), *TEXTS])
    return pd.DataFrame([rows[width] for width in sorted(rows)])


def read_weights(folder: Path, record: RunRecord, width: int) -> dict[str, np.ndarray]:
    """State of the polished model at `width`: a plain small model, everything folded in.

    Raises UserError where that width was not polished, RunError for a damaged file.
    """
    with _opened(folder, record, width) as (file, row):
        shapes = record.layout.shapes(path_widths(record.layout, width))
        state = {name: read_tensor(file, POLISHED, f"{width}/{name}") for name in shapes}
    if fingerprint(state) != row["sha256"] or not all(
        np.isfinite(value).all() for value in state.values() if value.dtype.kind == "f"
    ):
        raise RunError(f"{POLISHED} does not hold the weights that it describes at width {width}; {MEND}")
    return state


def read_predictions(folder: Path, record: RunRecord, width: int) -> np.ndarray:
    """Predictions of the polished model for the test part, like `Run.predicted`. Raises as `read_weights` does."""
    kind = task(record.task)
    with _opened(folder, record, width) as (file, _):
        kept = read_tensor(file, POLISHED, f"{PREDICTIONS}{width}")
    if not (int(kept.max(initial=0)) < len(record.labels) if kind.classes else np.isfinite(kept).all()):
        raise RunError(f"{POLISHED} holds predictions at width {width} that can't be; {MEND}")
    return kept.astype(np.float32) / 255 if kind.bounded else kept


@contextmanager
def _opened(folder: Path, record: RunRecord, width: int) -> Iterator[tuple[Any, dict[str, Any]]]:
    """The file and the row of `width` in it. Raises UserError where there is none, RunError for a damaged file."""
    if not (folder / POLISHED).exists():
        raise _not_polished(folder, width, [])
    with open_tensors(folder, POLISHED) as file:
        rows = _rows(record, file)
        if width not in rows:
            raise _not_polished(folder, width, sorted(rows))
        yield file, rows[width]


def write(
    folder: Path,
    record: RunRecord,
    width: int,
    row: Mapping[str, Any],
    state: Mapping[str, np.ndarray],
    predictions: np.ndarray,
) -> None:
    """Keep a polished width with the run, in the place of an earlier one, whole or not at all.

    Parameters
    ----------
    folder, record
        The run.
    width
        The polished width.
    row
        Its figures: `number_columns`, `TEXTS` and more.
    state
        The model's tensors by name, at their shapes of that width.
    predictions
        Of the test part: (n,) classes, or (n, outputs) numbers.

    Raises
    ------
    RunError
        Where the disk refuses.
    """
    from safetensors.numpy import save

    try:
        rows = read_rows(folder, record)
        states = {other: read_weights(folder, record, other) for other in rows if other != width}
        predicted = {other: read_predictions(folder, record, other) for other in states}
    except RunError:  # a damaged file, or one of other weights, is replaced
        rows, states, predicted = {}, {}, {}
    rows, states[width], predicted[width] = {**rows, width: jsonable(row)}, dict(state), predictions
    arrays = {f"{at}/{n}": np.asarray(v, order="C") for at, part in states.items() for n, v in part.items()}
    arrays |= {f"{PREDICTIONS}{at}": _packed(record, values) for at, values in predicted.items()}
    note = json.dumps([rows[at] for at in sorted(rows)], sort_keys=True, allow_nan=False)
    files.write_bytes(folder / POLISHED, save(arrays, {ROWS: note}), parents=False)


def sentence(kind: Task, row: Mapping[Any, Any]) -> str:
    """One polished width in plain words: its figures, what was gained and how long that took."""
    metric, examples = kind.metric, f"{kind.example}s"
    interval = metric.format_interval(row[f"{metric.name}_low"], row[f"{metric.name}_high"])
    gained = [
        f"{metric.format_difference(row[f'{part}{metric.name}'], row[f'{part}unpolished'])}"
        for part in ("", "validation_")
    ]
    kept = ", none of them better: it stays as it was" if row.get("best_epoch") == 0 else ""
    test, validation = ("as before" if text == "the same" else f"{text} the cut model" for text in gained)
    epochs = f" for {row['epochs']} epoch{'' if row['epochs'] == 1 else 's'}" if row["method"] == "polish" else ""
    return (
        f"width {row['width']}, {METHODS[row['method']]}{epochs} in {row['seconds']:.1f} s{kept}: "
        f"{metric.format(row[metric.name])} on {row['n']:,} test {examples} (95 % interval {interval}), {test}; "
        f"on {row['validation_n']:,} validation {examples} {metric.format(row[f'validation_{metric.name}'])}, "
        f"{validation}"
    )


def check(folder: Path, record: RunRecord) -> None:
    """Read all of the file against the record. Raises RunError."""
    for width in read_rows(folder, record):
        read_weights(folder, record, width)
        read_predictions(folder, record, width)


def _stored_dtype(record: RunRecord) -> np.dtype[Any]:
    """Type in which predictions are stored: labels and colours in as few bytes as hold them."""
    kind = task(record.task)
    if kind.classes:
        return np.min_scalar_type(len(record.labels) - 1)
    return np.dtype(np.uint8 if kind.bounded else np.float32)


def _packed(record: RunRecord, predictions: np.ndarray) -> np.ndarray:
    values = np.round(255 * np.clip(predictions, 0, 1)) if task(record.task).bounded else predictions
    return np.asarray(values, dtype=_stored_dtype(record), order="C")


def _rows(record: RunRecord, file: Any) -> dict[int, dict[str, Any]]:
    """The rows in the header, once the tensors are theirs by name, shape and type. Raises RunError."""
    text = (file.metadata() or {}).get(ROWS, "")
    try:
        listed = json.loads(text) if len(text) <= MAX_NOTE else None
    except (ValueError, RecursionError):
        listed = None
    if not isinstance(listed, list):
        raise RunError(f"{POLISHED} lacks the rows of its widths; {MEND}")
    layout = record.layout
    outputs = () if task(record.task).classes else (len(record.labels),)
    rows: dict[int, dict[str, Any]] = {}
    expected: dict[str, tuple[tuple[int, ...], str]] = {}
    for row in listed:
        width = _check_row(record, row)
        if width in rows:
            raise RunError(f"{POLISHED} has two rows for width {width}; {MEND}")
        rows[width] = row
        for name, shape in layout.shapes(path_widths(layout, width)).items():
            expected[f"{width}/{name}"] = (tuple(shape), DTYPES[layout.tensors[name].dtype][0])
        expected[f"{PREDICTIONS}{width}"] = ((row["n"], *outputs), STORED_AS[_stored_dtype(record).name])
    if set(file.keys()) != expected.keys():
        raise RunError(f"{POLISHED} holds other tensors than its rows describe; {MEND}")
    for key, (shape, dtype) in expected.items():
        header = file.get_slice(key)
        if (tuple(header.get_shape()), header.get_dtype()) != (shape, dtype):
            raise RunError(f"{POLISHED}: {key!r} has another shape or type than the layout; {MEND}")
    return rows


def _check_row(record: RunRecord, row: Any) -> int:
    """Width of a row, once the row belongs to this run. Raises RunError."""
    low, high = path_range(record.layout)
    if not isinstance(row, dict):
        raise RunError(f"{POLISHED} holds a row that is no object; {MEND}")
    for key in number_columns(record):
        value = row.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise RunError(f"{POLISHED} holds something other than a number in {key!r}; {MEND}")
    width = row["width"]
    if not isinstance(width, int) or not low <= width <= high:
        raise RunError(f"{POLISHED} needs widths from {low} to {high}, got {width!r}; {MEND}")
    if {name: row[f"width_{name}"] for name in record.layout.widths} != path_widths(record.layout, width):
        raise RunError(f"{POLISHED} has other widths at {width} than the run; {MEND}")
    if not all(isinstance(row.get(key), str) for key in TEXTS) or row["method"] not in METHODS:
        raise RunError(f"{POLISHED} lacks how width {width} was made; {MEND}")
    if row["run_sha256"] != record.weights_sha256:
        raise RunError(f"{POLISHED} was made from other weights than this run's; {MEND}")
    return width


def _not_polished(folder: Path, width: int, polished: list[int]) -> UserError:
    listed = ", ".join(map(str, polished)) or "none yet"
    return UserError(
        f"run {folder.name} has no polished model at width {width!r}; they are there at {listed}; "
        f"make one with: python -m core polish {folder} --width {width}"
    )
