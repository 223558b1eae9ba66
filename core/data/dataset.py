"""Examples in three separate parts: to train on, to choose by, and to show figures for. NumPy only."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from core.errors import UserError
from core.tasks.registry import task

if TYPE_CHECKING:
    import torch

PARTS = ("train", "validation", "test")
KINDS = ("image", "table", "array", "points")
DTYPES = ("uint8", "float32")
MOST_FEATURES = 10**8
MOST_NAMES, LONGEST_NAME, MOST_CHARACTERS = 10_000, 1_000, 10**6  # labels or columns: they are kept and shown
BLOCK = 2**20  # values looked at in one go, so that no pass over the examples copies them all


@dataclass(frozen=True, kw_only=True)
class InputFormat:
    """What one example is, as the model takes it: raw values, not normalised. Raises UserError for what can't be."""

    kind: str  # "image", "table", "array", or "points": a cloud of points in space, (points, 3)
    shape: tuple[int, ...]  # of one example
    dtype: str  # "uint8" or "float32", as stored
    low: float | None = None  # range of the raw values, where it is known
    high: float | None = None
    columns: tuple[str, ...] = ()  # of a table
    meaning: str = ""  # one plain phrase

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UserError(f"inputs of kind {self.kind!r} are not known; choose one of {', '.join(KINDS)}")
        if self.dtype not in DTYPES:
            raise UserError(f"inputs of type {self.dtype!r} are not known; choose one of {', '.join(DTYPES)}")
        if not all(n > 0 for n in self.shape) or math.prod(self.shape) > MOST_FEATURES:
            raise UserError(f"an example of shape {self.shape} can't be used; want 1 to {MOST_FEATURES:,} values")
        if self.kind == "points" and (len(self.shape) != 2 or self.shape[1] != 3):
            raise UserError(f"a cloud of points of shape {self.shape} can't be used; want (points, 3)")
        if self.columns and self.shape != (len(self.columns),):
            raise UserError(f"{len(self.columns)} columns are named, an example has shape {self.shape}; name each once")
        check_names("columns", self.columns)

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "kind": self.kind,
            "shape": list(self.shape),
            "dtype": self.dtype,
            "low": self.low,
            "high": self.high,
            "columns": list(self.columns),
            "meaning": self.meaning,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> InputFormat:
        """From what `to_json` gave. Raises UserError where it is damaged."""
        try:
            limits = [None if data[key] is None else float(data[key]) for key in ("low", "high")]
            return cls(
                kind=str(data["kind"]),
                shape=tuple(int(n) for n in data["shape"]),
                dtype=str(data["dtype"]),
                low=limits[0],
                high=limits[1],
                columns=tuple(str(name) for name in data["columns"]),
                meaning=str(data["meaning"]),
            )
        except UserError as error:
            raise UserError(f"the input format is damaged: {error}") from None
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise UserError(f"the input format is damaged: {type(error).__name__} {error}") from None


@dataclass(frozen=True, kw_only=True, eq=False)
class Split:
    """One part: `x` (n, *shape) raw values; `y` (n,) classes as int64, or (n, outputs) numbers as float32."""

    x: np.ndarray
    y: np.ndarray

    @property
    def n(self) -> int:
        """Number of examples."""
        return len(self.y)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over types, shapes and bytes, whatever the arrays' order in memory."""
        digest = hashlib.sha256()
        for array in (self.x, self.y):
            digest.update(f"{array.dtype.str} {array.shape}\n".encode())
            for block in blocks(array):
                digest.update(np.ascontiguousarray(block).data)
        return digest.hexdigest()


@dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """Named data for one task. Raises UserError where parts, labels and input format don't agree."""

    name: str
    task: str
    train: Split
    validation: Split
    test: Split
    labels: tuple[str, ...]  # of the classes, or of the numbers that are predicted
    input: InputFormat
    source: str  # one sentence: where the examples come from
    #: Changes a batch of training inputs, as in augmentation: `(batch, generator)` to the same shape.
    augment: Callable[[Any, np.random.Generator], Any] | None = None
    picture: tuple[int, int] | None = None  # height and width, where the test part is every pixel of one, in row order

    def __post_init__(self) -> None:
        check_names("labels", self.labels)
        for name in PARTS:
            self._check(self.part(name), f"the {name} part of {self.name}")
        if self.picture is not None and math.prod(self.picture) != self.test.n:
            raise UserError(f"the test part of {self.name} has {self.test.n:,} pixels; a picture wants {self.picture}")

    def _check(self, part: Split, what: str) -> None:
        classes = task(self.task).classes
        if classes and (part.y.ndim != 1 or part.y.dtype != np.int64):
            raise UserError(f"{what} has classes of shape {part.y.shape} and type {part.y.dtype}; want (n,) and int64")
        if not classes and (part.y.shape[1:] != (len(self.labels),) or part.y.dtype != np.float32):
            raise UserError(
                f"{what} has targets of shape {part.y.shape} and type {part.y.dtype}; {len(self.labels)} named "
                f"{'number wants' if len(self.labels) == 1 else 'numbers want'} (n, {len(self.labels)}) and float32"
            )
        if part.n < 1:
            raise UserError(f"{what} is empty; give more examples")
        if part.x.shape != (part.n, *self.input.shape):
            raise UserError(
                f"{what} has inputs of shape {part.x.shape}; {part.n:,} examples want {(part.n, *self.input.shape)}"
            )
        if part.x.dtype != np.dtype(self.input.dtype):
            raise UserError(f"{what} has inputs of type {part.x.dtype}; its input format says {self.input.dtype}")
        if not classes and not np.isfinite(part.y).all():
            raise UserError(f"{what} holds targets that are not finite; replace them first")
        if classes and (part.y.min() < 0 or part.y.max() >= len(self.labels)):
            raise UserError(
                f"{what} has classes {part.y.min()} to {part.y.max()}; {len(self.labels)} labels want "
                f"0 to {len(self.labels) - 1}"
            )
        if part.x.dtype.kind == "f" and not all(np.isfinite(block).all() for block in blocks(part.x)):
            raise UserError(f"{what} holds values that are not finite; replace them first")

    @property
    def classes(self) -> int:
        """Number of labels: of classes, or of numbers that are predicted."""
        return len(self.labels)

    def target_statistics(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of each number that is predicted, over the training part, float32, (outputs,).

        Classes have none: 0 and 1.
        """
        if task(self.task).classes:
            return np.zeros(self.classes, np.float32), np.ones(self.classes, np.float32)
        y = self.train.y.astype(np.float64)
        std = y.std(axis=0).astype(np.float32)
        return y.mean(axis=0).astype(np.float32), np.where(std > 0, std, np.float32(1))

    @property
    def features(self) -> int:
        """Values of one example."""
        return math.prod(self.input.shape)

    def part(self, name: str) -> Split:
        """The part called `name`: train, validation or test. Raises UserError for another name."""
        if name not in PARTS:
            raise UserError(f"part {name!r} is not known; choose one of {', '.join(PARTS)}")
        found: Split = getattr(self, name)
        return found

    def statistics(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of the training part, float32, shape of one example.

        One figure for all of an image's pixels (neighbours share a scale), one a column otherwise; a column that
        never changes gets a deviation of 1.
        """
        x, shape = self.train.x, self.input.shape
        axis = None if self.input.kind == "image" else 0
        count = x.size if axis is None else len(x)
        # In blocks: NumPy's own std would hold a float64 copy of all the examples.
        mean = sum(block.sum(axis=axis, dtype=np.float64) for block in blocks(x)) / count
        square = sum(np.square(block - mean).sum(axis=axis) for block in blocks(x)) / count
        std = np.sqrt(square).astype(np.float32)
        # Asked exactly, since a constant's computed deviation is rounding, and a real one may be as small.
        still = (x.min(axis=axis) == x.max(axis=axis)) | (std == 0)
        std = np.where(still, np.float32(1), std)
        return np.broadcast_to(mean, shape).astype(np.float32), np.broadcast_to(std, shape).astype(np.float32)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over name, labels, columns and all three parts."""
        about = [self.name, self.task, self.labels, self.input.columns, *([self.picture] if self.picture else [])]
        digest = hashlib.sha256(json.dumps(about).encode())
        for name in PARTS:
            digest.update(self.split_fingerprint(name).encode())
        return digest.hexdigest()

    def split_fingerprint(self, name: str) -> str:
        """SHA-256 over one part's types, shapes and bytes. Raises UserError for an unknown part."""
        return self.part(name).fingerprint


def check_names(what: str, names: Sequence[str]) -> None:
    """Raise UserError for more labels or columns than can be kept and shown, or one that is too long."""
    if len(names) > MOST_NAMES:
        raise UserError(f"{len(names):,} {what} are named; name up to {MOST_NAMES:,}, or none")
    lengths = [len(name) for name in names]
    if max(lengths, default=0) > LONGEST_NAME:
        raise UserError(f"one of the {what} has {max(lengths):,} characters; use up to {LONGEST_NAME:,}")
    if sum(lengths) > MOST_CHARACTERS:
        raise UserError(f"the {what} have {sum(lengths):,} characters in all; use up to {MOST_CHARACTERS:,}")


def blocks(array: np.ndarray) -> Iterator[np.ndarray]:
    """Leading rows of `array`, then the next, each about `BLOCK` values: views, never a copy."""
    rows = max(1, BLOCK * len(array) // max(1, array.size))
    for start in range(0, len(array), rows):
        yield array[start : start + rows]


def batches(data: Dataset, seed: int) -> Iterator[torch.Tensor]:
    """Batches of training inputs that batch-normalisation statistics are estimated on: the same for every width."""
    import torch

    from core.elastic.batch_norm import BATCH, ROWS

    rows = np.random.default_rng([seed, 5]).permutation(data.train.n)[:ROWS]
    for part in np.array_split(rows, max(1, len(rows) // BATCH)):
        yield torch.from_numpy(data.train.x[np.sort(part)]).float()
