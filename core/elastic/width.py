"""The sizes that one width can take. Needs no torch."""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from core.errors import UserError
from core.utils.numbers import whole_number

LARGEST = 2**48  # of any size; far above every model, and far below the range of NumPy's integers
MOST_VALUES = 1_000  # in a list of sizes


@dataclass(frozen=True)
class Width:
    """The sizes of one width: every `step`-th from `full` down to `lower`, or those in `values`.

    `Width(256)`, `Width(256, lower=16)`, `Width(4096, lower=512, step=128)`, `Width(values=(64, 96, 128))`. A lower
    bound between two sizes moves up to the next. Raises UserError for anything else than whole numbers from 1.
    """

    full: int = 0  # of the sizes in `values` where these are given
    lower: int = 1
    step: int = 1
    values: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        given = (self.full, self.lower, self.step, *self.values)
        full, lower, step, *listed = (whole_number(n) or 0 for n in given)
        if listed:
            values = tuple(sorted(set(listed)))
            if min(listed) < 1 or len(values) > MOST_VALUES or (full, lower, step) not in (
                (0, 1, 1), (values[-1], values[0], 1)
            ):  # fmt: skip
                raise UserError(
                    f"a list of sizes must be 1 to {MOST_VALUES} whole numbers from 1, without lower and step, got "
                    f"values {self.values!r}"
                )
            full, lower = values[-1], values[0]
            object.__setattr__(self, "values", values)
        if not 1 <= lower <= full <= LARGEST or step < 1:
            came = f"lower {self.lower!r}, full {self.full!r}" + (f", step {self.step!r}" if step != 1 else "")
            raise UserError(f"a width needs whole numbers 1 <= lower <= full and step >= 1, got {came}")
        object.__setattr__(self, "full", full)
        object.__setattr__(self, "lower", full - (full - lower) // step * step)
        object.__setattr__(self, "step", step)

    @property
    def sizes(self) -> Sequence[int]:
        """Every size, ascending."""
        return self.values or range(self.lower, self.full + 1, self.step)

    @property
    def unit(self) -> int:
        """Number of neighbouring features that every size keeps or drops together."""
        return math.gcd(*self.values) if self.values else math.gcd(self.full, self.step) if self.step > 1 else 1

    def at_least(self, size: int) -> int:
        """The smallest size from `size` on; the full one where there is none."""
        if size >= self.full:
            return self.full
        if self.step == 1 and not self.values:  # as most often, many times in each step of a training
            return max(self.lower, size)
        return self.sizes[bisect.bisect_left(self.sizes, size)]

    def within(self, low: int, top: int) -> Width | None:
        """The width with only its sizes from `low` to `top`; None where there are none."""
        sizes = [self.at_least(low), self.sizes[bisect.bisect_right(self.sizes, top) - 1]]
        if not low <= sizes[0] <= sizes[1] <= top:
            return None
        if self.values:
            return Width(values=tuple(size for size in self.values if low <= size <= top))
        return Width(sizes[1], sizes[0], self.step)

    def __str__(self) -> str:
        """The sizes in words: `512 to 4096 in steps of 128`."""
        if self.values:
            return "one of " + ", ".join(map(str, self.values))
        return f"{self.lower} to {self.full}" + (f" in steps of {self.step}" if self.step > 1 else "")

    def __format__(self, spec: str) -> str:
        """`{width:from}` reads as `from 1 to 8`, or as `one of 4, 8`."""
        return f"from {self}" if spec == "from" and not self.values else str(self)

    def to_json(self) -> dict[str, Any]:
        """As plain data; step and values only where they are not the defaults."""
        more = {"values": list(self.values)} if self.values else {"step": self.step} if self.step > 1 else {}
        return {"full": self.full, "lower": self.lower, **more}
