"""A user's own arrays as a data set."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from core.data.dataset import Dataset, InputFormat, Split
from core.errors import UserError
from core.tasks.registry import task as task_named

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
    test_arrays: tuple[Any, Any] | None = None,
    columns: Sequence[str] = (),
    kind: str | None = None,
    source: str = "",
    task: str = "classification",
) -> Dataset:
    """Split examples (by class, where there are classes), at random but always the same for one seed.

    Parameters
    ----------
    x
        (n, ...) anything NumPy can take, a DataFrame or a tensor included; kept if uint8, else made float32.
    y
        (n,) labels of any kind that compares: whole numbers, texts. For `regression` (n,) or (n, outputs) numbers.
    labels
        Names for the classes, in the order of the sorted labels (numbers by value, also where they are texts); for
        `regression` names of the numbers that are predicted.
    validation, test
        Shares of the examples; a class with three examples or more is in every part.
    test_arrays
        `(x, y)` for the test part as it is; then only the validation part is split off `x`.
    columns
        Names of a table's columns; a DataFrame's own by default.
    task
        `classification`, `regression` (numbers), or `image` (the colours of a picture's pixels, each in [0, 1]).

    Raises UserError where lengths differ, a value is missing, or there are fewer than two classes.

    Examples
    --------
    >>> data = from_arrays([[0.0], [1.0]] * 10, ["no", "yes"] * 10)
    >>> data.labels, data.train.n
    (('no', 'yes'), 12)
    """
    if not len(columns) and hasattr(x, "columns"):
        columns = [str(column) for column in x.columns]
    values = _inputs(x, columns, "x")
    shares = {"validation": validation} if test_arrays is not None else {"test": test, "validation": validation}
    if task_named(task).classes:
        codes, classes = _codes(_labels(y, "y"), values, "")
        rows = split_by_class(codes, shares, seed)
    else:
        named = [y.name] if labels is None and isinstance(getattr(y, "name", None), str) else labels
        codes = _targets(y, values, "")
        classes = list(named if named is not None else _output_names(y, codes.shape[1]))
        rows = split_by_class(np.zeros(len(codes), np.int64), shares, seed)
    parts = {part: Split(x=np.ascontiguousarray(values[r]), y=codes[r]) for part, r in rows.items()}
    total = len(codes)
    if test_arrays is not None:
        parts["test"] = _given_test(*test_arrays, classes, columns, values, task)
        total += parts["test"].n
    names = tuple(str(label) for label in (labels if labels is not None else classes))
    if len(names) != (len(classes) if task_named(task).classes else codes.shape[1]):
        count = len(classes) if task_named(task).classes else codes.shape[1]
        raise UserError(f"{len(names)} labels are named, the examples have {count}; name each, or leave it out")
    shape, is_byte = values.shape[1:], values.dtype == np.uint8
    return Dataset(
        name=name,
        task=task,
        train=parts["train"],
        validation=parts["validation"],
        test=parts["test"],
        labels=names,
        input=InputFormat(
            kind=kind or ("table" if len(columns) else "array"),
            shape=shape,
            dtype=str(values.dtype),
            low=0.0 if is_byte else None,
            high=255.0 if is_byte else None,
            columns=tuple(str(column) for column in columns),
            meaning=f"{len(columns)} columns" if len(columns) else " x ".join(map(str, shape)) + " values",
        ),
        source=source or f"{total:,} examples of {name}",
    )


def as_dataset(data: Any) -> Dataset:
    """A `Dataset` as it is, or one made from `(x, y)` arrays. Raises UserError for anything else."""
    if isinstance(data, Dataset):
        return data
    if not isinstance(data, (tuple, list)) or len(data) != 2:
        raise UserError(
            f"the data are a {type(data).__name__}; give a Dataset, as core.data.load does, or (x, y) arrays"
        )
    return from_arrays(*data)


def split_by_class(y: np.ndarray, shares: dict[str, float], seed: int) -> dict[str, np.ndarray]:
    """Rows of each part and of `train`, sorted; every class keeps its share.

    A class with a row for every part is in every part; one with fewer is in `train` alone.
    Raises UserError where shares leave nothing to train on.
    """
    if any(not 0 < share < 1 for share in shares.values()) or sum(shares.values()) >= 1:
        given = ", ".join(f"{name} {share}" for name, share in shares.items())
        raise UserError(f"shares ({given}) must each be above 0 and together below 1, to leave something to train on")
    rng = np.random.default_rng(seed)
    parts: dict[str, list[np.ndarray]] = {name: [] for name in (*shares, "train")}
    for code in np.unique(y):
        rows = rng.permutation(np.flatnonzero(y == code))
        start, later = 0, len(shares)  # parts after this one, which want a row each
        for name, share in shares.items():
            room = len(rows) - start - later
            count = min(max(1, round(share * len(rows))), room) if len(rows) > len(shares) else 0
            parts[name].append(rows[start : start + count])
            start, later = start + count, later - 1
        parts["train"].append(rows[start:])
    found = {name: np.sort(np.concatenate(rows)) for name, rows in parts.items()}
    for name, rows in found.items():
        if not len(rows):
            raise UserError(f"{len(y)} examples are too few for a {name} part; give at least three of each class")
    return found


def _given_test(x: Any, y: Any, classes: list[Any], columns: Sequence[str], like: np.ndarray, task: str) -> Split:
    """The test part from a person's own arrays, with the classes of the training part."""
    values = _inputs(x, columns, "the test part's x")
    if task_named(task).classes:
        codes, names = _codes(_labels(y, "the test part's y"), values, "the test part's ", at_least=1)
        known = {label: code for code, label in enumerate(classes)}
        strange = [label for label in names if label not in known]
        if strange:
            raise UserError(
                f"the test part has label {strange[0]!r}, which no training example has; leave it out there"
            )
        targets = np.array([known[label] for label in names], np.int64)[codes]
    else:
        targets = _targets(y, values, "the test part's ")
    if values.shape[1:] != like.shape[1:] or values.dtype != like.dtype:
        raise UserError(
            f"the test part's examples are {values.dtype} of shape {values.shape[1:]}, the training part's "
            f"{like.dtype} of shape {like.shape[1:]}; prepare both the same way"
        )
    return Split(x=np.ascontiguousarray(values), y=targets)


def _array(given: Any, what: str) -> np.ndarray:
    try:
        return np.asarray(given)
    except (TypeError, ValueError, RuntimeError) as error:  # ragged lists; tensors with a gradient or on a GPU
        reason = str(error).partition("\n")[0][:120]
        raise UserError(f"{what} can't be made a NumPy array ({reason}); give one, or rows of equal length") from None


def _inputs(x: Any, columns: Sequence[str], what: str) -> np.ndarray:
    """`x` as uint8 or finite float32, (n, ...)."""
    values = _array(x, what)
    if values.ndim < 2:
        raise UserError(f"{what} has shape {values.shape}; want (n, ...), for one value an example reshape(-1, 1)")
    if values.dtype == np.uint8:
        return values
    if values.dtype.kind not in "biufO":
        raise UserError(f"{what} holds {values.dtype} values; give numbers")
    try:
        with np.errstate(over="ignore"):  # told below, with the place
            values = values.astype(np.float32)
    except (TypeError, ValueError):
        raise UserError(f"{what} holds values that are missing or no numbers; give numbers") from None
    finite = np.isfinite(values.reshape(len(values), -1)) if values.size else np.ones((1, 1), bool)
    if not finite.all():
        row, place = divmod(int(np.argmin(finite)), finite.shape[1])
        where = f"column {str(columns[place])!r}" if place < len(columns) else f"value {place}"
        raise UserError(
            f"{what} is missing, infinite or too large in row {row}, {where}; fill in or drop such values first"
        )
    return values


def _labels(y: Any, what: str) -> np.ndarray:
    """`y` as one label an example, (n,)."""
    found = _array(y, what)
    if found.ndim == 2 and found.shape[1] == 1:
        found = found[:, 0]  # a table with one column
    if found.ndim != 1:
        raise UserError(f"{what} has shape {found.shape}; want one label for each example, (n,)")
    if found.dtype.kind == "f" and not np.isfinite(found).all():
        raise UserError(f"{what} holds labels that are missing or not finite; drop those examples first")
    return found.astype(str) if found.dtype.kind == "S" else found


def _targets(y: Any, x: np.ndarray, whose: str) -> np.ndarray:
    """`y` as finite numbers, (n, outputs) float32."""
    found = _array(y, f"{whose}y")
    try:
        found = found.astype(np.float32)
    except (TypeError, ValueError):
        raise UserError(f"{whose}y holds values that are missing or no numbers; give the numbers to predict") from None
    found = found[:, None] if found.ndim == 1 else found
    if found.ndim != 2 or not found.shape[1]:
        raise UserError(f"{whose}y has shape {found.shape}; want (n,) or (n, outputs)")
    if len(x) != len(found):
        raise UserError(f"{whose}x has {len(x):,} examples and {whose}y {len(found):,} targets; want as many of each")
    if not np.isfinite(found).all():
        raise UserError(f"{whose}y holds values that are missing, infinite or too large; drop those examples first")
    return np.ascontiguousarray(found)


def _output_names(y: Any, count: int) -> list[str]:
    """Names of the numbers that are predicted: a DataFrame's columns, else `value` or `value 1`, `value 2`, ..."""
    if hasattr(y, "columns"):
        return [str(column) for column in y.columns]
    return ["value"] if count == 1 else [f"value {k + 1}" for k in range(count)]


def _codes(y: np.ndarray, x: np.ndarray, whose: str, at_least: int = 2) -> tuple[np.ndarray, list[Any]]:
    """Labels as codes 0.. (int64) in their natural order, and the labels in that order."""
    if len(x) != len(y):
        raise UserError(f"{whose}x has {len(x):,} examples and {whose}y {len(y):,} labels; want as many of each")
    try:
        found, codes = np.unique(y, return_inverse=True)
    except TypeError:
        raise UserError(
            f"{whose}y holds labels that are missing or can't be compared; use only numbers or only texts"
        ) from None
    if not at_least <= len(found) <= MOST_CLASSES:
        hint = "; for a quantity say task='regression'" if len(found) > MOST_CLASSES else ""
        raise UserError(f"{whose}y holds {len(found)} different labels; want {at_least} to {MOST_CLASSES}{hint}")
    whole = y.dtype.kind == "f" and all(float(value).is_integer() for value in found)
    labels = [int(value) if whole else value for value in found.tolist()]
    order = natural_order(labels)
    return np.argsort(order)[codes].astype(np.int64), [labels[k] for k in order]


def natural_order(labels: Sequence[Any]) -> list[int]:
    """Positions that sort `labels` as people do: numbers by value, `class 2` before `class 10`."""
    if not all(isinstance(label, str) for label in labels):
        return list(range(len(labels)))  # NumPy has sorted them by value
    try:
        numbers = [float(label) for label in labels]
    except ValueError:
        numbers = [math.nan]
    if all(math.isfinite(number) for number in numbers):
        return sorted(range(len(labels)), key=lambda k: (numbers[k], labels[k]))
    # Pieces at odd places are digits, so that equal places always compare
    pieces = [re.split(r"([0-9]{1,18})", label) for label in labels]
    keys = [[int(piece) if k % 2 else piece for k, piece in enumerate(row)] for row in pieces]
    return sorted(range(len(labels)), key=lambda k: (keys[k], labels[k]))
