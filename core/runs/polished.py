"""Polished and refitted points of a run, kept beside it in one file: their weights, and what was measured of them.

The file is polished.safetensors: a tensor is called `<width>/<name>`, what a point predicts of the test part is called
`predictions/<width>`, and the header holds a row for each width, so that weights and figures are replaced together or
not at all. Nothing here imports torch.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from core.elastic.layout import DTYPES
from core.elastic.size_grid import path_range, path_widths
from core.errors import RunError, UserError
from core.runs.tensors import POLISHED, fingerprint, open_tensors, read_tensor
from core.utils import files

if TYPE_CHECKING:
    import pandas as pd

    from core.runs.run import Run

ROWS = "rows"  # key in the header
PREDICTIONS = "predictions/"  # before the width, in the name of the tensor
METHODS = {"polish": "polished", "refit": "output layer refitted"}  # how a point was made, and what it is then called
STORED_AS = {"uint8": "U8", "uint16": "U16", "uint32": "U32", "float32": "F32"}  # NumPy's name: the file's
MAX_NOTE = 32 * 2**20
TEXTS = ("method", "machine", "created", "sha256", "run_sha256")
MEND = "make the point again, or remove the file"


def number_columns(run: Run) -> list[str]:
    """The columns of a row that hold one number each: sizes and figures as in `Run.metrics`, and what was gained."""
    from core.sweep.tables import number_columns as of_a_sweep

    own = ["unpolished", "validation_unpolished", "gain", "validation_gain", "epochs", "seconds", "learning_rate"]
    sizes = [f"width_{name}" for name in run.layout.widths]
    return ["width", *sizes, *of_a_sweep(run.task), *own]


def read_rows(run: Run) -> dict[int, dict[str, Any]]:
    """Each polished width's row; empty where there are none. Raises RunError where one is not of this run."""
    if not (run.path / POLISHED).exists():
        return {}
    with open_tensors(run.path, POLISHED) as file:
        return _rows(run, file)


def table(run: Run) -> pd.DataFrame:
    """A row for each polished width, ascending: `number_columns`, `TEXTS`, and what its method tells besides.

    Of `Run.metrics` it lacks the paired differences to full size; where classes are told apart it has the column of
    lists by class. Where nothing was polished the table is empty.
    """
    import pandas as pd

    rows = read_rows(run)
    if not rows:
        return pd.DataFrame(columns=[*number_columns(run), *TEXTS])
    return pd.DataFrame([rows[width] for width in sorted(rows)])


def read_weights(run: Run, width: int) -> dict[str, np.ndarray]:
    """The polished model's plain state at `width`. Raises UserError where there is none, RunError for a damaged one."""
    with _opened(run, width) as (file, row):
        shapes = run.layout.shapes(path_widths(run.layout, width))
        state = {name: read_tensor(file, POLISHED, f"{width}/{name}") for name in shapes}
    if fingerprint(state) != row["sha256"] or not all(
        np.isfinite(value).all() for value in state.values() if value.dtype.kind == "f"
    ):
        raise RunError(f"{POLISHED} does not hold the weights that it describes at width {width}; {MEND}")
    return state


def read_predictions(run: Run, width: int) -> np.ndarray:
    """What the polished model predicts of each test example, like `Run.predicted`. Raises as `read_weights` does."""
    with _opened(run, width) as (file, _):
        kept = read_tensor(file, POLISHED, f"{PREDICTIONS}{width}")
    if not (int(kept.max(initial=0)) < len(run.record.labels) if run.task.classes else np.isfinite(kept).all()):
        raise RunError(f"{POLISHED} holds answers at width {width} that can't be; {MEND}")
    return kept.astype(np.float32) / 255 if run.task.bounded else kept


@contextmanager
def _opened(run: Run, width: int) -> Iterator[tuple[Any, dict[str, Any]]]:
    """The file and the row of `width` in it. Raises UserError where there is none, RunError for a damaged file."""
    if not (run.path / POLISHED).exists():
        raise _none(run, width, [])
    with open_tensors(run.path, POLISHED) as file:
        rows = _rows(run, file)
        if width not in rows:
            raise _none(run, width, sorted(rows))
        yield file, rows[width]


def write(run: Run, width: int, row: Mapping[str, Any], state: Mapping[str, np.ndarray], answers: np.ndarray) -> None:
    """Keep a point with the run in the place of one of the same width, whole or not at all. Raises RunError.

    `answers` is what it predicts of the test part: (n,) classes, or (n, outputs) numbers.
    """
    from safetensors.numpy import save

    try:
        rows = read_rows(run)
        states = {known: read_weights(run, known) for known in rows if known != width}
        said = {known: read_predictions(run, known) for known in states}
    except RunError:  # a damaged file, or one of other weights, is replaced
        rows, states, said = {}, {}, {}
    rows, states[width], said[width] = {**rows, width: _strict(row)}, dict(state), answers
    tensors = {f"{at}/{n}": np.asarray(v, order="C") for at, part in states.items() for n, v in part.items()}
    tensors |= {f"{PREDICTIONS}{at}": _packed(run, found) for at, found in said.items()}
    note = json.dumps([rows[at] for at in sorted(rows)], sort_keys=True, allow_nan=False)
    files.write_bytes(run.path / POLISHED, save(tensors, {ROWS: note}))


