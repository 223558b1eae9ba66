"""Statistics of normalisation over batches for every width of a run, estimated on training data and kept with it."""

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
    """Statistics of each of `widths`; those that the run lacks are estimated, and kept with it.

    Empty for a model that keeps none. Raises Interrupted once `stopped` says so; what is known is then on disk.
    """
    if not run.record.statistics:
        return {}
    from tqdm import tqdm

    from core.elastic.batch_norm import estimate
    from core.elastic.subnet import load

    known = run.width_statistics()
    todo = [width for width in widths if width not in known]
    scale, weights, seed = run.scale(), run.weights(), run.record.training["seed"]
    saved_at = time.monotonic()
    for width in tqdm(todo, disable=not progress, unit="width", desc="batch statistics", dynamic_ncols=True):
        module = load(family, scale, weights, run.widths_at(width))
        found: dict[str, Any] = estimate(module, batches(data, seed))
        known[width] = {name: value.numpy() for name, value in found.items()}
        asked = stopped()
        if asked or width == todo[-1] or time.monotonic() - saved_at > SAVE_SECONDS:
            run.write_width_statistics(known)
            saved_at = time.monotonic()
        if asked:
            raise Interrupted(f"stopped; nothing is lost: python -m core sweep {run.path} continues")
    return {width: known[width] for width in widths}
