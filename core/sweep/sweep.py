"""Every width of a run, validated once: metrics.parquet and predictions.parquet.

metrics.parquet has one row a width: `width`, each named width as `width_<name>`, `params`, `macs` (one example),
`bytes` (the safetensors file), then for the test part `n`, `loss`, each of the task's metrics with its 95 % interval
(`accuracy`, `accuracy_low`, `accuracy_high`, fractions) and, for classes, `per_class_accuracy` (in the order of the
labels; NaN where a class has no example), and `validation_n`, `validation_loss`, `validation_accuracy` with its
interval, by which sizes are chosen. `validation_difference` is the mean difference of an example's score
(`Task.score`) to full size's on the same validation examples, and `validation_difference_error` its standard error.

predictions.parquet has one row a test example: its number (`example`), what it is (`label`) and what each width
predicts (`w<width>`). Where numbers are predicted there is a column for each output (`label.0`, `w8.0`), for colours
as bytes of 0 to 255.
"""

from __future__ import annotations

import bisect
import operator
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.elastic.family import Family
from core.elastic.size_grid import path_range, points
from core.errors import UserError
from core.models.rebuild import family_of
from core.runs.file_names import PARTIAL
from core.runs.run import Run
from core.runs.run_data import data_of
from core.sweep.latency import measure_run
from core.sweep.validation import validate, validated
from core.utils import files
from core.utils.signals import stop_requests

if TYPE_CHECKING:
    import pandas as pd

    from core.data.dataset import Dataset

VERSION = 2  # of what is computed; a new one makes cached metrics stale
ALL_WIDTHS_OF_A_CHAIN = 1024  # above it, and for other architectures, a log-spaced subset
WIDTHS_OF_OTHERS = 64
WIDTHS_OF_PICTURES = 24  # every pixel of a picture is kept at each


def sweep(
    run: Run | Path | str,
    data: Dataset | tuple[Any, Any] | None = None,
    *,
    family: Family | None = None,
    widths: Sequence[int] | None = None,
    plain: bool = False,
    latency: bool = True,
    progress: bool = True,
) -> pd.DataFrame:
    """Validate the widths of a run and keep the result beside it; what is there already is only read.

    Parameters
    ----------
    run
        A run, or its folder.
    data
        What the run was trained on, as it was given to `train`; loaded by name where it is left out.
    family
        The run's family, needed only for a factory of your own after a restart of Python.
    widths
        Which ones; all of a fully-connected family, else a log-spaced subset. Others that were validated before stay.
    plain
        Run every small model by itself, even where one pass would do.
    latency
        Also measure the time of a prediction on this machine, for a log-spaced set of widths.

    Returns the table of `Run.metrics`, at `widths` where they were asked for. An interrupted sweep goes on where it
    stopped. Raises UserError for data that the run was not trained on or widths outside its range, RunError for a run
    that can't be read or written, and Interrupted after Ctrl-C.
    """
    from core.sweep.bn_statistics import ensure
    from core.sweep.evaluator import Evaluator

    run = run if isinstance(run, Run) else Run(Path(run))
    family = family_of(run, family)
    chosen = _widths(run, family, widths)
    dataset = data_of(run, data)
    key = {
        "version": VERSION,
        "weights": run.record.weights_sha256,
        "test": dataset.split_fingerprint("test"),
        "validation": dataset.split_fingerprint("validation"),
    }
    with stop_requests() as stopped:
        full = path_range(run.layout)[1]  # what every other width is compared with
        statistics = ensure(run, family, dataset, sorted({*chosen, full}), progress=progress, stopped=stopped)
        before = validated(run, key)
        todo = [width for width in chosen if before is None or width not in set(before[0]["width"])]
        if todo:
            evaluator = Evaluator(
                family,
                run.scale(),
                run.weights(),
                sorted({*todo, full}),
                plain,
                run.task.classes,
                dataset.target_statistics()[1],
                statistics,
            )
            validate(run, evaluator, todo, dataset, key, before, progress=progress, stopped=stopped)
        files.remove_file(run.path / PARTIAL)
        if latency:
            measure_run(run, family, progress=progress, stopped=stopped)
    table = run.metrics()
    return table if widths is None else table[table["width"].isin(chosen)].reset_index(drop=True)


def _widths(run: Run, family: Family, asked: Sequence[int] | None) -> list[int]:
    from core.elastic.discovery.chain import find_chain

    sizes = points(run.layout)
    low, high = sizes[0], sizes[-1]
    if asked is not None:
        try:
            chosen = sorted({operator.index(width) for width in asked if not isinstance(width, bool)})
        except TypeError:
            chosen = []
        if not chosen or not all(width in sizes for width in chosen):
            largest = max(run.layout.widths.values(), key=lambda w: w.full)
            raise UserError(f"widths are {asked!r}; choose at least one, all of them whole numbers {largest:from}")
        return chosen
    limit = ALL_WIDTHS_OF_A_CHAIN if find_chain(family.new_sibling(), family.layout) else WIDTHS_OF_OTHERS
    if run.task.bounded:
        limit = WIDTHS_OF_PICTURES
    if len(sizes) <= limit:
        return list(sizes)
    return sorted({sizes[bisect.bisect_left(sizes, round(w))] for w in np.geomspace(low, high, limit)})
