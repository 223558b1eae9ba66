"""A layout from shapes: build the model at full width and with each width one smaller, and see what changes."""

from __future__ import annotations

from collections.abc import Mapping

from core.elastic.discovery.factory import Factory, named_tensors
from core.elastic.layout import DTYPES, Axis, Layout, Segment, Tensor, Width
from core.errors import LayoutError


def measure(factory: Factory, widths: Mapping[str, Width]) -> Layout:
    """What shapes say, before any declaration. Raises LayoutError where a width does more than resize tensors."""
    full = {name: width.full for name, width in widths.items()}
    module = factory.shapes(full)
    named, parameters = named_tensors(module), dict(module.named_parameters(remove_duplicate=False))
    narrow = {name: named_tensors(factory.shapes({**full, name: size - 1})) for name, size in full.items()}
    tensors: dict[str, Tensor] = {}
    seen: set[int] = set()
    for other, others in narrow.items():
        for name in named.keys() ^ others.keys():
            raise LayoutError(f"tensor {name!r} is not there at every {other!r}; a width may only resize tensors")
    for name, value in named.items():
        for other, others in narrow.items():
            if others[name].dim() != value.dim():
                raise LayoutError(f"tensor {name!r} has not as many dimensions at every {other!r}")
        dtype = str(value.dtype).removeprefix("torch.")
        if dtype not in DTYPES:
            raise LayoutError(f"tensor {name!r} is of {dtype}, which no safetensors file can hold")
        axes = tuple(
            _axis(name, dim, value.shape[dim], {w: narrow[w][name].shape[dim] for w in narrow}, full)
            for dim in range(value.dim())
        )
        kind = "tied" if id(value) in seen else "parameter" if name in parameters else "buffer"
        seen.add(id(value))
        tensors[name] = Tensor(tuple(value.shape), dtype, kind, axes)
    layout = Layout(widths, tensors)
    for name in widths:
        if not any(name in t.widths() for t in tensors.values()):
            raise LayoutError(f"no parameter changes with width {name!r}; does the factory use it?")
    _check_between(layout, factory)
    return layout


def _axis(name: str, dim: int, size: int, narrow: Mapping[str, int], full: Mapping[str, int]) -> Axis | None:
    """The segments of one axis, from how its size changes when each width is one smaller."""
    segments: list[Segment] = []
    for width, smaller in narrow.items():
        if smaller > size:
            raise LayoutError(
                f"dimension {dim} of {name!r} shrinks from {smaller} to {size} when width {width!r} grows from "
                f"{full[width] - 1} to {full[width]}; it must grow by the same number for each feature"
            )
        if smaller < size:
            segments.append(Segment(width, size - smaller))
    if not segments:
        return None
    rest = size - sum(s.size(full) for s in segments)
    if rest < 0:
        raise LayoutError(
            f"dimension {dim} of {name!r} has {size} entries but grows by {segments[0].each} a feature of width "
            f"{segments[0].width!r}, as a square or a quotient does; make that part of the factory a width of its own"
        )
    return (*segments, Segment(None, rest)) if rest else tuple(segments)


def _check_between(layout: Layout, factory: Factory) -> None:
    """The layout against real shapes at other widths: sizes that are no straight line in a width show here."""
    for part in (0.0, 0.37, 0.71):
        widths = {name: w.lower + round(part * (w.full - w.lower)) for name, w in layout.widths.items()}
        at = ", ".join(f"{width}={size}" for width, size in widths.items())
        shapes = {name: tuple(value.shape) for name, value in named_tensors(factory.shapes(widths)).items()}
        for name, shape in layout.shapes(widths).items():
            if name not in shapes:
                raise LayoutError(f"tensor {name!r} is not there at {at}; a width may only resize tensors")
            if shapes.pop(name) != shape:
                raise LayoutError(
                    f"tensor {name!r} is not of shape {shape} at {at}, as its shapes at full width say; a dimension "
                    "must grow by the same number for each feature"
                )
        for name in shapes:
            raise LayoutError(
                f"tensor {name!r} is there at {at}, but not at full width; widths may only resize tensors"
            )
