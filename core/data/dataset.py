"""Examples in three separate parts: to train on, to choose a size by, and to measure. Needs NumPy only."""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from core.data.input_format import InputFormat, check_names
from core.errors import UserError
from core.tasks.registry import task

if TYPE_CHECKING:
    import torch

PARTS = ("train", "validation", "test")
BLOCK = 2**20  # values of a block, so that no pass over the examples copies them all
# headings of the explorer's table of examples
RESERVED_COLUMNS = ("Test example", "This size says", "Full size says", "Truth", "Verdict", "How far off")


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
    """Named data for one task. Raises UserError where parts, labels and input format differ."""

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
        self._check_names()
        if self.picture is not None and math.prod(self.picture) != self.test.n:
            raise UserError(f"the test part of {self.name} has {self.test.n:,} pixels, its picture {self.picture}")

    def _check_names(self) -> None:
        """Refuse names of columns and labels that can't be stored, or told apart in a table of examples."""
        for what, names in (("column", [name.strip() for name in self.input.columns]), ("label", self.labels)):
            for name in names:
                storable = name.encode(errors="ignore").decode() == name  # not so for half of a surrogate pair
                if not storable or (what == "column" and not name):
                    raise UserError(f"a {what} of {self.name} is called {name!r}; give it a plain name")
            doubled = [name for name, count in Counter(names).items() if count > 1]
            if doubled:
                raise UserError(f"two {what}s of {self.name} are called {doubled[0]!r}; give each a name of its own")
        reserved = [name for name in self.input.columns if name.strip() in RESERVED_COLUMNS]
        if reserved:
            raise UserError(
                f"a column of {self.name} is called {reserved[0]!r}, a heading of the table that shows examples beside "
                "their predictions; rename it"
            )

    def _check(self, part: Split, what: str) -> None:
        classes = task(self.task).classes
        if classes and (part.y.ndim != 1 or part.y.dtype != np.int64):
            raise UserError(f"{what} has classes of shape {part.y.shape} and type {part.y.dtype}; give (n,) and int64")
        if not classes and (part.y.shape[1:] != (len(self.labels),) or part.y.dtype != np.float32):
            raise UserError(
                f"{what} has targets of shape {part.y.shape} and type {part.y.dtype}; {len(self.labels)} named "
                f"{'number needs' if len(self.labels) == 1 else 'numbers need'} (n, {len(self.labels)}) and float32"
            )
        if part.n < 1:
            raise UserError(f"{what} is empty; give more examples")
        if part.x.shape != (part.n, *self.input.shape):
            raise UserError(
                f"{what} has inputs of shape {part.x.shape}; {part.n:,} examples need {(part.n, *self.input.shape)}"
            )
        if part.x.dtype != np.dtype(self.input.dtype):
            raise UserError(f"{what} has inputs of type {part.x.dtype}; its input format is of {self.input.dtype}")
        if not classes and not np.isfinite(part.y).all():
            raise UserError(f"{what} holds targets that are not finite; replace them first")
        if classes and (part.y.min() < 0 or part.y.max() >= len(self.labels)):
            raise UserError(
                f"{what} has classes {part.y.min()} to {part.y.max()}; {len(self.labels)} labels need "
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
        part: Split = getattr(self, name)
        return part

    def statistics(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of the training part, float32, shape of one example.

        One figure for all of an image's pixels (neighbours share a scale), one a column otherwise; a column that
        never changes gets a deviation of 1.
        """
        x, shape = self.train.x, self.input.shape
        axis = None if self.input.kind == "image" else 0
        count = x.size if axis is None else len(x)
        # in blocks: NumPy's own std would hold a float64 copy of all the examples.
        mean = sum(block.sum(axis=axis, dtype=np.float64) for block in blocks(x)) / count
        square = sum(np.square(block - mean).sum(axis=axis) for block in blocks(x)) / count
        std = np.sqrt(square).astype(np.float32)
        # compared exactly, since a constant's computed deviation is rounding, and a real one may be as small
        still = (x.min(axis=axis) == x.max(axis=axis)) | (std == 0)
        std = np.where(still, np.float32(1), std)
        return np.broadcast_to(mean, shape).astype(np.float32), np.broadcast_to(std, shape).astype(np.float32)

    @cached_property
    def warnings(self) -> tuple[str, ...]:
        """Sentences about data that may mislead (`core.data.checks`); for a training to print and a run to keep."""
        from core.data.checks import warnings

        return warnings(self)

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


def blocks(array: np.ndarray) -> Iterator[np.ndarray]:
    """Iterate over consecutive rows of `array`, about `BLOCK` values at a time: views, never a copy."""
    rows = max(1, BLOCK * len(array) // max(1, array.size))
    for start in range(0, len(array), rows):
        yield array[start : start + rows]


def batches(data: Dataset, seed: int) -> Iterator[torch.Tensor]:
    """Iterate over the training inputs for batch-normalisation statistics, (batch, *shape), equal for equal seeds."""
    import torch

    from core.elastic.batch_norm import BATCH, ROWS

    rows = np.random.default_rng([seed, 5]).permutation(data.train.n)[:ROWS]
    for part in np.array_split(rows, max(1, len(rows) // BATCH)):
        yield torch.from_numpy(data.train.x[np.sort(part)]).float()
