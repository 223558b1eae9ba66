"""All widths by one number: the points of a sweep, and ranges of them. Needs no torch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

from core.elastic.layout import Layout, Width

Range = tuple[int, int]  # lowest and highest point, both included
ALONE = 4  # of fewer features each is so much of a network that no two sizes have much in common
FINER_ALONE, FINER_BELOW = 8, 32  # the same where bands run side by side; from where on halvings are fine enough


def widths_at(widths: Mapping[str, Width], point: int) -> dict[str, int]:
    """All named widths at one point of a sweep: the widest is `point`, the others keep their share of it."""
    if len(widths) == 1:  # as most often, and each step of a training asks for a dozen
        ((name, w),) = widths.items()
        return {name: max(w.lower, min(w.full, point))}
    largest = max(w.full for w in widths.values())
    return {name: max(w.lower, min(w.full, -(-point * w.full // largest))) for name, w in widths.items()}


def range_of(widths: Mapping[str, Width]) -> Range:
    """Smallest and largest point of a sweep; every point between is one too."""
    largest = max(widths.values(), key=lambda w: w.full)
    return largest.lower, largest.full


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
    found = _halvings(*range_of(widths), below, finer)
    return ((found[-1][0], found[0][1]),) if single and found else found


def are_alike(layout: Layout, below: float) -> bool:
    """Whether the points under that share of full size differ little: parameters grow less than the size's root.

    So it is where most of a model is touched by no width, such as a transformer whose residual stream stays.
    """
    found = halvings(layout.widths, below, single=True)
    if not found:
        return False
    ((low, top),) = found
    smallest, largest = (layout.params(path_widths(layout, point)) for point in (low, top))
    return low < top and largest / max(1, smallest) < math.sqrt(top / low)


@lru_cache  # asked in every step of a training
def _halvings(low: int, full: int, below: float, finer: bool) -> tuple[Range, ...]:
    found: list[Range] = []
    k = math.ceil(-math.log2(below)) if below > 0 else full.bit_length()
    while (top := -(-full // 2**k) - 1) >= max(low, ALONE):
        found.append((max(low, ALONE, -(-full // 2 ** (k + 1))), top))
        k += 1
    most = ALONE - 1 if found else min(top, ALONE - 1)
    found += [(point, point) for point in range(most, low - 1, -1)]
    return tuple(part for one in found for part in (_parted(*one) if finer else (one,)))


def _parted(low: int, top: int) -> tuple[Range, ...]:
    """A range as narrower ones, from wide to narrow."""
    if top < FINER_ALONE:
        return tuple((point, point) for point in range(top, low - 1, -1))
    middle = math.ceil(low * math.sqrt(2))
    return ((middle, top), (low, middle - 1)) if low < FINER_BELOW and middle <= top else ((low, top),)


def narrowest(tops: Sequence[Mapping[str, int]], widths: Mapping[str, int]) -> int | None:
    """Which of some bands, given by their widest and from wide to narrow, has the weights at `widths`; None: none."""
    holding = (k for k in reversed(range(len(tops))) if all(widths[name] <= most for name, most in tops[k].items()))
    return next(holding, None)


def narrowed(layout: Layout, low: int, top: int) -> Layout:
    """The layout of the same family with the point `top` as its full size and `low` as its lower bound."""
    least, most = path_widths(layout, low), path_widths(layout, top)
    widths = {name: Width(most[name], least[name]) for name in layout.widths}
    return Layout(widths, {name: replace(t, shape=t.shape_at(most)) for name, t in layout.tensors.items()})
