"""The format of one example, as a model takes it and as a run stores it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from core.errors import UserError

KINDS = ("image", "table", "array", "points")
DTYPES = ("uint8", "float32")
MOST_FEATURES = 10**8
MOST_NAMES, LONGEST_NAME, MOST_CHARACTERS = 10_000, 1_000, 10**6  # labels or columns: they are kept and shown


@dataclass(frozen=True, kw_only=True)
class InputFormat:
    """Shape, type and meaning of one example: raw values, not normalised. Raises UserError for one that can't be."""

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
            raise UserError(f"an example of shape {self.shape} can't be used; give 1 to {MOST_FEATURES:,} values")
        if self.kind == "points" and (len(self.shape) != 2 or self.shape[1] != 3):
            raise UserError(f"a cloud of points of shape {self.shape} can't be used; give (points, 3)")
        if self.columns and self.shape != (len(self.columns),):
            raise UserError(f"{len(self.columns)} columns are named, an example has shape {self.shape}; name each once")
        check_names("columns", self.columns)

    def to_json(self) -> dict[str, Any]:
        """Convert to plain data."""
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
        """Read the output of `to_json`. Raises UserError where it is damaged."""
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


def check_names(what: str, names: Sequence[str]) -> None:
    """Raise UserError for more labels or columns than can be kept and shown, or one that is too long."""
    if len(names) > MOST_NAMES:
        raise UserError(f"{len(names):,} {what} are named; name up to {MOST_NAMES:,}, or none")
    lengths = [len(name) for name in names]
    if max(lengths, default=0) > LONGEST_NAME:
        raise UserError(f"one of the {what} has {max(lengths):,} characters; use up to {LONGEST_NAME:,}")
    if sum(lengths) > MOST_CHARACTERS:
        raise UserError(f"the {what} have {sum(lengths):,} characters in all; use up to {MOST_CHARACTERS:,}")
