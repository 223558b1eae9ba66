"""Check a layout at two sizes; where that fails, try the few other readings of the axes that shapes leave open.

Shapes leave open whether an axis holds blocks or runs, and in which order a concatenation goes. The first reading that
passes at both sizes is kept; where none does, the error shows what to declare. The search runs at a small size, where
a try costs little, and is bounded in tries and time. Imports torch only when it runs.
"""

from __future__ import annotations

import glob
import itertools
import math
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from core.elastic.discovery.axis_rules import AxisRule, Place, apply_rules, describe, open_axes
from core.elastic.discovery.factory import Factory, first_line
from core.elastic.discovery.infer import check_shapes
from core.elastic.discovery.symmetry import SWAPS, TOLERANCE, Probe
from core.elastic.layout import Axis, Layout
from core.elastic.width import Width
from core.errors import LayoutError, UserError

TRIES = 200  # readings of each kind; one costs a few forward passes of the small model
SECONDS = 15.0  # for the whole search, shared by the kinds: an error must not keep a person waiting
SEGMENTS_TRIED = 4  # orders of a concatenation of more parts are not tried: 24 are enough
BLOCKS_TRIED = 128
RULES_SHOWN = 4  # in an error

Rules = tuple[AxisRule, ...]


def checked_rules(
    factory: Factory, inferred: Layout, declared: Rules, defaults: Rules, inputs: tuple[Any, ...], seed: int
) -> tuple[float, Rules]:
    """Check a layout, and repair it where the user has declared nothing else.

    Parameters
    ----------
    factory
        The family's factory.
    inferred
        The layout from shapes alone.
    declared, defaults
        The user's rules, and those of PyTorch's modules and earlier repairs; the user's prevail.
    inputs
        Positional arguments of the forward.
    seed
        Of weights and permutations.

    Returns
    -------
    tuple
        The largest relative change of the output, and the rules to add to the defaults (empty where it passes as is).

    Raises
    ------
    UserError
        Where the model can't run on the inputs, at full size or at a smaller one.
    LayoutError
        Where no reading passes, or only one that contradicts `declared`; it shows the line that mends it.
    """
    layout = apply_rules(inferred, declared, defaults)
    small, failure = _small_probe(factory, inferred, inputs, seed)
    error = small.error(layout) if small else 0.0
    if failure:
        Probe(factory, inferred, inferred.full, inputs, seed)  # raises where the inputs themselves don't fit
        raise failure
    full = Probe(factory, inferred, inferred.full, inputs, seed, beside=bool(small)) if error <= TOLERANCE else None
    if full:
        error = max(error, full.error(layout))
        if error <= TOLERANCE:
            return error, ()
    first = full or small  # the one that fails
    assert first is not None
    if first.differs_by_itself():
        raise LayoutError(
            "the model gives another output each time, in eval mode too, so its symmetry can't be checked; randomness "
            "belongs to training: F.dropout(x, training=self.training)"
        )
    for rules in _passing(first, inferred, declared, defaults):
        reading = apply_rules(inferred, (*declared, *rules), defaults)
        if full is None:
            full = Probe(factory, inferred, inferred.full, inputs, seed, beside=True)
        repaired = max(probe.error(reading) for probe in (small, full) if probe)
        if repaired <= TOLERANCE:
            if _overrules(rules, inferred, declared):
                raise LayoutError(_how_to_declare(inferred, rules, error))
            return repaired, rules
    raise LayoutError(_unrepaired(inferred, error))


def _small_probe(
    factory: Factory, layout: Layout, inputs: tuple[Any, ...], seed: int
) -> tuple[Probe | None, UserError | None]:
    """The probe at a second size, or the error of a model that can't run at a size within its range."""
    for widths in _second_sizes(layout):
        allowed = all(size in layout.widths[name].sizes for name, size in widths.items())
        if allowed:
            check_shapes(factory.shapes(widths), layout, widths)
        try:
            return Probe(factory, layout, widths, inputs, seed, SWAPS), None
        except LayoutError:  # an output that shows nothing at this size, or a size above the range
            continue
        except UserError as error:
            if allowed:
                at = ", ".join(f"{name}={size}" for name, size in widths.items())
                every = ", ".join(f"{name} {width:from}" for name, width in layout.widths.items())
                cause = first_line(error.__cause__) if isinstance(error.__cause__, Exception) else error
                return None, UserError(
                    f"the model runs on the example input at full size, but not at {at} ({cause}); it must run at "
                    f"{every}, or at the sizes of a Width(full, lower, step) or a Width(values=(...))"
                )
    return None, None


