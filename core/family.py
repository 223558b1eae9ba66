"""A family: a function from widths to modules. Layout by shape difference, slicing, and the symmetry check."""

from __future__ import annotations

import fnmatch
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.errors import LayoutError, UserError
from core.layout import Axis, Layout, Segment, Tensor, Width
from core.symmetry import TOLERANCE, asymmetry, explain

if TYPE_CHECKING:
    import torch
    from torch import nn

SIBLINGS_KEPT = 512  # siblings live on the meta device, so one costs a few kB and no weights


@dataclass(frozen=True)
class Declaration:
    """What a person says of axes that shapes alone can't tell."""

    pattern: str
    blocks: int = 1
    order: tuple[str | None, ...] | None = None
    dim: int | None = None

    def matches(self, name: str, dim: int) -> bool:
        """Whether it speaks of dimension `dim` of tensor `name`."""
        return fnmatch.fnmatchcase(name, self.pattern) and self.dim in (None, dim)


class Family:
    """One trained set of weights, every width: `Family(build, hidden=256)`.

    Parameters
    ----------
    build
        An ordinary factory, called with every width by name: `build(hidden=256)` gives an `nn.Module`.
    **full_widths
        The full size of each width, or a `Width(full, lower)`.

    Examples
    --------
    >>> from torch import nn
    >>> def build(hidden: int) -> nn.Module:
    ...     return nn.Sequential(nn.Linear(4, hidden), nn.ReLU(), nn.Linear(hidden, 2))
    >>> Family(build, hidden=8).params(hidden=3)
    23
    """

    def __init__(self, build: Callable[..., nn.Module], /, **full_widths: int | Width) -> None:
        if not full_widths:
            raise UserError("a family wants at least one width: Family(build, hidden=256)")
        self._factory = build
        self._widths = {name: w if isinstance(w, Width) else Width(_whole(name, w)) for name, w in full_widths.items()}
        self._declarations: tuple[Declaration, ...] = ()
        self._layout: Layout | None = None
        self._siblings: OrderedDict[tuple[int, ...], nn.Module] = OrderedDict()
        self._checked: set[tuple[Any, ...]] = set()
        #: Registry name and settings where the factory is one of `core.models`; a run can then be rebuilt from disk.
        self.source: dict[str, Any] | None = None

    def declare(
        self, pattern: str, *, blocks: int = 1, order: Sequence[str | None] | None = None, dim: int | None = None
    ) -> Family:
        """Say what shapes can't tell of the matching axes.

        Parameters
        ----------
        pattern
            Matched against parameter and buffer names as in a shell: `*.qkv.*`.
        blocks
            The axis holds that many equal parts, each with every feature once, as a fused q, k, v holds three.
        order
            The widths in the order of a concat, None for a part of constant size: `("b", None, "a")`.
        dim
            Only this dimension.

        Returns the family itself, so that it stands in one line with the factory.
        """
        self._declarations += (
            Declaration(pattern, _whole("blocks", blocks), None if order is None else tuple(order), dim),
        )
        self._layout = None
        self._checked.clear()
        return self

    @property
    def layout(self) -> Layout:
        """Which dimension of which tensor belongs to which width. Raises LayoutError where shapes don't tell."""
        if self._layout is None:
            self._layout = self._find_layout()
        return self._layout

    def build(self, **widths: int) -> nn.Module:
        """A plain module of the user's own class at `widths`; widths that are left out stay full."""
        return self._factory(**self.layout.check_widths(widths))

    def sibling(self, **widths: int) -> nn.Module:
        """The module at `widths` on the meta device, to run slices through; kept for the next time."""
        checked = self.layout.check_widths(widths)
        key = tuple(checked.values())
        if key not in self._siblings:
            self._siblings[key] = self._on_meta(checked)
            if len(self._siblings) > SIBLINGS_KEPT:
                self._siblings.popitem(last=False)
        self._siblings.move_to_end(key)
        return self._siblings[key]

    def slice(self, state: Mapping[str, Any], **widths: int) -> dict[str, Any]:
        """A state dict of `build(**widths)`: leading parts of the full one, as views where they are one run.

        Pure: no number is changed. `state` may hold torch tensors or NumPy arrays.
        """
        return self.layout.slice(state, self.layout.check_widths(widths))

    def permute(self, state: Mapping[str, Any], **orders: Any) -> dict[str, Any]:
        """The full state with features reordered: feature i of a width is what feature `orders[width][i]` was."""
        return self.layout.permute(state, orders)

    def params(self, **widths: int) -> int:
        """Number of trainable parameters at `widths`."""
        return self.layout.params(self.layout.check_widths(widths))

    def macs(self, *example_inputs: Any, **widths: int) -> int:
        """Multiply-accumulates of one forward pass on `example_inputs` at `widths`, counted on the meta device.

        Matrix products, convolutions and attention count; elementwise work does not
        (`torch.utils.flop_counter` counts two operations for each).
        """
        import torch
        from torch.utils.flop_counter import FlopCounterMode

        sibling = self.sibling(**widths).eval()
        inputs = [x.to("meta") if isinstance(x, torch.Tensor) else x for x in example_inputs]
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            sibling(*inputs)
        return int(counter.get_total_flops()) // 2

    def check(self, *example_inputs: Any, seed: int = 0) -> float:
        """The symmetry check: features are unordered, so reordering them must not change the output.

        Runs once for each kind of input (later calls are free) on random weights and buffers, so that a wrong layout
        can't hide behind zeros or ones. Returns the largest relative error. Raises LayoutError that names the
        parameter, the dimension and the declaration that mends it.
        """
        key = tuple((tuple(x.shape), str(x.dtype)) if hasattr(x, "shape") else repr(x) for x in example_inputs)
        if key in self._checked:
            return 0.0
        error = asymmetry(self._factory, self.layout, example_inputs, seed)
        if not error <= TOLERANCE:
            raise LayoutError(explain(self._factory, self.layout, example_inputs, error, seed))
        self._checked.add(key)
        return error

    def _on_meta(self, widths: Mapping[str, int]) -> nn.Module:
        import torch

        with torch.device("meta"):
            try:
                return self._factory(**widths)
            except TypeError as error:
                raise UserError(f"the factory can't be called with {', '.join(widths)} by name: {error}") from error

    def _find_layout(self) -> Layout:
        full = {name: w.full for name, w in self._widths.items()}
        module = self._on_meta(full)
        narrow = {name: _named(self._on_meta({**full, name: _smaller(w)})) for name, w in self._widths.items()}
        tensors: dict[str, Tensor] = {}
        seen: dict[int, str] = {}
        parameters = dict(module.named_parameters(remove_duplicate=False))
        for name, value in _named(module).items():
            for other, others in narrow.items():
                if name not in others or others[name].dim() != value.dim():
                    raise LayoutError(
                        f"tensor {name!r} is not the same in kind at every {other!r}; a width may only resize it"
                    )
            axes = tuple(
                self._axis(name, dim, {w: narrow[w][name].shape[dim] for w in narrow}, value.shape[dim])
                for dim in range(value.dim())
            )
            kind = "buffer" if name not in parameters else "tied" if id(value) in seen else "parameter"
            seen[id(value)] = name
            tensors[name] = Tensor(tuple(value.shape), str(value.dtype).removeprefix("torch."), kind, axes)
        layout = Layout(self._widths, tensors)
        for name in self._widths:
            if not any(name in t.widths() for t in tensors.values()):
                raise LayoutError(f"no parameter changes with width {name!r}; does the factory use it?")
        self._check_shapes(layout)
        return layout

    def _axis(self, name: str, dim: int, narrow: Mapping[str, int], size: int) -> Axis | None:
        """The segments of one axis, from how its size changes when each width is one (or more) smaller."""
        segments: list[Segment] = []
        for width, limits in self._widths.items():
            step = limits.full - _smaller(limits)
            lost = size - narrow[width]
            if lost == 0:
                continue
            if lost < 0 or lost % step:
                raise LayoutError(
                    f"dimension {dim} of {name!r} goes from {narrow[width]} to {size} when width {width!r} goes from "
                    f"{_smaller(limits)} to {limits.full}; it must grow by a whole number for each feature"
                )
            segments.append(Segment(width, lost // step))
        if not segments:
            return None
        rest = size - sum(s.size({w: limits.full for w, limits in self._widths.items()}) for s in segments)
        if rest < 0:
            raise LayoutError(
                f"dimension {dim} of {name!r} has {size} entries but grows by {segments[0].each} a feature of width "
                f"{segments[0].width!r}, as a square does; make that part of the factory a width of its own"
            )
        if rest:
            segments.append(Segment(None, rest))
        declared = next((d for d in reversed(self._declarations) if d.matches(name, dim)), None)
        if declared is None:
            return tuple(segments)
        if declared.order is not None:
            by_width = {s.width: s for s in segments}
            if sorted(map(str, by_width)) != sorted(map(str, declared.order)):
                raise LayoutError(
                    f"dimension {dim} of {name!r} is made of {', '.join(map(repr, by_width))}, not of "
                    f"{', '.join(map(repr, declared.order))}; mend the declaration {declared.pattern!r}"
                )
            segments = [by_width[width] for width in declared.order]
        if any(s.each % declared.blocks for s in segments):
            raise LayoutError(
                f"dimension {dim} of {name!r} has {segments[0].each} entries a feature, which {declared.blocks} blocks "
                f"don't divide; mend the declaration {declared.pattern!r}"
            )
        return tuple(Segment(s.width, s.each // declared.blocks) for s in segments) * declared.blocks

    def _check_shapes(self, layout: Layout) -> None:
        """The layout against real shapes at other widths: sizes that are no straight line in a width show here."""
        for part in (0.0, 0.37, 0.71):
            widths = {name: w.lower + round(part * (w.full - w.lower)) for name, w in self._widths.items()}
            shapes = {name: tuple(value.shape) for name, value in _named(self._on_meta(widths)).items()}
            for name, shape in layout.shapes(widths).items():
                if shapes.get(name) != shape:
                    raise LayoutError(
                        f"tensor {name!r} has shape {shapes.get(name)} at {widths}, a straight line wants {shape}; "
                        "a dimension must grow by the same number for each feature"
                    )


def _whole(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise UserError(f"{name!r} is {value!r}; it wants a whole number of at least 1")
    return value


def _smaller(width: Width) -> int:
    """A size below full to compare shapes with; a width of one feature has none to lose."""
    if width.full == 1:
        raise UserError("a full width of 1 leaves nothing to drop; choose 2 or more")
    return width.full - 1


def _named(module: nn.Module) -> dict[str, torch.Tensor]:
    """Every tensor of the state dict by name, tied ones under each of their names."""
    return dict(module.state_dict(keep_vars=True))
