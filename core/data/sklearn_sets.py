"""Data sets that scikit-learn carries or fetches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from core.data.arrays import from_arrays, split_by_class
from core.data.dataset import Dataset, InputFormat, Split
from core.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

MOST_CELLS = 200_000_000
MOST_CATEGORIES = 100
SHARES = {"test": 0.2, "validation": 0.2}


def digits() -> Dataset:
    """1,797 handwritten digits of 8 x 8 pixels, embedded in scikit-learn."""
    from sklearn.datasets import load_digits

    found = load_digits()
    x, y = found.images.astype(np.uint8), found.target.astype(np.int64)
    rows = split_by_class(y, SHARES, seed=0)
    return Dataset(
        name="digits",
        task="classification",
        **{part: Split(x=x[r], y=y[r]) for part, r in rows.items()},
        labels=tuple(str(k) for k in range(10)),
        input=InputFormat(
            kind="image", shape=(8, 8), dtype="uint8", low=0.0, high=16.0,
            meaning="8 x 8 pixels, 0 is empty and 16 is full ink",
        ),
        source="1,797 handwritten digits of 8 x 8 pixels (UCI Optical Recognition, as in scikit-learn)",
    )  # fmt: skip


def openml(name: str, data_home: str | None = None) -> Dataset:
    """A table from OpenML by name or number: numeric columns as they are, categories as one column each.

    A missing number becomes the median of its column's training rows. Raises UserError where OpenML can't be reached,
    the table is too large, or its target is no label.
    """
    from sklearn.datasets import fetch_openml

    which: dict[str, Any] = {"data_id": int(name)} if name.isdigit() else {"name": name, "version": "active"}
    try:
        found = fetch_openml(**which, as_frame=True, parser="auto", data_home=data_home)
    except Exception as error:  # URLError, HTTPError, OpenMLError, a parser's own: all mean the same to a person
        reason = str(error).splitlines()[0][:160] if str(error) else type(error).__name__
        raise UserError(
            f"could not get {name!r} from OpenML ({reason}); check its name and the network, or use --data digits"
        ) from None
    frame, target = found.data, found.target
    if target is None or getattr(target, "ndim", 1) != 1:
        raise UserError(f"{name!r} has no single target column; choose a table made for classification")
    if frame.shape[0] * frame.shape[1] > MOST_CELLS:
        raise UserError(f"{name!r} has {frame.shape[0]:,} x {frame.shape[1]:,} cells, more than {MOST_CELLS:,}")
    kept = target.notna().to_numpy()
    frame, target = frame[kept], target[kept]
    y = target.to_numpy()
    y = y.astype(str) if y.dtype.kind not in "iuf" else y
    values, columns = _numbers(frame, name)
    data_set = from_arrays(np.nan_to_num(values), y, name=f"openml:{name}", columns=columns, validation=0.2, test=0.2)
    rows = split_by_class(np.unique(y, return_inverse=True)[1].astype(np.int64), SHARES, seed=0)["train"]
    missing = np.isnan(values)
    if missing.any():
        median = np.nan_to_num(np.nanmedian(np.where(missing[rows].all(0), 0.0, values[rows]), axis=0))
        filled = np.where(missing, median, values).astype(np.float32)
        data_set = from_arrays(filled, y, name=f"openml:{name}", columns=columns, validation=0.2, test=0.2)
    return data_set


def _numbers(frame: pd.DataFrame, name: str) -> tuple[np.ndarray, list[str]]:
    """Columns as float32 with NaN where a number is missing, and their names."""
    import pandas as pd

    parts: list[np.ndarray] = []
    columns: list[str] = []
    for column in frame.columns:
        values = frame[column]
        if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
            parts.append(values.to_numpy(dtype=np.float32, na_value=np.nan)[:, None])
            columns.append(str(column))
            continue
        categories = sorted(values.dropna().astype(str).unique())
        if len(categories) > MOST_CATEGORIES:
            raise UserError(
                f"column {column!r} of {name!r} has {len(categories)} categories, more than {MOST_CATEGORIES}; "
                "choose another table"
            )
        texts = values.astype(str).to_numpy()
        parts += [(texts == category).astype(np.float32)[:, None] for category in categories]
        columns += [f"{column} is {category}" for category in categories]
    if not parts:
        raise UserError(f"{name!r} has no columns to learn from")
    return np.concatenate(parts, axis=1), columns
