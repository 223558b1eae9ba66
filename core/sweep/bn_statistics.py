"""Batch-normalisation statistics at each width of a run, estimated on training data and kept with it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from core.data.dataset import batches
from core.runs.run import Run
from core.utils.signals import Interrupted

if TYPE_CHECKING:
    from core.data import Dataset
    from core.elastic.family import Family

SAVE_SECONDS = 5.0


def ensure(
    run: Run, family: Family, data: Dataset, widths: Sequence[int], *, progress: bool, stopped: Callable[[], bool]
) -> dict[int, dict[str, np.ndarray]]:
    """Return the statistics at `widths`; those that the run lacks are estimated and kept with it.

    Parameters
    ----------
    run, family, data
        The run, its family and its data.
    widths
        Points of the sweep.
    progress
        Whether to show a progress bar.
    stopped
        Whether to stop after the current width.

    Returns
    -------
    By width, each statistic by the name of its buffer; empty for a model without batch normalisation.

    Raises
    ------
    Interrupted
        Once `stopped` is true; the statistics estimated by then are on disk.
    """
    if not run.record.statistics:
        return {}
    from tqdm import tqdm

    from core.elastic.batch_norm import estimate
    from core.elastic.subnet import load

    by_width = run.width_statistics()
    todo = [width for width in widths if width not in by_width]
    scale, weights, seed = run.scale(), run.weights(), run.record.training["seed"]
    saved_at = time.monotonic()
    for width in tqdm(todo, disable=not progress, unit="width", desc="batch statistics", dynamic_ncols=True):
        module = load(family, scale, weights, run.widths_at(width))
        estimated: dict[str, Any] = estimate(module, batches(data, seed))
        by_width[width] = {name: value.numpy() for name, value in estimated.items()}
        stop = stopped()
        if stop or width == todo[-1] or time.monotonic() - saved_at > SAVE_SECONDS:
            run.write_width_statistics(by_width)
            saved_at = time.monotonic()
        if stop:
            raise Interrupted(f"stopped; nothing is lost: python -m core sweep {run.path} continues")
    return {width: by_width[width] for width in widths}
