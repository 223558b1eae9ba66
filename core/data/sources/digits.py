"""8 x 8 handwritten digits, embedded in scikit-learn."""

from __future__ import annotations

import numpy as np

from core.data.arrays import split_by_class
from core.data.dataset import Dataset, Split
from core.data.input_format import InputFormat


def digits() -> Dataset:
    """1,797 handwritten digits of 8 x 8 pixels, embedded in scikit-learn."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    x, y = bunch.images.astype(np.uint8), bunch.target.astype(np.int64)
    rows = split_by_class(y, {"test": 0.2, "validation": 0.2}, seed=0)
    parts = {part: Split(x=x[r], y=y[r]) for part, r in rows.items()}
    return Dataset(
        name="digits",
        task="classification",
        train=parts["train"],
        validation=parts["validation"],
        test=parts["test"],
        labels=tuple(str(k) for k in range(10)),
        input=InputFormat(
            kind="image", shape=(8, 8), dtype="uint8", low=0.0, high=16.0,
            meaning="8 x 8 pixels, 0 is empty and 16 is full ink",
        ),
        source="1,797 handwritten digits of 8 x 8 pixels (UCI Optical Recognition, as in scikit-learn)",
    )  # fmt: skip