def sentence(run: Run, row: Mapping[Any, Any]) -> str:
    """One point in plain words: what it is, how good, what it gained and what that took."""
    metric, kind = run.task.metric, f"{run.task.example}s"
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
        f"{metric.format(row[metric.name])} on {row['n']:,} test {kind} (95 % interval {interval}), {test}; "
        f"on {row['validation_n']:,} validation {kind} {metric.format(row[f'validation_{metric.name}'])}, {validation}"
    )


def check(run: Run) -> None:
    """Read all of the file against the record. Raises RunError."""
    for width in read_rows(run):
        read_weights(run, width)
        read_predictions(run, width)


def _answers_dtype(run: Run) -> np.dtype[Any]:
    """How answers are kept: labels and colours in as few bytes as hold them."""
    if run.task.classes:
        return np.min_scalar_type(len(run.record.labels) - 1)
    return np.dtype(np.uint8 if run.task.bounded else np.float32)


def _packed(run: Run, answers: np.ndarray) -> np.ndarray:
    found = np.round(255 * np.clip(answers, 0, 1)) if run.task.bounded else answers
    return np.asarray(found, dtype=_answers_dtype(run), order="C")


def _rows(run: Run, file: Any) -> dict[int, dict[str, Any]]:
    """The rows in the header, and that the tensors are theirs by name, shape and type. Raises RunError."""
    text = (file.metadata() or {}).get(ROWS, "")
    try:
        found = json.loads(text) if len(text) <= MAX_NOTE else None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, list):
        raise RunError(f"{POLISHED} does not say what it holds; {MEND}")
    rows: dict[int, dict[str, Any]] = {}
    wanted: dict[str, tuple[tuple[int, ...], str]] = {}
    for row in found:
        width = _check_row(run, row)
        if width in rows:
            raise RunError(f"{POLISHED} has two rows for width {width}; {MEND}")
        rows[width] = row
        for name, shape in run.layout.shapes(path_widths(run.layout, width)).items():
            wanted[f"{width}/{name}"] = (tuple(shape), DTYPES[run.layout.tensors[name].dtype][0])
        outputs = () if run.task.classes else (len(run.record.labels),)
        wanted[f"{PREDICTIONS}{width}"] = ((row["n"], *outputs), STORED_AS[_answers_dtype(run).name])
    if set(file.keys()) != wanted.keys():
        raise RunError(f"{POLISHED} holds other tensors than its rows say; {MEND}")
    for key, (shape, dtype) in wanted.items():
        header = file.get_slice(key)
        if (tuple(header.get_shape()), header.get_dtype()) != (shape, dtype):
            raise RunError(f"{POLISHED}: {key!r} is not what the layout wants; {MEND}")
    return rows


def _check_row(run: Run, row: Any) -> int:
    """The width of a row that is one of this run's. Raises RunError."""
    low, high = path_range(run.layout)
    if not isinstance(row, dict):
        raise RunError(f"{POLISHED} holds a row that is none; {MEND}")
    for key in number_columns(run):
        value = row.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise RunError(f"{POLISHED} holds something other than a number in {key!r}; {MEND}")
    width = row["width"]
    if not isinstance(width, int) or not low <= width <= high:
        raise RunError(f"{POLISHED} wants widths from {low} to {high}, got {width!r}; {MEND}")
    if {name: row[f"width_{name}"] for name in run.layout.widths} != path_widths(run.layout, width):
        raise RunError(f"{POLISHED} has other widths at {width} than the run; {MEND}")
    if not all(isinstance(row.get(key), str) for key in TEXTS) or row["method"] not in METHODS:
        raise RunError(f"{POLISHED} does not say how width {width} was made; {MEND}")
    if row["run_sha256"] != run.record.weights_sha256:
        raise RunError(f"{POLISHED} was made from other weights than this run's; {MEND}")
    return width


def _none(run: Run, width: int, known: list[int]) -> UserError:
    listed = ", ".join(map(str, known)) or "none yet"
    return UserError(
        f"run {run.id} has no polished model at width {width!r}; they are there at {listed}; "
        f"make one with: python -m core polish {run.path} --width {width}"
    )


def _strict(value: Any) -> Any:
    """As JSON can say it: what is not finite, such as the figure of a class without an example, is null."""
    if isinstance(value, Mapping):
        return {key: _strict(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_strict(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
