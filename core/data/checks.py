"""Warnings about data that mislead: figures that rest on few rows, labels that are none, columns that tell the label.

Each is one sentence that names what came and what to do; nothing is changed, since only a person can decide. All of
them together take a few seconds on a million rows.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from core.tasks.registry import task

if TYPE_CHECKING:
    from core.data.dataset import Dataset, Split

FEW_TEST_ROWS = 10
SAMPLE = 20_000  # training rows that columns are judged by
MANY_CLASSES, FEW_ROWS = 20, 20  # a label with more classes of fewer rows is more likely a measurement or a name
TELLS = 0.9  # share of labels that a column alone tells
SHARED = 0.01  # share of test rows that are training rows too; one row alone is no matter
MISSING = ("", "nan", "<na>", "nat", "na", "n/a", "null", "none", "?")
STEPS = 1000  # distinct float32 values that a column's range should have room for


def warnings(data: Dataset) -> tuple[str, ...]:
    """Sentences about whatever may mislead in the data; none for most."""
    checks = [_few_rows, _one_class, _alike_labels, _missing_labels, _many_classes] if task(data.task).classes else []
    if not task(data.task).classes:
        checks = [_few_test_rows]
    if data.picture is None:
        checks.append(_shared_rows)
    if len(data.input.shape) == 1 and data.picture is None:
        checks += [_constant_columns, _rounded_columns, _telling_columns]
    return tuple(sentence for check in checks for sentence in check(data))


def _few_test_rows(data: Dataset) -> Iterator[str]:
    if data.test.n < FEW_TEST_ROWS:
        yield f"the test part has only {data.test.n} rows, so its figures say little; add examples"


def _few_rows(data: Dataset) -> Iterator[str]:
    """Classes whose figures rest on few test rows, or that can't be learned."""
    counts = {part: np.bincount(data.part(part).y, minlength=data.classes) for part in ("train", "test")}
    mend = "add examples, or merge or drop classes"
    for part, result in (("train", "it can't be learned"), ("test", "no figure says anything of it")):
        none = np.flatnonzero(counts[part] == 0).tolist()
        if none:
            named = _listed([_quoted(data.labels[code]) for code in none])
            yield f"no {'training' if part == 'train' else part} row is of class {named}, so {result}; {mend}"
    few = np.flatnonzero((counts["test"] > 0) & (counts["test"] < FEW_TEST_ROWS)).tolist()
    if few:
        named = _listed([f"{_quoted(data.labels[code])} {counts['test'][code]}" for code in few])
        yield (
            f"fewer than {FEW_TEST_ROWS} test rows for {len(few)} of {data.classes} classes ({named}), so their "
            f"figures say little; {mend}"
        )


def _one_class(data: Dataset) -> Iterator[str]:
    codes = np.unique(data.train.y)
    if len(codes) == 1:
        yield f"every training row is of class {_quoted(data.labels[codes[0]])}; give examples of another class too"


def _alike_labels(data: Dataset) -> Iterator[str]:
    groups = defaultdict(list)
    for label in data.labels:
        groups[_folded(label)].append(label)
    for labels in groups.values():
        if len(labels) > 1 and max(map(len, labels)) > 1:  # single letters may well be told apart by case
            yield (
                f"classes {_listed(list(map(_quoted, labels)))} differ only in case, spaces or the way a number is "
                "written; if they are one class, write them alike"
            )


def _folded(label: str) -> str:
    try:
        return repr(float(label))
    except ValueError:
        return re.sub(r"[\s_]+", " ", unicodedata.normalize("NFKC", label)).strip().casefold()


def _missing_labels(data: Dataset) -> Iterator[str]:
    for label in data.labels:
        if label.strip().casefold() in MISSING:
            yield f"class {_quoted(label)} looks like a missing label; if it is one, drop its examples"


def _many_classes(data: Dataset) -> Iterator[str]:
    """A measurement or a name of each row, used as a label."""
    rows = sum(part.n for part in (data.train, data.validation, data.test))
    try:
        numbers = np.array([float(label) for label in data.labels])
    except ValueError:
        numbers = np.array([])
    if len(numbers) > FEW_TEST_ROWS and not np.array_equal(numbers, np.round(numbers)):
        yield (
            f"the {data.classes} classes are numbers with decimals, {_listed(data.labels)}: if they are a measurement, "
            "choose task='regression', or classes that are ranges of it"
        )
    elif data.classes > MANY_CLASSES and rows < FEW_ROWS * data.classes:
        kind = "a measurement" if len(numbers) else "a name or number of each row"
        yield (
            f"{data.classes} classes share {rows:,} rows, {rows / data.classes:.1f} each: if the label is {kind}, "
            "choose another column"
        )


def _shared_rows(data: Dataset) -> Iterator[str]:
    """Test rows that are training rows too, labels included."""
    if data.train.x is data.test.x:
        return
    test = _hashes(data.test)
    shared = set(test) & set(_hashes(data.train))
    count = sum(row in shared for row in test) if shared else 0
    if count >= max(2, SHARED * len(test)):
        yield (
            f"{count:,} of {len(test):,} test rows ({count / len(test):.0%}) are training rows too, with their "
            "label, so figures measure memory; drop doubled rows first"
        )


