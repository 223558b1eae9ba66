"""The symmetry check: reordering a width's features through the layout must leave the output unchanged.

Structural Dropout asks for unordered features (arXiv 2205.06906, section 3). A wrong layout slices something else
than features, silently; here it is an error with the line that mends it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from core.errors import LayoutError
from core.layout import Axis, Layout, Segment

if TYPE_CHECKING:
    import torch
    from torch import nn

TOLERANCE = 1e-4  # relative; a right layout gives about 1e-7 in float32, a wrong one 0.1 and more
BLOCKS_TRIED = (2, 3, 4, 6, 8, 12, 16)
SEGMENTS_TRIED = 4  # orders of a concat of more parts are not tried: 24 is enough


def explain(factory: Callable[..., nn.Module], layout: Layout, inputs: tuple[Any, ...], error: float, seed: int) -> str:
    """What to tell the user: the reading of one module's axes that passes, else the axis that shapes leave open."""
    found = f"reordering the features changed the output by {error:.2g} (relative), so this layout is wrong"
    open_axes = [(n, d, a) for n, t in layout.tensors.items() for d, a in enumerate(t.axes) if a and _is_open(a)]
    if not open_axes:
        return (
            f"{found}, and no dimension can be read another way; the features are not unordered: the output, or a "
            "reshape inside the model, depends on their positions"
        )
    for name, dim, axis in open_axes:
        pattern = _module_pattern(name)
        for reading, argument in _readings(axis):
            if asymmetry(factory, _read_as(layout, pattern, axis, reading), inputs, seed) <= TOLERANCE:
                return (
                    f"{found}: dimension {dim} of {name!r} ({_words(axis)}) has another order; declare it: "
                    f"Family(...).declare({pattern!r}, {argument})"
                )
    name, dim, axis = open_axes[0]
    argument = "order=(...)" if len({s.width for s in axis}) > 1 else "blocks=<parts that hold every feature once>"
    return (
        f"{found}: dimension {dim} of {name!r} ({_words(axis)}) can be read in more than one way; declare its order: "
        f"Family(...).declare({_module_pattern(name)!r}, {argument})"
    )


def _readings(axis: Axis) -> Iterator[tuple[Axis, str]]:
    """Other orders that an axis of the same size may have, each with the argument that declares it."""
    if len({s.width for s in axis}) < len(axis):
        return  # declared already
    orders = itertools.permutations(axis) if len(axis) <= SEGMENTS_TRIED else iter([axis])
    for order in orders:
        if order != axis:
            yield order, f"order=({', '.join(repr(s.width) for s in order)})"
    for blocks in BLOCKS_TRIED:
        if all(s.each % blocks == 0 for s in axis):
            yield tuple(Segment(s.width, s.each // blocks) for s in axis) * blocks, f"blocks={blocks}"


def _read_as(layout: Layout, pattern: str, axis: Axis, reading: Axis) -> Layout:
    """The layout with every axis like `axis` in the modules of `pattern` read another way."""
    prefix = pattern.removesuffix("*")
    tensors = {
        name: replace(t, axes=tuple(reading if a == axis else a for a in t.axes)) if name.startswith(prefix) else t
        for name, t in layout.tensors.items()
    }
    return Layout(layout.widths, tensors)


def _is_open(axis: Axis) -> bool:
    """Whether shapes leave the order of an axis open."""
    return len(axis) > 1 or axis[0].each > 1


def _words(axis: Axis) -> str:
    return " then ".join(f"{s.each} constant" if s.width is None else f"{s.each} for each {s.width!r}" for s in axis)


def _module_pattern(name: str) -> str:
    """A pattern for all tensors of the module that `name` belongs to."""
    return f"{name.rpartition('.')[0]}.*" if "." in name else name


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    """Every floating tensor in a nest of tuples, lists, mappings and data classes of output."""
    import torch

    if isinstance(value, torch.Tensor):
        if value.is_floating_point():
            yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _tensors(part)
    elif isinstance(value, (tuple, list)):
        for part in value:
            yield from _tensors(part)


def _random_state(module: nn.Module, layout: Layout, generator: torch.Generator) -> dict[str, torch.Tensor]:
    """Random weights of a trained model's size; positive buffers (a variance must be), no two features alike."""
    import torch

    state = {}
    for name, value in module.state_dict().items():
        owned = bool(layout.tensors[name].widths())
        if not value.is_floating_point() or (layout.tensors[name].kind == "buffer" and not owned):
            state[name] = value
        elif layout.tensors[name].kind == "buffer":
            state[name] = 0.5 + torch.rand(value.shape, generator=generator, dtype=value.dtype)
        else:
            fan_in = max(1, value[0].numel()) if value.dim() > 1 else 1
            # vectors are gains and biases: around 1 keeps a norm's output alive
            mean = 0.0 if value.dim() > 1 else 0.5
            noise = torch.randn(value.shape, generator=generator, dtype=value.dtype)
            state[name] = mean + noise / math.sqrt(fan_in)
    # a tied tensor is one tensor under two names
    first: dict[int, str] = {}
    for name, value in module.state_dict(keep_vars=True).items():
        state[name] = state[first.setdefault(id(value), name)]
    return state


def asymmetry(factory: Callable[..., nn.Module], layout: Layout, inputs: tuple[Any, ...], seed: int) -> float:
    """Largest relative change of any output when every width's features are reordered at random."""
    import torch
    from torch.func import functional_call

    generator = torch.Generator().manual_seed(seed)
    inputs = tuple(x.cpu() if isinstance(x, torch.Tensor) else x for x in inputs)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        module = factory(**layout.full).eval()
        state = _random_state(module, layout, generator)
        orders = {name: torch.randperm(w.full, generator=generator).numpy() for name, w in layout.widths.items()}
        permuted = layout.permute(state, orders)
        before = [t.clone() for t in _tensors(functional_call(module, state, inputs))]
        after = list(_tensors(functional_call(module, permuted, inputs)))
    if not before:
        raise LayoutError("the model's output holds no floating-point tensor, so its symmetry can't be checked")
    worst = 0.0
    for a, b in zip(before, after, strict=True):
        if a.shape != b.shape or not torch.isfinite(a).all():
            return math.inf
        scale = float(a.std() if a.numel() > 1 else a.abs().max()) or float(a.abs().max()) or 1.0
        worst = max(worst, float((a - b).abs().max()) / scale)
    return worst
