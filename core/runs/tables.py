"""Read the parquet files of a run: metrics, predictions and times, checked against its record. No torch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from core.elastic.size_grid import path_range
from core.errors import RunError
from core.runs.file_names import LATENCY, METRICS, PREDICTIONS, RECORD
from core.runs.record import RunRecord
from core.tasks.registry import task
from core.utils.parquet import Bounds, check_numbers, read_table

if TYPE_CHECKING:
    import pandas as pd

MOST_EXAMPLES = 10**8  # where the record lacks the number of test examples
MORE_COLUMNS = 64  # figures of metrics.parquet that do not depend on the run
MOST_TIMES = Bounds(rows=10_000, columns=32, values=320_000)
LATENCY_NUMBERS = ("threads", "batch", "width", "median_ms", "p25_ms", "p75_ms", "repeats")


def read_metrics(folder: Path, record: RunRecord) -> pd.DataFrame:
    """A row for each validated width, ascending; `core.sweep.sweep` describes the columns. Raises RunError."""
    with _mend_told(folder, METRICS):
        frame = read_table(folder / METRICS, bounds=metrics_bounds(record))
        needed = ["width", "params", "macs", "bytes", "n", *(m.name for m in task(record.task).metrics)]
        check_numbers(METRICS, frame, needed)
        low, high = path_range(record.layout)
        widths = frame["width"]
        if frame.empty or not widths.is_unique or not widths.between(low, high).all() or (widths % 1).any():
            raise RunError(f"{METRICS} needs one row for each of some widths from {low} to {high}")
    return frame.astype({"width": "int64"}).sort_values("width", ignore_index=True)


def read_predictions(folder: Path, record: RunRecord, *widths: int) -> pd.DataFrame:
    """`label` and `w<width>` of each test example, in the order of the test part; all widths when none is named.

    Where numbers are predicted there is a column for each output: `label.0`, `w8.0`. Raises RunError.
    """
    names = ("label", *(f"w{width}" for width in widths))
    columns = ["example", *(column for name in names for column in columns_of(record, name))]
    with _mend_told(folder, PREDICTIONS):
        frame = read_table(folder / PREDICTIONS, columns if widths else None, _predictions_bounds(record))
        check_numbers(PREDICTIONS, frame, columns)
    return frame.sort_values("example", ignore_index=True).drop(columns="example")


def read_answers(folder: Path, record: RunRecord, name: str) -> np.ndarray:
    """One column of the predictions as an array, `label` or `w<width>`: (n,) classes or (n, outputs) numbers.

    Raises RunError.
    """
    columns = ["example", *columns_of(record, name)]
    with _mend_told(folder, PREDICTIONS):
        frame = read_table(folder / PREDICTIONS, columns, _predictions_bounds(record))
        check_numbers(PREDICTIONS, frame, columns)
    answers = as_array(record, frame.sort_values("example"), name)
    assert answers is not None
    return answers


def read_class_counts(folder: Path, record: RunRecord) -> np.ndarray | None:
    """Number of test examples of each label, (labels,); None for a task that predicts numbers. Raises RunError."""
    if not task(record.task).classes:
        return None
    labels = read_answers(folder, record, "label")
    if len(labels) and not 0 <= labels.min() <= labels.max() < len(record.labels):
        raise RunError(f"{PREDICTIONS} holds other labels than {RECORD}; restore it from a copy")
    return np.bincount(labels.astype(np.int64), minlength=len(record.labels))


def as_array(record: RunRecord, predictions: pd.DataFrame, name: str) -> np.ndarray | None:
    """`label` or `w<width>` of a predictions table as an array, in its order; None where it is not there."""
    columns = columns_of(record, name)
    if not all(column in predictions for column in columns):
        return None
    if task(record.task).classes:
        return np.asarray(predictions[name])
    numbers: np.ndarray = predictions[columns].to_numpy()
    return numbers.astype(np.float32) / (255 if numbers.dtype == np.uint8 else 1)  # colours are kept as bytes


def columns_of(record: RunRecord, name: str) -> list[str]:
    """Columns of predictions.parquet that hold `label` or `w<width>`: one for classes, else one an output."""
    return [name] if task(record.task).classes else [f"{name}.{k}" for k in range(len(record.labels))]


def read_latency(folder: Path) -> pd.DataFrame | None:
    """Times of a prediction on each machine where they were measured; None without any. Raises RunError."""
    if not (folder / LATENCY).exists():
        return None
    with _mend_told(folder, LATENCY):
        frame = read_table(folder / LATENCY, bounds=MOST_TIMES)
        check_numbers(LATENCY, frame, LATENCY_NUMBERS)
        if "machine" not in frame or not all(isinstance(name, str) for name in frame["machine"]):
            raise RunError(f"{LATENCY} names no machines")
    return frame


def metrics_bounds(record: RunRecord) -> Bounds:
    """The most that metrics.parquet of a run can hold: a row a width, and a figure for each label in a list."""
    low, high = path_range(record.layout)
    rows, columns = high - low + 1, MORE_COLUMNS + len(record.layout.widths)
    return Bounds(rows=rows, columns=columns, values=rows * (columns + len(record.labels)))


def _predictions_bounds(record: RunRecord) -> Bounds:
    """The most that predictions.parquet of a run can hold: a row a test example, its label and every width."""
    low, high = path_range(record.layout)
    rows = record.data.get("test_n", MOST_EXAMPLES)
    columns = 1 + len(columns_of(record, "label")) * (high - low + 2)
    return Bounds(rows=rows, columns=columns, values=rows * columns)


@contextmanager
def _mend_told(folder: Path, name: str) -> Iterator[None]:
    """Add the mend that the errors of all tables have in common: a sweep makes them again."""
    if not (folder / name).exists():
        raise RunError(f"run {folder.name} has no {name} yet; make it with: python -m core sweep {folder}")
    try:
        yield
    except RunError as error:
        raise RunError(f"{error}; make it again with: python -m core sweep {folder}") from None
