"""Compare a finished file, read again from its bytes, with what the run stores.

While a program is made it is compared with the model in memory; here the bytes that are handed over are compared
with the stored weights, and with the predictions that were stored when the width was measured.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from core.errors import RunError
from core.export.program import example_inputs, rounding_allowed
from core.export.weights import small_state
from core.runs.polished import read_predictions

if TYPE_CHECKING:
    from core.runs.run import Run

HALF_A_SHADE = 0.51 / 255  # colours are stored as bytes


def verify_weights(run: Run, width: int, data: bytes) -> int:
    """Return how many numbers a safetensors file holds, all equal to the run's (`Format.verify`).

    Raises RunError where a name, type or number differs.
    """
    from safetensors.numpy import load

    in_file, in_run = load(data), small_state(run, run.widths_at(width))
    if in_file.keys() != in_run.keys() or not all(
        in_file[name].dtype == value.dtype and np.array_equal(in_file[name], value, equal_nan=value.dtype.kind == "f")
        for name, value in in_run.items()
    ):
        raise RunError(f"the weights read again from the file are not those of run {run.id}; make the file again")
    return sum(value.size for value in in_run.values())


def verify_program(run: Run, width: int, kind: str, scores_of: Callable[[np.ndarray], np.ndarray]) -> int:
    """Return on how many stored examples a program was run, each with the prediction that the run stores.

    Parameters
    ----------
    run
        The run; `with_polished` at this width its polished predictions count.
    width
        Width of the sweep; with one that was not measured there is nothing to compare: 0 examples.
    kind
        The format's name in an error.
    scores_of
        Function from examples (n, ...) float32 to the program's scores (n, outputs).

    Raises
    ------
    RunError
        Where a prediction differs, or the stored examples are not of the test part.
    """
    if run.polished_width == width:
        stored = read_predictions(run.path, run.record, width)
    else:
        try:
            stored = run.predicted(width)
        except (RunError, KeyError):
            return 0
    index, x = run.examples()["index"], example_inputs(run)
    if index.dtype.kind not in "iu" or index.min() < 0 or index.max() >= len(stored):
        raise RunError(f"the stored examples of run {run.id} are not of its test part; restore them from a copy")
    wrong = int((~_same_prediction(run, scores_of(x), stored[index])).sum())
    if wrong:
        raise RunError(
            f"the {kind} program answers {wrong:,} of {len(x):,} stored examples otherwise than it was measured to; "
            "measure the run again, then make the file again"
        )
    return len(x)


def _same_prediction(run: Run, scores: np.ndarray, stored: np.ndarray) -> np.ndarray:
    """Return for each example whether its scores, (n, outputs), give the stored prediction up to rounding: (n,)."""
    allowed = rounding_allowed(scores)
    if run.task.classes:  # of two labels that score alike either may come first
        chosen = np.take_along_axis(scores, stored[:, None].astype(np.int64), 1)[:, 0]
        same: np.ndarray = chosen >= scores.max(1) - allowed
        return same
    predicted = np.clip(scores, 0, 1) if run.task.bounded else scores
    near: np.ndarray = np.abs(predicted - stored) <= allowed + (HALF_A_SHADE if run.task.bounded else 0)
    return np.asarray(near.all(1))
