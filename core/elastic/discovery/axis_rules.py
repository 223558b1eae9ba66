"""What a person says of axes that shapes alone can't tell: fused q/k/v, the order of a concat. Needs no torch."""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from core.elastic.layout import Axis, Layout, Segment
from core.errors import LayoutError


@dataclass(frozen=True)
class Declaration:
    """How the axes that match are laid out; `Family.declare` says what each entry means."""

    pattern: str
    blocks: int = 1
    order: tuple[str | None, ...] | None = None
    dim: int | None = None

    def read(self, name: str, dim: int, measured: Axis) -> Axis | None:
        """Dimension `dim` of tensor `name` as declared, or None where this does not speak of it.

        It speaks of axes made of the widths it orders, that its blocks divide: one pattern covers a whole module.
        """
        if not fnmatch.fnmatchcase(name, self.pattern) or self.dim not in (None, dim):
            return None
        axis = measured
        if self.order is not None:
            by_width = {s.width: s for s in measured}
            parts = {width: self.order.count(width) for width in self.order}  # a width may lie in several parts
            if parts.keys() != by_width.keys() or any(by_width[w].each % n for w, n in parts.items()):
                return None
            axis = tuple(Segment(width, by_width[width].each // parts[width]) for width in self.order)
        if math.gcd(*(s.each for s in axis)) % self.blocks:
            return None
        return tuple(Segment(s.width, s.each // self.blocks) for s in axis) * self.blocks

    def __str__(self) -> str:
        """The call that declares it."""
        said = [repr(self.pattern)]
        if self.blocks != 1:
            said.append(f"blocks={self.blocks}")
        if self.order is not None:
            said.append(f"order={self.order!r}")
        if self.dim is not None:
            said.append(f"dim={self.dim}")
        return f".declare({', '.join(said)})"


def declared(measured: Layout, declarations: Sequence[Declaration], known: Sequence[Declaration] = ()) -> Layout:
    """The layout with every axis as the last declaration that speaks of it says; `known` come before all others.

    Raises LayoutError for a declaration that speaks of no axis at all: a mistyped one must not pass in silence.
    """
    for declaration in declarations:
        if not any(declaration.read(*place) for place in _places(measured)):
            raise LayoutError(f"{declaration} fits no dimension that a width owns; {_what_fits(measured, declaration)}")
    tensors = dict(measured.tensors)
    for name, dim, axis in _places(measured):
        readings = (d.read(name, dim, axis) for d in reversed((*known, *declarations)))
        reading = next((r for r in readings if r is not None), axis)
        tensor = tensors[name]
        tensors[name] = replace(tensor, axes=(*tensor.axes[:dim], reading, *tensor.axes[dim + 1 :]))
    return Layout(measured.widths, tensors)


def words(axis: Axis) -> str:
    """An axis for people: `49 for each 'channels' then 10 constant`."""
    return " then ".join(f"{s.each} constant" if s.width is None else f"{s.each} for each {s.width!r}" for s in axis)


def _places(layout: Layout) -> list[tuple[str, int, Axis]]:
    return [(n, d, axis) for n, t in layout.tensors.items() for d, axis in enumerate(t.axes) if axis]


def _what_fits(layout: Layout, declaration: Declaration) -> str:
    named = [place for place in _places(layout) if fnmatch.fnmatchcase(place[0], declaration.pattern)]
    if not named:
        return f"its pattern should match one of {', '.join(sorted({name for name, _, _ in _places(layout)}))}"
    return "those of its pattern are: " + "; ".join(f"dimension {d} of {n!r}, {words(a)}" for n, d, a in named)
