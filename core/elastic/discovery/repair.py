"""What to do where a symmetry check failed: other readings of the layout are tried, and the check decides.

Shapes leave open whether an axis holds blocks or runs, and in which order a concat goes. The few possible readings
are tried; where one passes it is taken, and where none does a person is told what to declare.
"""

from __future__ import annotations

import itertools
import math
import re
import time
from collections.abc import Iterator, Sequence

from core.elastic.discovery.axis_rules import Declaration, declared, words
from core.elastic.discovery.symmetry import TOLERANCE, Probe
from core.elastic.layout import Axis, Layout

TRIES = 400  # readings of each kind run at most; one costs a few forward passes
SECONDS = 15.0  # and no longer than that: an error must not keep a person waiting
SEGMENTS_TRIED = 4  # orders of a concat of more parts are not tried: 24 is enough
BLOCKS_TRIED = 128


Place = tuple[str, int, Axis]  # tensor, dimension, and what shapes say of it


def explain(
    probe: Probe, measured: Layout, declarations: Sequence[Declaration], mend: Sequence[Declaration], error: float
) -> str:
    """What to tell the user: the declarations that make the check pass (`find_mend`), else the axis left open.

    `declarations` are the user's own.
    """
    if probe.differs_by_itself():
        return (
            "the model gives another output each time, in eval mode too, so its symmetry can't be checked; randomness "
            "belongs to training: F.dropout(x, training=self.training)"
        )
    found = f"reordering the features changed the output by {error:.2g} (relative), so this layout is wrong"
    places = open_places(measured)
    if not places:
        return (
            f"{found}, and no dimension can be read another way; the features are not unordered: the output, or a "
            "reshape inside the model, depends on their positions"
        )
    if mend:
        name, dim, axis = next(p for d in mend for p in places if d.read(*p) is not None)
        several = f" and {len(mend) - 1} more" if len(mend) > 1 else ""
        return (
            f"{found}: dimension {dim} of {name!r} ({words(axis)}){several} has another order than "
            f"{'declared' if overruled(measured, declarations, mend) else 'shapes say'}; declare it: "
            f"Family(...){''.join(map(str, mend))}"
        )
    name, dim, axis = places[0]
    argument = "order=(...)" if len({s.width for s in axis}) > 1 else "blocks=<parts that hold every feature once>"
    return (
        f"{found}: dimension {dim} of {name!r} ({words(axis)}) can be read in more than one way; declare its order: "
        f"Family(...).declare({_patterns(name)[0]!r}, {argument}); if none fits, the features are not unordered"
    )


def find_mend(
    probe: Probe, measured: Layout, declarations: Sequence[Declaration], known: Sequence[Declaration] = ()
) -> tuple[Declaration, ...]:
    """The first declaration that makes the check pass, or the first two or three; empty if none do."""
    places = open_places(measured)
    singles = ((d,) for d in _candidates(places, (0, 1, 2), dims=True))
    pairs = itertools.combinations(_candidates(places, (1,), dims=False), 2)
    triples = itertools.combinations(_candidates(places, (1,), dims=False), 3)
    tried = {_axes(declared(measured, declarations, known))}
    for mends in (singles, _rules(places), pairs, triples):
        give_up, tries = time.monotonic() + SECONDS, 0
        for mend in mends:
            layout = declared(measured, (*declarations, *mend), known)
            if _axes(layout) not in tried:
                tried.add(_axes(layout))
                tries += 1
                if probe.error(layout) <= TOLERANCE:
                    return mend
            if tries >= TRIES or time.monotonic() > give_up:
                break
    return ()


def _candidates(places: Sequence[Place], levels: Sequence[int], *, dims: bool) -> Iterator[Declaration]:
    """What might be declared of each place in turn, the narrowest pattern first, a dimension only where it must be."""
    seen: set[Declaration] = set()
    for name, dim, axis in places:
        for blocks, order in _readings(axis):
            for dim_said in (None, dim) if dims else (None,):
                for level in levels:
                    declaration = Declaration(_patterns(name)[level], blocks, order, dim_said)
                    # an order that splits a width in parts may leave nothing that the blocks divide
                    if declaration not in seen and declaration.read(name, dim, axis) is not None:
                        seen.add(declaration)
                        yield declaration


def _rules(places: Sequence[Place]) -> Iterator[tuple[Declaration, ...]]:
    """One habit for every concat of a model, however many there are, as where each layer reads all before it."""
    joined = [(name, dim, axis) for name, dim, axis in places if len(axis) > 1]
    for constant_first in (True, False):
        for split in (True, False):
            mend = []
            for name, dim, axis in joined:
                parts = [s.width for s in axis if s.width is not None for _ in range(s.each if split else 1)]
                constant = [None for s in axis if s.width is None]
                order = (*constant, *parts) if constant_first else (*parts, *constant)
                mend.append(Declaration(_patterns(name)[0], order=order, dim=dim))
            if mend:
                yield tuple(mend)


def _readings(axis: Axis) -> Iterator[tuple[int, tuple[str | None, ...] | None]]:
    """Blocks and orders that an axis of the same size may have, the one that shapes suggest left out."""
    each = math.gcd(*(s.each for s in axis))
    blocks = [n for n in range(1, min(each, BLOCKS_TRIED) + 1) if each % n == 0]
    orders: dict[tuple[str | None, ...] | None, None] = {None: None}
    if 1 < len(axis) <= SEGMENTS_TRIED:
        plain = tuple(s.width for s in axis)
        # a width that grows by two entries a feature may lie in two parts, as in a concat of h, x, h
        for parts in itertools.product(*({1, s.each if s.width else 1} for s in axis)):
            if sum(parts) <= SEGMENTS_TRIED:
                names = itertools.chain(*([s.width] * n for s, n in zip(axis, parts, strict=True)))
                orders |= dict.fromkeys(order for order in itertools.permutations(names) if order != plain)
    return ((n, order) for n in blocks for order in orders if n > 1 or order is not None)


def overruled(measured: Layout, declarations: Sequence[Declaration], mend: Sequence[Declaration]) -> bool:
    """Whether `mend` reads an axis otherwise than a person has declared it."""
    places = [place for place in open_places(measured) if any(d.read(*place) for d in declarations)]
    return any(d.read(*place) is not None for place in places for d in mend)


def open_places(layout: Layout) -> list[Place]:
    """The axes whose order shapes leave open."""
    return [
        (name, dim, axis)
        for name, tensor in layout.tensors.items()
        for dim, axis in enumerate(tensor.axes)
        if axis and (len(axis) > 1 or axis[0].each > 1)
    ]


def _patterns(name: str) -> tuple[str, str, str]:
    """Patterns for the tensors of the module that `name` belongs to, of all modules like it, and of all."""
    owner = name.rpartition(".")[0]
    module = f"{owner}.*" if owner else name
    return module, re.sub(r"(?<![^.])\d+(?=\.)", "*", module), "*"


def _axes(layout: Layout) -> tuple[object, ...]:
    return tuple(tensor.axes for tensor in layout.tensors.values())
