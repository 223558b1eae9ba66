"""Rules for axes whose order shapes leave open: fused q/k/v, gates of an LSTM, the parts of a concatenation.

A rule comes from the user (`Family.declare`), from PyTorch's own modules (`torch_module_rules`) or from the repair of
a failed symmetry check (`core.elastic.discovery.repair`). Needs no torch on import.
"""

from __future__ import annotations

import fnmatch
import glob
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from core.elastic.layout import Axis, Layout, Segment
from core.errors import LayoutError

if TYPE_CHECKING:
    from torch import nn

Place = tuple[str, int, Axis]  # tensor name, dimension, and its segments as shapes suggest them

GATES = {"LSTM": 4, "LSTMCell": 4, "GRU": 3, "GRUCell": 3}  # row blocks of weight_ih and weight_hh (torch.nn docs)


@dataclass(frozen=True)
class AxisRule:
    """How the matching axes are ordered; `Family.declare` documents each entry."""

    pattern: str
    blocks: int = 1
    order: tuple[str | None, ...] | None = None
    dim: int | None = None

    def apply(self, name: str, dim: int, inferred: Axis) -> Axis | None:
        """Segments of dimension `dim` of tensor `name` under this rule, or None where the rule does not apply.

        It applies to axes that consist of the widths in `order` and that `blocks` divides, so one pattern can cover
        a whole module.
        """
        if not fnmatch.fnmatchcase(name, self.pattern) or self.dim not in (None, dim):
            return None
        axis = inferred
        if self.order is not None:
            by_width = {s.width: s for s in inferred}
            parts = {width: self.order.count(width) for width in self.order}  # a width may fill several parts
            if parts.keys() != by_width.keys() or any(by_width[w].each % n for w, n in parts.items()):
                return None
            axis = tuple(Segment(width, by_width[width].each // parts[width]) for width in self.order)
        if math.gcd(*(s.each for s in axis)) % self.blocks:
            return None
        return tuple(Segment(s.width, s.each // self.blocks) for s in axis) * self.blocks

    def __str__(self) -> str:
        """The call that declares it."""
        arguments = [repr(self.pattern)]
        if self.blocks != 1:
            arguments.append(f"blocks={self.blocks}")
        if self.order is not None:
            arguments.append(f"order={self.order!r}")
        if self.dim is not None:
            arguments.append(f"dim={self.dim}")
        return f".declare({', '.join(arguments)})"


def apply_rules(inferred: Layout, own: Sequence[AxisRule], defaults: Sequence[AxisRule] = ()) -> Layout:
    """The layout with each axis read by the last rule that applies to it; `defaults` come before the user's `own`.

    Raises LayoutError for a rule in `own` that applies to no axis: a mistyped pattern must not pass unnoticed.
    """
    places = elastic_axes(inferred)
    for rule in own:
        if all(rule.apply(*place) is None for place in places):
            raise LayoutError(f"{rule} fits no dimension that a width owns; {_fitting(places, rule)}")
    tensors = dict(inferred.tensors)
    for name, dim, axis in places:
        readings = (rule.apply(name, dim, axis) for rule in reversed((*defaults, *own)))
        reading = next((r for r in readings if r is not None), axis)
        tensor = tensors[name]
        tensors[name] = replace(tensor, axes=(*tensor.axes[:dim], reading, *tensor.axes[dim + 1 :]))
    return Layout(inferred.widths, tensors)


def elastic_axes(layout: Layout) -> list[Place]:
    """Every axis that a width owns."""
    return [(n, d, axis) for n, t in layout.tensors.items() for d, axis in enumerate(t.axes) if axis]


def open_axes(layout: Layout) -> list[Place]:
    """The axes whose order shapes leave open: several entries a feature, or several segments."""
    return [place for place in elastic_axes(layout) if len(place[2]) > 1 or place[2][0].each > 1]


def describe(axis: Axis) -> str:
    """An axis in words: `49 for each 'channels' then 10 constant`."""
    return " then ".join(f"{s.each} constant" if s.width is None else f"{s.each} for each {s.width!r}" for s in axis)


def torch_module_rules(module: nn.Module) -> tuple[AxisRule, ...]:
    """Rules for every recurrent and attention module of PyTorch inside `module`.

    An LSTM's weights hold four gates, a GRU's three; `nn.MultiheadAttention` fuses q, k and v; a layer above a
    bidirectional one reads both directions.
    """
    return tuple(_module_rules(module))


def _module_rules(module: nn.Module) -> Iterator[AxisRule]:
    from torch import nn

    for name, part in module.named_modules(remove_duplicate=False):
        prefix = glob.escape(f"{name}." if name else "")
        if isinstance(part, nn.MultiheadAttention):
            yield AxisRule(f"{prefix}in_proj_*", blocks=3, dim=0)
        if isinstance(part, nn.RNNBase) and part.bidirectional:
            for layer in range(1, part.num_layers):
                yield AxisRule(f"{prefix}weight_ih_l{layer}*", blocks=2, dim=1)
        gates = next((count for kind, count in GATES.items() if isinstance(part, getattr(nn, kind))), 1)
        if gates > 1:
            for tensor in ("weight_ih*", "weight_hh*", "bias_ih*", "bias_hh*"):
                yield AxisRule(f"{prefix}{tensor}", blocks=gates, dim=0)


def _fitting(places: Sequence[Place], rule: AxisRule) -> str:
    """The axes that the pattern of a rule should match, or those that it does match, as part of an error."""
    matching = [place for place in places if fnmatch.fnmatchcase(place[0], rule.pattern)]
    if not matching:
        return f"its pattern should match one of {', '.join(sorted({name for name, _, _ in places}))}"
    return "those of its pattern are: " + "; ".join(f"dimension {d} of {n!r}, {describe(a)}" for n, d, a in matching)