def _hashes(part: Split) -> list[int]:
    """A hash of each row's values and target, of 64 bits."""
    hashes: list[int] = []
    rows = max(1, 2**22 // max(1, part.x[:1].nbytes))
    for start in range(0, part.n, rows):
        x, y = (np.ascontiguousarray(array[start : start + rows]) for array in (part.x, part.y))
        flat = [array.reshape(len(array), -1).view(np.uint8) for array in (x, y)]
        joined = np.concatenate(flat, axis=1)  # (rows, bytes)
        hashes += map(hash, joined.view(f"V{joined.shape[1]}").ravel().tolist())
    return hashes


def _constant_columns(data: Dataset) -> Iterator[str]:
    if not data.input.columns:
        return  # of pixels or codes without a name, some often never change
    x = data.train.x
    still = np.flatnonzero(x.min(axis=0) == x.max(axis=0)).tolist()
    if still:
        yield (
            f"{_columns(data, still)} constant in the training part; leave out such a column, or check how the table "
            "was read"
        )


def _rounded_columns(data: Dataset) -> Iterator[str]:
    """Columns that float32 can hardly tell apart, such as seconds since 1970."""
    if data.train.x.dtype != np.float32:
        return
    low, high = data.train.x.min(axis=0), data.train.x.max(axis=0)
    spacing = np.spacing(np.maximum(np.abs(low), np.abs(high)))
    coarse = np.flatnonzero((high > low) & (high - low < STEPS * spacing)).tolist()
    if coarse:
        yield (
            f"{_columns(data, coarse)} too large for changes so small to be kept in 32 bits; subtract the smallest "
            "value first"
        )


def _telling_columns(data: Dataset) -> Iterator[str]:
    """Columns that tell the label alone: a copy of it, or an id or row number of rows sorted by it."""
    rows = np.linspace(0, data.train.n - 1, min(SAMPLE, data.train.n)).astype(int)
    y = data.train.y[rows]
    if len(y) < FEW_TEST_ROWS or len(np.unique(y, axis=0)) < 2:
        return
    copies, ids = [], []
    for k in range(data.features):
        column = data.train.x[rows, k]
        order = np.argsort(column, kind="stable")
        sorted_column, sorted_y = column[order], y[order]
        if _is_copy(sorted_column, sorted_y):
            copies.append(k)
        elif _is_id(column, sorted_column) and _predicted_share(sorted_y) > TELLS:
            ids.append(k)
    if copies:
        yield (
            f"{_columns(data, copies)} as good as a copy of the label, one value for each; leave out a column that was "
            "made from the label"
        )
    if ids:
        yield (
            f"{_columns(data, ids)} different in every row and enough to tell over {TELLS:.0%} of the labels; leave "
            "out an id or row number"
        )


def _is_copy(column: np.ndarray, y: np.ndarray) -> bool:
    """Whether a sorted column has one value for each label and each label one value, with several rows of each."""
    changes = column[1:] != column[:-1]
    if y.ndim == 2:
        outputs = [y[:, k] for k in range(y.shape[1])]
        return bool(changes.any()) and any(np.array_equal(column, output) for output in outputs)
    distinct = int(changes.sum()) + 1
    return distinct == len(np.unique(y)) < len(y) / 2 and np.array_equal(changes, y[1:] != y[:-1])


def _is_id(column: np.ndarray, in_order: np.ndarray) -> bool:
    """Whether a column has only distinct values that are whole numbers, or that rise or fall from row to row."""
    if not (in_order[1:] != in_order[:-1]).all():
        return False
    steps = np.diff(column)
    return bool((steps > 0).all() or (steps < 0).all() or np.array_equal(column, np.round(column)))


def _predicted_share(y: np.ndarray) -> float:
    """Share of the labels, or of the numbers' variance, that the next row in this order tells beyond chance."""
    if y.ndim == 1:
        share = np.bincount(y) / len(y)
        chance = float(np.square(share).sum())
        return (float((y[1:] == y[:-1]).mean()) - chance) / (1 - chance)
    y = y.astype(np.float64)
    variance = y.var(axis=0).mean()
    return 1 - float(np.square(np.diff(y, axis=0)).mean() / (2 * variance)) if variance > 0 else 0.0


def _columns(data: Dataset, which: Sequence[int]) -> str:
    """The subject and verb of a sentence: `columns 'a' and 'b' are`."""
    names = data.input.columns
    noun = "column" if names else "value"
    listed = _listed([_quoted(names[k]) if names else str(k) for k in which])
    return f"{noun} {listed} is" if len(which) == 1 else f"{noun}s {listed} are"


def _quoted(name: str) -> str:
    return repr(name if len(name) <= 40 else f"{name[:37]}...")


def _listed(names: Sequence[str], most: int = 4) -> str:
    """Names in a sentence, the first few of many."""
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most:,} more"
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
