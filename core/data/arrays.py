"""A user's own arrays as a data set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from core.data.dataset import Dataset, InputFormat, Split
from core.errors import UserError

MOST_CLASSES = 1000


def from_arrays(
    x: Any,
    y: Any,
    *,
    labels: Sequence[str] | None = None,
    name: str = "custom",
    seed: int = 0,
    validation: float = 0.15,
    test: float = 0.15,
    columns: Sequence[str] = (),
    kind: str | None = None,
    source: str = "",
) -> Dataset:
    """Split examples by class, at random but always the same for one seed.

    Parameters
    ----------
    x
        (n, ...) anything NumPy can take; kept if uint8, else made float32.
    y
        (n,) labels of any kind that compares: whole numbers, texts.
    labels
        Names for the classes, in the order of the sorted labels.
    validation, test
        Shares of the examples.

    Raises UserError where lengths differ, a value is missing, or there are fewer than two classes.
    """
    values, codes, found = np.asarray(x), *_classes(np.asarray(y))
    if values.ndim < 2 or len(values) != len(codes):
        raise UserError(f"x has shape {values.shape} and y {len(codes)} labels; want (n, ...) and n")
    if values.dtype != np.uint8:
        try:
            values = values.astype(np.float32)
        except (TypeError, ValueError):
            raise UserError(f"x holds {values.dtype} values; give numbers") from None
        bad = np.argwhere(~np.isfinite(values.reshape(len(values), -1)))
        if len(bad):
            where = f"column {columns[bad[0][1]]!r}" if columns else f"value {bad[0][1]}"
            raise UserError(f"x is not finite in row {bad[0][0]}, {where}; fill in or drop missing values first")
    names = tuple(str(label) for label in (labels if labels is not None else found))
    if len(names) != len(found):
        raise UserError(f"{len(names)} labels are named, the examples have {len(found)}")
    parts = split_by_class(codes, {"test": test, "validation": validation}, seed)
    kind = kind or ("table" if columns else "array")
    return Dataset(
        name=name,
        task="classification",
        **{part: Split(x=np.ascontiguousarray(values[rows]), y=codes[rows]) for part, rows in parts.items()},
        labels=names,
        input=InputFormat(
            kind=kind,
            shape=values.shape[1:],
            dtype=str(values.dtype),
            low=0.0 if values.dtype == np.uint8 else None,
            high=255.0 if values.dtype == np.uint8 else None,
            columns=tuple(columns),
            meaning=f"{len(columns)} columns" if columns else " x ".join(map(str, values.shape[1:])) + " values",
        ),
        source=source or f"{len(codes):,} examples of {name}",
    )


def split_by_class(y: np.ndarray, shares: dict[str, float], seed: int) -> dict[str, np.ndarray]:
    """Rows of each part and of `train`, sorted; every class keeps its share, and at least one row where it has three.

    Raises UserError where shares leave nothing to train on.
    """
    if any(not 0 < share < 1 for share in shares.values()) or sum(shares.values()) >= 1:
        raise UserError(f"shares {shares} must be above 0 and leave something to train on")
    rng = np.random.default_rng(seed)
    parts: dict[str, list[np.ndarray]] = {name: [] for name in (*shares, "train")}
    for code in np.unique(y):
        rows = rng.permutation(np.flatnonzero(y == code))
        start = 0
        for name, share in shares.items():
            count = max(round(share * len(rows)), 1 if len(rows) > len(shares) else 0)
            parts[name].append(rows[start : start + count])
            start += count
        parts["train"].append(rows[start:])
    found = {name: np.sort(np.concatenate(rows)) for name, rows in parts.items()}
    for name, rows in found.items():
        if not len(rows):
            raise UserError(f"{len(y)} examples are too few for a {name} part; give at least three of each class")
    return found


def _classes(y: np.ndarray) -> tuple[np.ndarray, list[Any]]:
    """Labels as codes 0.. in their sorted order, and the labels."""
    if y.ndim != 1:
        raise UserError(f"y has shape {y.shape}; want one label for each example, (n,)")
    if y.dtype.kind == "f" and not np.isfinite(y).all():
        raise UserError("y holds labels that are not finite; drop those examples first")
    try:
        found, codes = np.unique(y, return_inverse=True)
    except TypeError:
        raise UserError("y holds labels of kinds that can't be compared; use only numbers or only texts") from None
    if not 2 <= len(found) <= MOST_CLASSES:
        hint = "; this looks like a quantity, not a label" if len(found) > MOST_CLASSES else ""
        raise UserError(f"y holds {len(found)} different labels; want 2 to {MOST_CLASSES}{hint}")
    labels = (
        [int(v) if v.dtype.kind == "f" and float(v).is_integer() else v for v in found]
        if y.dtype.kind == "f"
        else list(found)
    )
    return codes.astype(np.int64), labels
