"""The weights of one size of a run, ready for a file: sliced, with the recipe's scale folded in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from core.errors import UserError
from core.export.base import Widths

if TYPE_CHECKING:
    from core.runs.run import Run


def small_state(run: Run, widths: Widths) -> dict[str, np.ndarray]:
    """Return the exact weights of the small model as NumPy arrays; reads only that part of the file."""
    if is_polished(run, widths):
        return run.polished_weights(run.polished_width or 0)
    scale = run.scale(widths)
    leading = {} if scale.band(widths) else run.slice(**widths)
    folded = scale.fold(leading, run.layout, widths) | run.statistics(widths)
    # not ascontiguousarray, which gives a scalar a dimension
    return {name: np.asarray(value, order="C") for name, value in folded.items()}


def is_polished(run: Run, widths: Widths) -> bool:
    """Whether the run's polished model stands in for the slice at these widths."""
    return run.polished_width is not None and run.widths_at(run.polished_width) == dict(widths)


def on_the_sweep(run: Run, widths: Widths) -> int:
    """Return the row of the sweep that has these widths. Raises UserError: only such rows are polished."""
    largest = max(run.layout.full.values())
    for width in sorted({size for name, size in widths.items() if run.layout.full[name] == largest}):
        if run.widths_at(width) == dict(widths):
            return width
    raise UserError(f"a polished model is of one width, as in export(run, 16, polished=True); got {dict(widths)}")
