"""A run's stored held-out examples, read once for all visitors; no Streamlit here."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from app.charts import images as charts_images
from app.store import cache
from core.errors import RunError
from core.runs.run import Run


@dataclass(frozen=True, kw_only=True, eq=False)
class Stored:
    """Held-out examples; arrays are shared, don't change them."""

    x: np.ndarray  # (n, *input shape), raw values
    y: np.ndarray  # (n,) classes, or (n, outputs) numbers
    index: np.ndarray  # (n,), row in the test part
    images: np.ndarray | None  # (n, height, width, 1 or 3) in [0, 1], where they are pictures

    def __len__(self) -> int:
        return len(self.y)


def stored(run: Run) -> Stored:
    """All stored examples. Raises RunError where they are damaged, or are none of the test part."""
    return _stored(run.path, run.stamp)


def is_cloud(run: Run, x: np.ndarray) -> bool:
    """Whether examples, (n, ...), are clouds of points in space."""
    return run.record.input.kind == "points" and x.ndim == 3 and x.shape[2] == 3


@lru_cache(maxsize=8)
def _stored(path: Path, stamp: tuple[Any, ...]) -> Stored:
    run = cache.opened(path, stamp)
    found, form, tested = run.examples(), run.record.input, len(run.targets())
    index = found["index"]
    if len(index) and (index.dtype.kind not in "iu" or index.min() < 0 or index.max() >= tested):
        raise RunError(f"the stored examples of run {run.id} are not of its test part; restore them from a copy")
    images = charts_images.as_images(found["x"], form.low, form.high) if form.kind == "image" and len(index) else None
    return Stored(x=found["x"], y=found["y"], index=index, images=images)
