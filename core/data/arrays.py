"""A person's own arrays or table as a data set, split into its three parts."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from core.data.dataset import Dataset, Split
from core.data.input_format import InputFormat
from core.data.values import as_pandas, column_names, numbers
from core.data.values import labels as read_labels
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
    """Split a person's own examples into three parts, by class where there are classes, the same for equal seeds.

    Parameters
    ----------
    x
        (n, ...) numbers: an array, nested lists, a tensor, or a table of pandas, Arrow or Polars. Kept if uint8, else
        made float32.
    y
        (n,) labels, all texts or all numbers. For `regression` (n,) or (n, outputs) numbers.
    labels
        Names for the classes, in the order of the sorted labels (numbers by value, also where they are texts); for
        `regression` names of the numbers that are predicted.
    name, source
        Name of the data set, and one sentence on its origin; both are stored with a run.
    seed
        Decides which example is in which part.
    validation, test
        Shares of the examples; a class with three examples or more is in every part.
    test_arrays
        `(x, y)` for the test part as it is; then only the validation part is split off `x`.
    columns
        Names of a table's columns; a table's own by default.
    kind
        Kind of input, one of `core.data.dataset.KINDS`; `table` where columns have names, else `array`.
    task
        `classification`, `regression` (numbers), or `image` (the colours of a picture's pixels, each in [0, 1]).

    Raises
    ------
    UserError
        Where lengths differ, a value is missing, masked or no number, columns or labels share a name, or there are
        fewer than two classes.

    Examples
    --------
    >>> data = from_arrays([[0.0], [1.0]] * 10, ["no", "yes"] * 10)
    >>> data.labels, data.train.n
    (('no', 'yes'), 12)
    """
    x, y = as_pandas(x), as_pandas(y)
    columns = tuple(map(str, columns)) if len(columns) else column_names(x)
    has_classes = task_named(task).classes
    inputs = _inputs(x, columns, "")
    _check_index(x, y)
    shares = {"validation": validation} if test_arrays is not None else {"test": test, "validation": validation}
    if has_classes:
        codes, classes = _codes(y, len(inputs), "")
        rows = split_by_class(codes, shares, seed)
    else:
        codes = _targets(y, len(inputs), "")
        classes = list(column_names(y)) or _output_names(codes.shape[1])
        rows = split_by_class(np.zeros(len(codes), np.int64), shares, seed)
    names = _names(labels, [str(label) for label in classes], has_classes)
    parts = {part: Split(x=np.ascontiguousarray(inputs[r]), y=codes[r]) for part, r in rows.items()}
    if test_arrays is not None:
        parts["test"] = _given_test(*test_arrays, classes, columns, inputs, task)
    shape, is_byte = inputs.shape[1:], inputs.dtype == np.uint8
    return Dataset(
        name=name,
        task=task,
        train=parts["train"],
        validation=parts["validation"],
        test=parts["test"],
        labels=names,
        input=InputFormat(
            kind=kind or ("table" if columns else "array"),
            shape=shape,
            dtype=str(inputs.dtype),
            low=0.0 if is_byte else None,
            high=255.0 if is_byte else None,
            columns=columns,
            meaning=f"{len(columns)} columns" if columns else " x ".join(map(str, shape)) + " values",
        ),
        source=source or f"{sum(part.n for part in parts.values()):,} examples of {name}",
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
    """Split rows into the parts of `shares` and `train`, sorted; every class keeps its share.

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
        start, later = 0, len(shares)  # parts after this one, which need a row each
        for name, share in shares.items():
            room = len(rows) - start - later
            count = min(max(1, round(share * len(rows))), room) if len(rows) > len(shares) else 0
            parts[name].append(rows[start : start + count])
            start, later = start + count, later - 1
        parts["train"].append(rows[start:])
    split = {name: np.sort(np.concatenate(rows)) for name, rows in parts.items()}
    for name, rows in split.items():
        if not len(rows):
            raise UserError(f"{len(y)} examples are too few for a {name} part; give at least three of each class")
    return split


def _given_test(x: Any, y: Any, classes: list[Any], columns: tuple[str, ...], like: np.ndarray, task: str) -> Split:
    """The test part from a person's own arrays, with the classes and columns of the training part."""
    whose = "the test part's "
    x, y = as_pandas(x), as_pandas(y)
    inputs = _inputs(x, columns, whose)
    own = column_names(x)
    if own and columns and own != columns and len(own) == len(columns):
        at = next(k for k in range(len(own)) if own[k] != columns[k])
        raise UserError(
            f"{whose}column {at} is {own[at]!r}, the training part's {columns[at]!r}; put the columns in one order"
        )
    _check_index(x, y)
    if task_named(task).classes:
        codes, labels = _codes(y, len(inputs), whose, at_least=1)
        code_of = {label: code for code, label in enumerate(classes)}
        strange = [label for label in labels if label not in code_of]
        if strange:
            raise UserError(
                f"the test part has label {strange[0]!r}, which no training example has; leave it out there"
            )
        targets = np.array([code_of[label] for label in labels], np.int64)[codes]
    else:
        targets = _targets(y, len(inputs), whose)
    if inputs.shape[1:] != like.shape[1:] or inputs.dtype != like.dtype:
        raise UserError(
            f"the test part's examples are {inputs.dtype} of shape {inputs.shape[1:]}, the training part's "
            f"{like.dtype} of shape {like.shape[1:]}; prepare both the same way"
        )
    return Split(x=np.ascontiguousarray(inputs), y=targets)


def _inputs(x: Any, columns: tuple[str, ...], whose: str) -> np.ndarray:
    """Read inputs as uint8 or finite float32, (n, ...). Raises UserError."""
    inputs = numbers(x, f"{whose}x", columns)
    if inputs.ndim < 2:
        raise UserError(f"{whose}x has shape {inputs.shape}; give (n, ...), for one value an example reshape(-1, 1)")
    if not len(inputs):
        raise UserError(f"{whose}x has shape {inputs.shape}, without an example; give at least three of each class")
    return inputs


def _targets(y: Any, n: int, whose: str) -> np.ndarray:
    """Read the numbers to predict as float32, (n, outputs). Raises UserError."""
    targets = numbers(y, f"{whose}y", column_names(y)).astype(np.float32)
    targets = targets[:, None] if targets.ndim == 1 else targets
    if targets.ndim != 2 or not targets.shape[1]:
        raise UserError(f"{whose}y has shape {targets.shape}; give (n,) or (n, outputs)")
    if n != len(targets):
        raise UserError(f"{whose}x has {n:,} examples and {whose}y {len(targets):,} targets; give as many of each")
    return np.ascontiguousarray(targets)


def _output_names(count: int) -> list[str]:
    return ["value"] if count == 1 else [f"value {k + 1}" for k in range(count)]


def _codes(y: Any, n: int, whose: str, at_least: int = 2) -> tuple[np.ndarray, list[Any]]:
    """Encode labels as 0.. (int64) in their natural order, and list them in that order. Raises UserError."""
    given = read_labels(y, f"{whose}y")
    if n != len(given):
        raise UserError(f"{whose}x has {n:,} examples and {whose}y {len(given):,} labels; give as many of each")
    distinct, codes = np.unique(given, return_inverse=True)
    if not at_least <= len(distinct) <= MOST_CLASSES:
        hint = "; for a quantity choose task='regression'" if len(distinct) > MOST_CLASSES else ""
        raise UserError(f"{whose}y holds {len(distinct):,} different labels; give {at_least} to {MOST_CLASSES}{hint}")
    integral = given.dtype.kind == "f" and all(float(value).is_integer() for value in distinct)
    labels = [int(value) if integral else value for value in distinct.tolist()]
    order = natural_order(labels)
    return np.argsort(order)[codes].astype(np.int64), [labels[k] for k in order]


def _names(given: Sequence[str] | None, own: list[str], has_classes: bool) -> tuple[str, ...]:
    """Names of classes or outputs. Raises UserError for a wrong number, or names that would swap the classes' own."""
    if given is None:
        return tuple(own)
    names = tuple(map(str, given))
    if len(names) != len(own):
        raise UserError(f"{len(names)} labels are named, the examples have {len(own)}; name each, or leave it out")
    swapped = [k for k, name in enumerate(names) if name != own[k] and name in own]
    if has_classes and swapped:
        raise UserError(
            f"labels would call the class {own[swapped[0]]!r} {names[swapped[0]]!r}, which is another class; name them "
            f"in the order {', '.join(own[:5])}{' ...' if len(own) > 5 else ''}, or leave it out"
        )
    return names


def _check_index(x: Any, y: Any) -> None:
    """Refuse a table and labels of one index in two orders: rows are paired by position, not by index."""
    if not hasattr(x, "iloc") or not hasattr(y, "iloc") or len(x) != len(y) or x.index.equals(y.index):
        return
    if x.index.is_unique and not len(x.index.symmetric_difference(y.index)):
        raise UserError("the rows of x and y have one index in two orders; put them in one, as with y.loc[x.index]")


def natural_order(labels: Sequence[Any]) -> list[int]:
    """Sort `labels` as people do, and return their positions: numbers by value, `class 2` before `class 10`."""
    if not all(isinstance(label, str) for label in labels):
        return list(range(len(labels)))  # NumPy has sorted them by value
    try:
        values = [float(label) for label in labels]
    except ValueError:
        values = [math.nan]
    if all(math.isfinite(value) for value in values):
        return sorted(range(len(labels)), key=lambda k: (values[k], labels[k]))
    # pieces at odd places are digits, so that equal places always compare
    pieces = [re.split(r"([0-9]{1,18})", label) for label in labels]
    keys = [[int(piece) if k % 2 else piece for k, piece in enumerate(row)] for row in pieces]
    return sorted(range(len(labels)), key=lambda k: (keys[k], labels[k]))
