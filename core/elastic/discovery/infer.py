"""Infer a layout from shapes: build the model without weights at full size and one size smaller in each width."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from core.elastic.discovery.factory import Factory, named_tensors
from core.elastic.layout import DTYPES, Axis, Layout, Segment, Tensor, Width
from core.errors import LayoutError, UserError
from core.utils.numbers import whole_number

if TYPE_CHECKING:
    from torch import nn

COINCIDENCES = 24  # sizes tried because they equal a constant size of the model
STEPS_TRIED = 12  # for the hint in an error


def as_width(name: str, size: Any) -> Width:
    """The range of one width from what a family was given. Raises UserError where it leaves nothing to drop."""
    full = size.full if isinstance(size, Width) else whole_number(size)
    if full is None or full < 2:
        raise UserError(
            f"width {name!r} is {size!r} at full size; it must be a whole number of at least 2 (one feature leaves "
            "nothing to drop), or a Width(full, lower)"
        )
    return size if isinstance(size, Width) else Width(full)


def infer_layout(factory: Factory, widths: Mapping[str, Width]) -> Layout:
    """The layout that shapes suggest, before any rule. Raises LayoutError where a width does more than resize tensors.

    An axis that grows by n entries a feature is read as n neighbouring ones; the rest of it is constant.
    """
    full = {name: width.full for name, width in widths.items()}
    module = factory.shapes(full)
    tensors, parameters = named_tensors(module), dict(module.named_parameters(remove_duplicate=False))
    smaller = {name: {**full, name: _next_below(width)} for name, width in widths.items()}
    narrow = {name: named_tensors(_built(factory, widths, name, at)) for name, at in smaller.items()}
    for width, others in narrow.items():
        for name in tensors.keys() ^ others.keys():
            raise LayoutError(f"tensor {name!r} is not there at every {width!r}; a width may only resize tensors")
        for name, value in tensors.items():
            if others[name].dim() != value.dim():
                raise LayoutError(f"tensor {name!r} does not have the same number of dimensions at every {width!r}")
    entries: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, value in tensors.items():
        dtype = str(value.dtype).removeprefix("torch.")
        if dtype not in DTYPES:
            raise LayoutError(f"tensor {name!r} is of {dtype}, which no safetensors file can hold")
        axes = tuple(
            _axis(name, dim, size, {w: (at[w], narrow[w][name].shape[dim]) for w, at in smaller.items()}, full)
            for dim, size in enumerate(value.shape)
        )
        kind = "tied" if id(value) in seen else "parameter" if name in parameters else "buffer"
        seen.add(id(value))
        entries[name] = Tensor(tuple(value.shape), dtype, kind, axes)
    layout = Layout(widths, entries)
    for name in widths:
        if not any(name in tensor.widths() for tensor in entries.values()):
            raise LayoutError(_unused(factory, layout, name))
    for at in _other_sizes(layout):
        check_shapes(factory.shapes(at), layout, at)
    return layout


def check_shapes(module: nn.Module, layout: Layout, widths: Mapping[str, int]) -> nn.Module:
    """`module` itself, if names and shapes of its tensors at `widths` are those of the layout. Raises LayoutError."""
    at = ", ".join(f"{width}={size}" for width, size in widths.items())
    shapes = {name: tuple(value.shape) for name, value in named_tensors(module).items()}
    for name, shape in layout.shapes(widths).items():
        if name not in shapes:
            raise LayoutError(f"tensor {name!r} is not there at {at}; a width may only resize tensors")
        if shapes.pop(name) != shape:
            raise LayoutError(
                f"tensor {name!r} is not of shape {shape} at {at}, as its shapes at full width suggest; a dimension "
                "must grow by the same number for each feature"
            )
    for name in shapes:
        if widths == layout.full:
            raise LayoutError(f"tensor {name!r} is not in every model that the factory builds at {at}; it must be")
        raise LayoutError(f"tensor {name!r} is there at {at}, but not at full width; widths may only resize tensors")
    return module


def _next_below(width: Width) -> int:
    return width.sizes[-2] if len(width.sizes) > 1 else width.full - 1


def _built(factory: Factory, widths: Mapping[str, Width], name: str, at: Mapping[str, int]) -> nn.Module:
    """The model at the next smaller size of a width; its error suggests a step that the factory would take."""
    try:
        return factory.shapes(at)
    except UserError as error:
        width = widths[name]
        steps = [n for n in range(2, width.full // 2 + 1) if width.full % n == 0] if width.step == 1 else []
        for step in steps[:STEPS_TRIED]:
            try:
                for size in (width.full - step, step):
                    factory.shapes({**at, name: size})
            except UserError:
                continue
            raise UserError(
                f"{error}; or give the sizes that it takes: {name}=Width({width.full}, step={step})"
            ) from error
        raise


def _axis(
    name: str, dim: int, size: int, narrow: Mapping[str, tuple[int, int]], full: Mapping[str, int]
) -> Axis | None:
    """The segments of one axis of `size` entries, given for each width a smaller size and the entries there."""
    segments: list[Segment] = []
    for width, (features, entries) in narrow.items():
        if entries > size:
            raise LayoutError(
                f"dimension {dim} of {name!r} shrinks from {entries} to {size} when width {width!r} grows from "
                f"{features} to {full[width]}; it must grow by the same number for each feature"
            )
        each, uneven = divmod(size - entries, full[width] - features)
        if uneven:
            raise LayoutError(
                f"dimension {dim} of {name!r} grows from {entries} to {size} when width {width!r} grows from "
                f"{features} to {full[width]}; it must grow by the same number for each feature"
            )
        if each:
            segments.append(Segment(width, each))
    if not segments:
        return None
    rest = size - sum(s.size(full) for s in segments)
    if rest < 0:
        raise LayoutError(
            f"dimension {dim} of {name!r} has {size} entries but grows by {segments[0].each} a feature of width "
            f"{segments[0].width!r}, as a square or a quotient does; make that part of the factory a width of its own"
        )
    return (*segments, Segment(None, rest)) if rest else tuple(segments)


def _unused(factory: Factory, layout: Layout, name: str) -> str:
    """The error for a width that changes no shape at the next smaller size."""
    width = layout.widths[name]
    for size in (width.sizes[0], width.sizes[len(width.sizes) // 2]):
        try:
            check_shapes(factory.shapes({**layout.full, name: size}), layout, layout.full)
        except UserError:
            return (
                f"no tensor changes between {name}={_next_below(width)} and {name}={width.full}, but some do at "
                f"{name}={size}: the factory rounds; make the number of features itself the width, or give the sizes "
                f"at which it changes: {name}=Width(values=(...))"
            )
    return f"no parameter changes with width {name!r}; does the factory use it?"


def _other_sizes(layout: Layout) -> Iterator[dict[str, int]]:
    """Sizes to compare shapes at: three between, and those at which two sizes of the model coincide.

    A factory like `Identity() if inputs == hidden else Linear(...)` lacks a tensor at such a size alone.
    """
    for share in (0.0, 0.37, 0.71):
        yield {name: w.sizes[round(share * (len(w.sizes) - 1))] for name, w in layout.widths.items()}
    segments = [axis for tensor in layout.tensors.values() for axis in tensor.axes if axis]
    constants = {s.each for axis in segments for s in axis if s.width is None} | {
        size for t in layout.tensors.values() for size, axis in zip(t.shape, t.axes, strict=True) if axis is None
    }
    tried = 0
    for name, width in layout.widths.items():
        multiples = {s.each for axis in segments for s in axis if s.width == name}
        others = {w.full for other, w in layout.widths.items() if other != name}
        for size in sorted({n // each for n in constants | others for each in multiples if n % each == 0}):
            if size in width.sizes and size != width.full and tried < COINCIDENCES:
                tried += 1
                yield {**layout.full, name: size}
