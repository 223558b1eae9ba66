"""The symmetry check: reordering the features of a width through the layout must leave the output unchanged.

Structural Dropout needs unordered features (arXiv 2205.06906, section 3). A wrong layout would slice something else
than features without a sign; here it is an error that shows the mend (`core.elastic.discovery.repair`).

Imports torch only when it runs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from core.elastic.discovery.factory import Factory, first_line, map_tensors
from core.elastic.discovery.infer import check_shapes
from core.elastic.discovery.outputs import float_tensors, largest_change
from core.elastic.discovery.random_state import Draw, own_numbers, random_numbers
from core.elastic.layout import Axis, Layout
from core.errors import LayoutError, UserError

if TYPE_CHECKING:
    import torch

Orders = Mapping[str, np.ndarray]

DRAWS = 4  # of random weights, since in one of them the few features of a narrow layer may all be dead
SWAPS = 3  # pairs of neighbours that change places, at most
TOLERANCE = 1e-4  # relative; a right layout gives about 1e-7 in float32, a wrong one 0.1 and more


class Probe:
    """A model with random weights at given widths, to compare its output with that for reordered features.

    Runs in double precision where the model can, so that rounding does not look like a wrong layout. The weights are
    reordered in place, so there is one copy of them.

    Parameters
    ----------
    factory
        Builds the model.
    layout
        Names, shapes and kinds of its tensors; their axes may be read anew in `error`.
    widths
        The size of every width.
    inputs
        Positional arguments of the forward.
    seed
        Of the weights and the permutations.
    swaps
        Pairs of neighbours that change places one after the other.
    beside
        Whether a smaller probe has passed already: then this output need not be shown to depend on the order, and all
        widths are reordered at once.

    Raises
    ------
    UserError
        Where the model can't run on the inputs.
    LayoutError
        Where its output can't show a wrong layout, or its tensors are not those of the layout.
    """

    def __init__(
        self, factory: Factory, layout: Layout, widths: Mapping[str, int], inputs: tuple[Any, ...], seed: int,
        swaps: int = 1, beside: bool = False,
    ) -> None:  # fmt: skip
        import torch

        self._generator = torch.Generator("cpu").manual_seed(seed)
        self._factory, self._widths, self._inputs, self.seed = factory, widths, inputs, seed
        self._full_layout, self._layout, self._beside = layout, layout.at(widths), beside
        self._moved: tuple[Layout, list[Orders]] = self._layout, []  # by the last call of `error`
        self._build()
        units = {name: layout.widths[name].unit for name in widths}
        self._generators = {
            name: list(_generators(size // units[name], units[name], swaps, self._generator))
            for name, size in widths.items()
            if size > units[name]
        }
        self._start()

    def error(self, layout: Layout) -> float:
        """Largest relative change of any output when features are reordered as `layout` reads the axes.

        Each width is reordered by generators of all permutations: a cycle and swaps of its neighbours. Widths are
        reordered in groups such that of any two there is a group with only one; with all at once, two widths of the
        same size could hide each other's wrong order.
        """
        self._reorder(self._moved[0], _inverse(self._moved[1]))
        layout, worst = layout.at(self._widths), 0.0
        moved: list[Orders] = []
        self._moved = layout, moved
        names = list(self._generators)
        bits = range(1 if self._beside else len(names).bit_length())
        for bit in bits:
            group = [name for k, name in enumerate(names, 1) if self._beside or k >> bit & 1]
            for k in range(max((len(self._generators[name]) for name in group), default=0)):
                orders = {name: self._generators[name][k % len(self._generators[name])] for name in group}
                if not self._reorder(layout, orders):
                    return math.inf
                moved.append(orders)  # on top of the ones before: all of them leave a right layout's output
                worst = max(worst, largest_change(self._before, self._run()))
                if worst > TOLERANCE:
                    return worst
        return worst

    def differs_by_itself(self) -> bool:
        """Whether the output differs from call to call with nothing changed."""
        self._reorder(self._moved[0], _inverse(self._moved[1]))
        self._moved[1].clear()
        return largest_change(self._before, self._run(self.seed + 1)) > TOLERANCE

    def _build(self) -> None:
        import torch

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            with torch.device("cpu"):
                self._module = self._factory(self._widths).to("cpu").eval()
        check_shapes(self._module, self._full_layout, self._widths)

    def _start(self) -> None:
        """Draw weights, in the precision that the model takes, until a wrong order shows in the output."""
        import torch

        failure: Exception | None = None
        for dtype in (torch.float64, torch.float32):
            self._to(dtype)
            self._prepared = map_tensors(self._inputs, partial(_prepared, dtype=dtype, generator=self._generator))
            try:
                for draw in (*(random_numbers,) * DRAWS, own_numbers):
                    self._draw(draw, dtype)
                    self._before = self._run()
                    if not any(bool(x.isnan().any()) for x in self._before) and (
                        self._beside or self._shows_disorder()
                    ):
                        return
                break
            except Exception as error:  # whatever the user's forward raises; torch's own errors share no base
                failure = error
        else:
            assert failure is not None
            raise UserError(
                f"the model can't run on the example input ({first_line(failure)}); give one that its forward takes"
            ) from failure
        if not self._before:
            raise LayoutError("the model's output holds no floating-point tensor, so its symmetry can't be checked")
        if any(bool(x.isnan().any()) for x in self._before):
            raise LayoutError(
                "the model's output is not a number on the example input, so its symmetry can't be checked"
            )
        raise LayoutError(
            "the model's output on the example input does not depend on the features at all, so their symmetry "
            "can't be checked; give another example input"
        )

    def _to(self, dtype: torch.dtype) -> None:
        import torch

        self._module = self._module.double() if dtype == torch.float64 else self._module.float()

    def _draw(self, draw: Draw, dtype: torch.dtype) -> None:
        """Draw every tensor anew except integers and buffers that no width owns: those may be fixed numbers."""
        if draw is own_numbers:
            self._build()
            self._to(dtype)
        self._tensors: dict[int, tuple[str, torch.Tensor]] = {}  # by identity: a tied tensor has several names
        for name, value in self._module.state_dict(keep_vars=True).items():
            entry = self._layout.tensors[name]
            fixed = not (value.is_floating_point() or value.is_complex()) or (
                entry.kind == "buffer" and not entry.widths()
            )
            if id(value) not in self._tensors:
                self._tensors[id(value)] = name, value
                value.data = value.detach().clone() if fixed else draw(value.detach(), entry.kind, self._generator)

    def _run(self, seed: int | None = None) -> list[torch.Tensor]:
        """Every floating-point output. Nothing that the forward writes outlives the call."""
        import torch

        kept = [(vars(part), dict(vars(part)), dict(part._buffers)) for part in self._module.modules()]
        numbers = [(buffer, buffer.clone()) for buffer in self._module.buffers()]
        inputs = map_tensors(self._prepared, lambda x: x.clone())
        try:
            with torch.random.fork_rng(devices=[]), torch.device("cpu"), torch.no_grad():
                torch.default_generator.manual_seed(self.seed if seed is None else seed)
                return [x.clone() for x in float_tensors(self._module(*inputs))]
        finally:
            for attributes, before, buffers in kept:
                attributes.clear()
                attributes.update(before)
                attributes["_buffers"].clear()
                attributes["_buffers"].update(buffers)
            for buffer, value in numbers:
                buffer.data = value

    def _reorder(self, layout: Layout, orders: Orders) -> bool:
        """Reorder the weights in place; False where two names of one tensor are read in different ways."""
        import torch

        names: dict[int, str] = {}
        for name, value in self._module.state_dict(keep_vars=True).items():
            first = names.setdefault(id(value), name)
            if layout.tensors[first].axes != layout.tensors[name].axes:
                return False
        indices: dict[Axis, torch.Tensor] = {}
        for name, value in self._tensors.values():
            for dim, axis in enumerate(layout.tensors[name].axes):
                if axis and any(segment.width in orders for segment in axis):
                    if axis not in indices:
                        indices[axis] = torch.from_numpy(layout.reordered(axis, orders))
                    value.data.copy_(value.detach().index_select(dim, indices[axis]))
        return True

    def _shows_disorder(self) -> bool:
        """Whether the output changes when each axis is reordered by itself, as a check has to notice."""
        import torch

        moved = []
        for name, value in self._tensors.values():
            for dim, axis in enumerate(self._layout.tensors[name].axes):
                if axis and value.shape[dim] > 1:
                    order = torch.randperm(value.shape[dim], generator=self._generator, device="cpu")
                    order = order if bool((order.diff() < 0).any()) else order.roll(1)
                    value.data.copy_(value.detach().index_select(dim, order))
                    moved.append((value, dim, order.argsort()))
        shows = largest_change(self._before, self._run()) > TOLERANCE
        for value, dim, order in reversed(moved):
            value.data.copy_(value.detach().index_select(dim, order))
        return shows


def _generators(groups: int, unit: int, swaps: int, generator: torch.Generator) -> Iterator[np.ndarray]:
    """Generators of all permutations of `groups` groups of `unit` features: a cycle, and swaps of its neighbours.

    One cycle and one swap of neighbours in it generate the symmetric group; a single random permutation can leave a
    hidden order as it is. The cycle runs through the groups in random order.
    """
    import torch

    through = torch.randperm(groups, generator=generator, device="cpu").numpy()
    orders = [np.arange(groups) for _ in range(1 + min(swaps, groups - 1))]
    orders[0][through] = np.roll(through, 1)
    for k, order in enumerate(orders[1:]):
        order[through[[k, k + 1]]] = through[[k + 1, k]]
    for order in orders:
        yield (order[:, None] * unit + np.arange(unit)).reshape(-1)


def _inverse(applied: Sequence[Orders]) -> Orders:
    """The orders that undo all those applied, one after the other."""
    total: dict[str, np.ndarray] = {}
    for orders in applied:
        for name, order in orders.items():
            total[name] = total[name][order] if name in total else order
    return {name: np.argsort(order) for name, order in total.items()}


def _prepared(x: torch.Tensor, dtype: torch.dtype, generator: torch.Generator) -> torch.Tensor:
    """An input on the CPU in the model's precision; random where it is constant, which could hide a wrong layout."""
    import torch

    x = x.detach().cpu()
    if not x.is_floating_point():
        return x
    if x.numel() and bool((x == x.flatten()[0]).all()):
        return torch.rand(x.shape, generator=generator, dtype=dtype, device="cpu")
    return x.to(dtype)
