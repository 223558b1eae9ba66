"""All widths as one number: the points of a sweep, and ranges of them. Needs no torch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache

from core.elastic.layout import Layout
from core.elastic.width import Width

Range = tuple[int, int]  # lowest and highest point, both included
ALONE = 4  # below it, one feature is so much of a network that no two sizes have much in common
FINER_ALONE, FINER_BELOW = 8, 32  # the same for stacked bands; from 32 on halvings are fine enough


def widths_at(widths: Mapping[str, Width], point: int) -> dict[str, int]:
    """All named widths at one point of a sweep: the largest is `point`, the others keep their share of it, rounded up.

    Each is rounded up to one of its sizes.
    """
    if len(widths) == 1:  # as most often, and each step of a training needs a dozen
        ((name, w),) = widths.items()
        return {name: w.at_least(point)}
    largest = max(w.full for w in widths.values())
    return {name: w.at_least(-(-point * w.full // largest)) for name, w in widths.items()}


def points(layout: Layout) -> Sequence[int]:
    """The points of a sweep, ascending: the sizes of the largest width."""
    return _largest(layout.widths).sizes


def range_of(widths: Mapping[str, Width]) -> Range:
    """Smallest and largest point of a sweep."""
    largest = _largest(widths)
    return largest.lower, largest.full


def _largest(widths: Mapping[str, Width]) -> Width:
    return max(widths.values(), key=lambda w: w.full)


def path_widths(layout: Layout, width: int) -> dict[str, int]:
    """`widths_at` for a layout's widths."""
    return widths_at(layout.widths, width)


def path_range(layout: Layout) -> Range:
    """`range_of` for a layout's widths."""
    return range_of(layout.widths)


def halvings(
    widths: Mapping[str, Width], below: float, *, finer: bool = False, single: bool = False
) -> tuple[Range, ...]:
    """The points under that share of full size as ranges in which the size at most doubles, from wide to narrow.

    Of 256 and an eighth: 16 to 31, 8 to 15, 4 to 7; below `ALONE` each point by itself, 3, 2 and 1. `finer`: a range
    that begins below 32 is two of about equal ratio (23 to 31, 16 to 22), and one below 8 is its points. `single`: all
    of them are one range, 1 to 31.
    """
    largest = _largest(widths)
    ranges = _halvings(largest.lower, largest.full, below, finer)
    if largest.step > 1 or largest.values:
        inside = (largest.within(*ends) for ends in ranges)
        ranges = tuple((width.lower, width.full) for width in inside if width is not None)
    return ((ranges[-1][0], ranges[0][1]),) if single and ranges else ranges


def are_alike(layout: Layout, below: float) -> bool:
    """Whether the points under that share of full size differ little: parameters grow less than the size's root.

    This holds where no width touches most of a model, as in a transformer whose residual stream stays.
    """
    ranges = halvings(layout.widths, below, single=True)
    if not ranges:
        return False
    ((low, top),) = ranges
    smallest, largest = (layout.params(path_widths(layout, point)) for point in (low, top))
    return low < top and largest / max(1, smallest) < math.sqrt(top / low)


@lru_cache  # needed in every step of a training
def _halvings(low: int, full: int, below: float, finer: bool) -> tuple[Range, ...]:
    ranges: list[Range] = []
    k = math.ceil(-math.log2(below)) if below > 0 else full.bit_length()
    while (top := -(-full // 2**k) - 1) >= max(low, ALONE):
        ranges.append((max(low, ALONE, -(-full // 2 ** (k + 1))), top))
        k += 1
    most = ALONE - 1 if ranges else min(top, ALONE - 1)
    ranges += [(point, point) for point in range(most, low - 1, -1)]
    return tuple(part for ends in ranges for part in (_parted(*ends) if finer else (ends,)))


def _parted(low: int, top: int) -> tuple[Range, ...]:
    """A range as narrower ones, from wide to narrow."""
    if top < FINER_ALONE:
        return tuple((point, point) for point in range(top, low - 1, -1))
    middle = math.ceil(low * math.sqrt(2))
    return ((middle, top), (low, middle - 1)) if low < FINER_BELOW and middle <= top else ((low, top),)


def narrowest(tops: Sequence[Mapping[str, int]], widths: Mapping[str, int]) -> int | None:
    """Index of the narrowest band that holds `widths`; None where none does.

    Bands are given by their widest sizes, from wide to narrow.
    """
    holding = (k for k in reversed(range(len(tops))) if all(widths[name] <= most for name, most in tops[k].items()))
    return next(holding, None)


def narrowed(layout: Layout, low: int, top: int) -> Layout:
    """The layout of the same family with the point `top` as its full size and `low` as its lower bound."""
    least, most = path_widths(layout, low), path_widths(layout, top)
    widths = {name: width.within(least[name], most[name]) or width for name, width in layout.widths.items()}
    return Layout(widths, layout.at(most).tensors)
