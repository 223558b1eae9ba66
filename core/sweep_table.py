"""The two tables of a sweep, from what every width predicted: see `core.sweep` for their columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from core.family import Family
from core.record import path_widths
from core.runs import Run
from core.tasks import wilson_interval

if TYPE_CHECKING:
    import pandas as pd

    from core.data import Dataset, Split
    from core.evaluate import Evaluator, Scores

NUMBERS = [
    "params", "macs", "bytes", "n", "loss", "accuracy", "accuracy_low", "accuracy_high", "validation_n",
    "validation_loss", "validation_accuracy", "validation_accuracy_low", "validation_accuracy_high",
]  # fmt: skip


def metrics_table(
    run: Run, family: Family, data: Dataset, widths: list[int], found: dict[str, Scores], evaluator: Evaluator
) -> pd.DataFrame:
    """A row for each of `widths`; `found` holds what they predicted of the validation and the test part."""
    import pandas as pd

    y, n, validation_n = data.test.y, data.test.n, data.validation.n
    right = found["test"].predictions == y[:, None]  # (n, widths)
    correct = right.sum(0)
    members = np.bincount(y, minlength=len(data.labels)).astype(float)
    order = np.argsort(y, kind="stable")
    # correct answers by class: sums of runs of rows once the rows are sorted by class
    by_class = np.zeros((len(data.labels), len(widths)))
    present = np.flatnonzero(members)
    starts = np.concatenate([[0], np.cumsum(members[present])[:-1]]).astype(int)
    by_class[present] = np.add.reduceat(right[order].astype(np.int64), starts, axis=0)
    with np.errstate(invalid="ignore"):
        per_class = by_class / members[:, None]
    intervals = [wilson_interval(int(c), n) for c in correct]
    validation_right = (found["validation"].predictions == data.validation.y[:, None]).sum(0)
    named = [path_widths(run.layout, width) for width in widths]
    return pd.DataFrame(
        {
            "width": widths,
            **{f"width_{name}": [w[name] for w in named] for name in run.layout.widths},
            "params": [run.layout.params(w) for w in named],
            "macs": _macs(family, data, named, evaluator),
            "bytes": [run.layout.file_bytes(w) for w in named],
            "n": n,
            "loss": found["test"].loss / n,
            "accuracy": correct / n,
            "accuracy_low": [low for low, _ in intervals],
            "accuracy_high": [high for _, high in intervals],
            "per_class_accuracy": list(per_class.T),
            "validation_n": validation_n,
            "validation_loss": found["validation"].loss / validation_n,
            "validation_accuracy": validation_right / validation_n,
            "validation_accuracy_low": [wilson_interval(int(c), validation_n)[0] for c in validation_right],
            "validation_accuracy_high": [wilson_interval(int(c), validation_n)[1] for c in validation_right],
        }
    )


def _macs(family: Family, data: Dataset, named: list[dict[str, int]], evaluator: Evaluator) -> list[int]:
    """Multiply-accumulates of one example at each width; in closed form for a chain."""
    import torch

    example = torch.zeros((1, *data.input.shape))
    if evaluator.chain is None:
        return [family.macs(example, **widths) for widths in named]
    fixed = family.macs(example) - evaluator.chain.macs(family.layout, family.layout.full)
    return [fixed + evaluator.chain.macs(family.layout, widths) for widths in named]


def predictions_table(test: Split, found: dict[int, np.ndarray]) -> pd.DataFrame:
    """Example, label, and a column for each width; likely-alike rows together, which makes the file far smaller."""
    import pandas as pd

    widths = sorted(found)
    by_size = [found[width] for width in widths]
    order = np.lexsort((*by_size[:: max(1, len(widths) // 8)], by_size[-1], test.y))
    columns = {f"w{width}": found[width][order] for width in widths}
    label = test.y[order].astype(by_size[0].dtype)
    return pd.DataFrame({"example": order.astype(np.int32), "label": label, **columns})
