"""Build the two tables of a sweep from the predictions of every width; `core.sweep.sweep` lists their columns."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from core.elastic.family import Family
from core.elastic.size_grid import path_widths
from core.runs.run import Run
from core.tasks.base import Task

if TYPE_CHECKING:
    import pandas as pd

    from core.data import Dataset, Split
    from core.sweep.evaluator import Evaluator, Scores


def metrics_table(run: Run, data: Dataset, scores: dict[str, Scores], evaluator: Evaluator) -> pd.DataFrame:
    """Build metrics.parquet.

    Parameters
    ----------
    run, data
        The run and its data.
    scores
        Predictions and losses on the `validation` and the `test` part, at the evaluator's widths.
    evaluator
        The widths and their chain, by which multiply-accumulates are counted.

    Returns
    -------
    A row for each of the evaluator's widths.
    """
    import pandas as pd

    widths = list(evaluator.widths)
    named = [path_widths(run.layout, width) for width in widths]
    judged: dict[str, Any] = {}
    for name, prefix in (("test", ""), ("validation", "validation_")):
        part, scored = data.part(name), scores[name]
        each = run.task.score(scored.predictions, part.y)  # (n, widths)
        judged |= {f"{prefix}n": part.n, f"{prefix}loss": scored.loss / part.n}
        variance = run.task.variance(part.y)
        for metric in run.task.metrics:
            values = np.array([metric.measure(each[:, k], variance) for k in range(len(widths))])
            judged |= {f"{prefix}{metric.name}{end}": values[:, k] for k, end in enumerate(("", "_low", "_high"))}
        if name == "test" and run.task.classes:
            judged[f"per_class_{run.task.metric.name}"] = list(_by_class(each, part.y, len(data.labels)))
    return pd.DataFrame(
        {
            "width": widths,
            **{f"width_{name}": [w[name] for w in named] for name in run.layout.widths},
            "params": [run.layout.params(w) for w in named],
            "macs": _macs(evaluator.family, data, named, evaluator),
            "bytes": [run.layout.file_bytes(w) for w in named],
            **judged,
        }
    )


def against_last(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean difference to the last column on the same examples, and its standard error: (n, widths) to two (widths,).

    A single example's difference stands for its own spread.
    """
    means, errors = np.zeros(scores.shape[1]), np.zeros(scores.shape[1])
    full = scores[:, -1].astype(np.float64)
    for k in range(scores.shape[1]):  # one at a time, so that memory does not grow with the widths
        difference = scores[:, k] - full
        means[k] = difference.mean()
        spread = difference.std(ddof=1) if len(difference) > 1 else abs(difference[0])
        errors[k] = spread / math.sqrt(len(difference))
    return means, errors


def _by_class(right: np.ndarray, y: np.ndarray, classes: int) -> np.ndarray:
    """Share of right answers by class: (n, widths) flags to (widths, classes); NaN where a class has no example."""
    members = np.bincount(y, minlength=classes).astype(float)
    order = np.argsort(y, kind="stable")
    counts = np.zeros((classes, right.shape[1]))
    present = np.flatnonzero(members)
    # sums of runs of rows once the rows are sorted by class
    starts = np.concatenate([[0], np.cumsum(members[present])[:-1]]).astype(int)
    counts[present] = np.add.reduceat(right[order].astype(np.int64), starts, axis=0)
    with np.errstate(invalid="ignore"):
        shares: np.ndarray = (counts / members[:, None]).T
    return shares


def _macs(family: Family, data: Dataset, named: list[dict[str, int]], evaluator: Evaluator) -> list[int]:
    """Multiply-accumulates of one example at each width; in closed form for a chain."""
    import torch

    example = torch.zeros((1, *data.input.shape))
    if evaluator.chain is None:
        return [family.macs(example, **widths) for widths in named]
    fixed = family.macs(example) - evaluator.chain.macs(family.layout, family.layout.full)
    return [fixed + evaluator.chain.macs(family.layout, widths) for widths in named]


def predictions_table(task: Task, test: Split, by_width: dict[int, np.ndarray]) -> pd.DataFrame:
    """Build predictions.parquet: `example`, its target (`label`) and the prediction of each width (`w<width>`).

    Parameters
    ----------
    task
        The run's task.
    test
        The test part.
    by_width
        Predictions: (n,) classes or (n, outputs) numbers.
    """
    import pandas as pd

    widths = sorted(by_width)
    if not task.classes:
        kept = {"label": test.y, **{f"w{width}": by_width[width] for width in widths}}
        if task.bounded:  # rounded as they are shown, in a quarter of the space
            kept = {name: np.round(255 * np.clip(value, 0, 1)).astype(np.uint8) for name, value in kept.items()}
        split = {f"{name}.{k}": value[:, k] for name, value in kept.items() for k in range(value.shape[1])}
        return pd.DataFrame({"example": np.arange(test.n, dtype=np.int32), **split})
    by_size = [by_width[width] for width in widths]
    # likely-alike rows together, which makes the file far smaller
    order = np.lexsort((*by_size[:: max(1, len(widths) // 8)], by_size[-1], test.y))
    columns = {f"w{width}": by_width[width][order] for width in widths}
    label = test.y[order].astype(by_size[0].dtype)
    return pd.DataFrame({"example": order.astype(np.int32), "label": label, **columns})