def _second_sizes(layout: Layout) -> Iterator[dict[str, int]]:
    """A small size of three features or more and of the other parity than the full one; else three above it, or one."""
    small = {name: _small(width) for name, width in layout.widths.items()}
    if any(size != layout.full[name] for name, size in small.items()):
        yield small
    for more in (3, 1):  # of fewer features, all may be dead in every draw
        yield {name: width.full + more * width.unit for name, width in layout.widths.items()}


def _small(width: Width) -> int:
    groups = [size for size in width.sizes[:-1] if size >= 3 * width.unit][:8]
    odd = [size for size in groups if (size - width.full) // width.unit % 2]
    return next(iter((*odd, *groups)), width.full)


def _passing(probe: Probe, inferred: Layout, declared: Rules, defaults: Rules) -> Iterator[Rules]:
    """The readings that pass at the probe's size, simple ones first."""
    places = open_axes(inferred)
    kinds: tuple[Iterable[Rules], ...] = (
        ((rule,) for rule in _candidates(places, (0, 1, 2), dims=True)),
        itertools.chain(_concatenations(places), _alike(places)),
        itertools.combinations(_candidates(places, (1,), dims=False), 2),
        _alike_but_one(places),
        itertools.combinations(_candidates(places, (1,), dims=False), 3),
    )
    tried, start = {_axes(apply_rules(inferred, declared, defaults))}, time.monotonic()
    for number, candidates in enumerate(kinds, 1):
        tries = 0
        for rules in candidates:
            layout = apply_rules(inferred, (*declared, *rules), defaults)
            if _axes(layout) not in tried:
                tried.add(_axes(layout))
                tries += 1
                if probe.error(layout) <= TOLERANCE:
                    yield rules
            if tries >= TRIES or time.monotonic() - start > SECONDS * number / len(kinds):
                break


def _candidates(places: Sequence[Place], levels: Sequence[int], *, dims: bool) -> Iterator[AxisRule]:
    """Rules for each place in turn, the narrowest pattern first, with a dimension only where it is needed."""
    seen: set[AxisRule] = set()
    for name, dim, axis in places:
        for blocks, order in _readings(axis):
            for only in (None, dim) if dims else (None,):
                for level in levels:
                    rule = AxisRule(_patterns(name)[level], blocks, order, only)
                    # an order that splits a width in parts may leave nothing that the blocks divide
                    if rule not in seen and rule.apply(name, dim, axis) is not None:
                        seen.add(rule)
                        yield rule


def _concatenations(places: Sequence[Place]) -> Iterator[Rules]:
    """One order for every concatenation of a model, as where each layer reads all layers before it."""
    joined = [place for place in places if len(place[2]) > 1]
    for constant_first, split in itertools.product((True, False), repeat=2):
        rules = []
        for name, dim, axis in joined:
            parts = [s.width for s in axis if s.width is not None for _ in range(s.each if split else 1)]
            constant = [None for s in axis if s.width is None]
            order = (*constant, *parts) if constant_first else (*parts, *constant)
            rules.append(AxisRule(_patterns(name)[0], order=order, dim=dim))
        if rules:
            yield tuple(rules)


def _alike(places: Sequence[Place]) -> Iterator[Rules]:
    """Every open axis in blocks that hold each feature once, in runs of one length.

    So it is where parts of one width are joined, as in a U-Net or a DenseNet: entry i belongs to feature i modulo the
    size, through every concatenation. Runs are those of a head, or of what lies behind a feature.
    """
    each = sorted({math.gcd(*(s.each for s in axis if s.width is not None)) for _, _, axis in places})
    runs = [n for n in range(1, min(max(each, default=1), BLOCKS_TRIED) + 1) if any(e % n == 0 for e in each)]
    for run, constant_first in itertools.product(runs, (True, False)):
        yield tuple(rule for place in places if (rule := _in_blocks(place, run, constant_first)) is not None)


def _alike_but_one(places: Sequence[Place]) -> Iterator[Rules]:
    """As `_alike` with runs of one, but the axes of one module, and those like it, in another run length."""
    bases = list(_alike(places))[:2]
    for base in bases:
        for rule in _candidates([p for p in places if len(p[2]) == 1], (0, 1), dims=True):
            yield (*base, rule)
        for place in places:
            for run in (n for n in range(2, BLOCKS_TRIED) if place[2][0].each % n == 0):
                alone = _in_blocks(place, run, True)
                yield (*base, alone) if alone else base


def _in_blocks(place: Place, run: int, constant_first: bool) -> AxisRule | None:
    name, dim, axis = place
    pattern = glob.escape(name)
    if len(axis) == 1:
        each = axis[0].each
        return AxisRule(pattern, blocks=each // math.gcd(each, run), dim=dim)
    parts = [s.width for s in axis if s.width is not None for _ in range(s.each // math.gcd(s.each, run))]
    constant = [None for s in axis if s.width is None]
    return AxisRule(pattern, order=(*constant, *parts) if constant_first else (*parts, *constant), dim=dim)


def _readings(axis: Axis) -> Iterator[tuple[int, tuple[str | None, ...] | None]]:
    """Blocks and orders that an axis of the same size may have, without the one that shapes suggest."""
    each = math.gcd(*(s.each for s in axis))
    blocks = [n for n in range(1, min(each, BLOCKS_TRIED) + 1) if each % n == 0]
    orders: dict[tuple[str | None, ...] | None, None] = {None: None}
    if 1 < len(axis) <= SEGMENTS_TRIED:
        plain = tuple(s.width for s in axis)
        # a width that grows by two entries a feature may fill two parts, as in a concatenation of h, x, h
        for parts in itertools.product(*({1, s.each if s.width else 1} for s in axis)):
            if sum(parts) <= SEGMENTS_TRIED:
                names = itertools.chain(*([s.width] * n for s, n in zip(axis, parts, strict=True)))
                orders |= dict.fromkeys(order for order in itertools.permutations(names) if order != plain)
    return ((n, order) for n in blocks for order in orders if n > 1 or order is not None)


def _overrules(rules: Rules, inferred: Layout, declared: Rules) -> bool:
    """Whether `rules` read an axis that the user has declared."""
    places = [place for place in open_axes(inferred) if any(rule.apply(*place) for rule in declared)]
    return any(rule.apply(*place) is not None for place in places for rule in rules)


def _how_to_declare(inferred: Layout, rules: Rules, error: float) -> str:
    """The error for a layout that other rules would mend, with the calls that declare them."""
    name, dim, axis = next(p for rule in rules for p in open_axes(inferred) if rule.apply(*p) is not None)
    several = f" and {len(rules) - 1} more" if len(rules) > 1 else ""
    shown = "".join(map(str, rules[:RULES_SHOWN])) + ("..." if len(rules) > RULES_SHOWN else "")
    return (
        f"{_changed(error)}: dimension {dim} of {name!r} ({describe(axis)}){several} has another order than "
        f"declared; declare it: Family(...){shown}"
    )


def _unrepaired(inferred: Layout, error: float) -> str:
    """The error where no reading passes: the axis most likely to be at fault, and the call that declares its order."""
    places = open_axes(inferred)
    if not places:
        return (
            f"{_changed(error)}, and no dimension can be read another way; the features are not unordered: the output, "
            "or a reshape inside the model, depends on their positions"
        )
    name, dim, axis = _suspect(places, inferred)
    argument = "order=(...)" if len({s.width for s in axis}) > 1 else "blocks=<parts that hold every feature once>"
    return (
        f"{_changed(error)}: dimension {dim} of {name!r} ({describe(axis)}) can be read in more than one way; declare "
        f"its order: Family(...).declare({_patterns(name)[0]!r}, {argument}); if none fits, the features are not "
        "unordered"
    )


def _suspect(places: Sequence[Place], layout: Layout) -> Place:
    """A join: an axis of several segments, else an input that no layer's output is as wide as, else any open input."""
    made = {axis for t in layout.tensors.values() for dim, axis in enumerate(t.axes) if axis and dim == 0}
    joins = [place for place in places if len({s.width for s in place[2]}) > 1]
    wider = [place for place in places if place[1] > 0 and place[2] not in made]
    inputs = [place for place in places if place[1] > 0]
    return (joins or wider or inputs or list(places))[0]


def _changed(error: float) -> str:
    return f"reordering the features changed the output by {error:.2g} (relative), so this layout is wrong"


def _patterns(name: str) -> tuple[str, str, str]:
    """Patterns for the tensors of the module that `name` belongs to, of all modules like it, and of all."""
    owner = name.rpartition(".")[0]
    module = f"{owner}.*" if owner else name
    return module, re.sub(r"(?<![^.])\d+(?=\.)", "*", module), "*"


def _axes(layout: Layout) -> tuple[object, ...]:
    return tuple(tensor.axes for tensor in layout.tensors.values())
