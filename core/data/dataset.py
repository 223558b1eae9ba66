"""Examples in three separate parts: to train on, to choose by, and to show figures for. NumPy only."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from core.errors import UserError

PARTS = ("train", "validation", "test")


@dataclass(frozen=True, kw_only=True)
class InputFormat:
    """What one example is, as the model takes it: raw values, not normalised."""

    kind: str  # "image", "table" or "array"
    shape: tuple[int, ...]  # of one example
    dtype: str  # "uint8" or "float32", as stored
    low: float | None = None  # range of the raw values, where it is known
    high: float | None = None
    columns: tuple[str, ...] = ()  # of a table
    meaning: str = ""  # one plain phrase

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
            shape = tuple(int(n) for n in data["shape"])
            limits = [None if data[key] is None else float(data[key]) for key in ("low", "high")]
            if not all(n > 0 for n in shape) or math.prod(shape) > 10**8:
                raise ValueError(f"shape {shape}")
            return cls(
                kind=str(data["kind"]),
                shape=shape,
                dtype=str(data["dtype"]),
                low=limits[0],
                high=limits[1],
                columns=tuple(str(name) for name in data["columns"]),
                meaning=str(data["meaning"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"the input format is damaged: {type(error).__name__} {error}") from None


@dataclass(frozen=True, kw_only=True, eq=False)
class Split:
    """One part: `x` (n, *shape) raw values, `y` (n,) classes as int64."""

    x: np.ndarray
    y: np.ndarray

    @property
    def n(self) -> int:
        """Number of examples."""
        return len(self.y)


@dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """Named data for one task. Raises UserError where parts, labels and input format don't agree."""

    name: str
    task: str
    train: Split
    validation: Split
    test: Split
    labels: tuple[str, ...]
    input: InputFormat
    source: str  # one sentence: where the examples come from

    def __post_init__(self) -> None:
        for name in PARTS:
            part = self.part(name)
            if part.n < 1:
                raise UserError(f"the {name} part of {self.name} is empty; give more examples")
            if part.x.shape != (part.n, *self.input.shape):
                raise UserError(
                    f"the {name} part of {self.name} has inputs of shape {part.x.shape}; "
                    f"{part.n} examples want {(part.n, *self.input.shape)}"
                )
            if part.y.dtype != np.int64 or part.y.min() < 0 or part.y.max() >= len(self.labels):
                raise UserError(f"the {name} part of {self.name} has classes outside 0 to {len(self.labels) - 1}")
            if part.x.dtype.kind == "f" and not np.isfinite(part.x).all():
                raise UserError(f"the {name} part of {self.name} holds values that are not finite; replace them first")

    @property
    def classes(self) -> int:
        """Number of labels."""
        return len(self.labels)

    @property
    def features(self) -> int:
        """Values of one example."""
        return math.prod(self.input.shape)

    def part(self, name: str) -> Split:
        """The part called `name`: train, validation or test."""
        if name not in PARTS:
            raise UserError(f"part {name!r} is not known; choose one of {', '.join(PARTS)}")
        found: Split = getattr(self, name)
        return found

    def statistics(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of the training part, float32, shape of one example.

        One figure for all of an image's pixels (neighbours share a scale), one a column otherwise; a column that
        never changes gets a deviation of 1.
        """
        x = self.train.x
        if self.input.kind == "image":
            mean, std = np.float64(x.mean(dtype=np.float64)), np.float64(x.std(dtype=np.float64))
        else:
            mean, std = x.mean(axis=0, dtype=np.float64), x.std(axis=0, dtype=np.float64)
        # a constant column's deviation is rounding, not exactly zero
        std = np.where(std > 1e-6 * np.maximum(1.0, np.abs(mean)), std, 1.0)
        shape = self.input.shape
        return np.broadcast_to(mean, shape).astype(np.float32), np.broadcast_to(std, shape).astype(np.float32)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over labels and all three parts."""
        digest = hashlib.sha256("\0".join(self.labels).encode())
        for name in PARTS:
            digest.update(self.split_fingerprint(name).encode())
        return digest.hexdigest()

    def split_fingerprint(self, name: str) -> str:
        """SHA-256 over one part's types, shapes and bytes."""
        return self._fingerprints[name]

    @cached_property
    def _fingerprints(self) -> dict[str, str]:
        found = {}
        for name in PARTS:
            digest = hashlib.sha256()
            for array in (self.part(name).x, self.part(name).y):
                digest.update(f"{array.dtype.str} {array.shape}\n".encode())
                digest.update(np.ascontiguousarray(array).data)
            found[name] = digest.hexdigest()
        return found
