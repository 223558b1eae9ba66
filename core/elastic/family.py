"""A family: a function from widths to modules. Layout by shape difference, slicing, and the symmetry check."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from core.elastic.discovery.axis_rules import Declaration, declared
from core.elastic.discovery.factory import Factory, reason
from core.elastic.discovery.infer import measure
from core.elastic.discovery.torch_modules import known
from core.elastic.layout import Layout, Width
from core.elastic.size_grid import narrowed
from core.errors import LayoutError, UserError
from core.utils.numbers import whole_number

if TYPE_CHECKING:
    from torch import nn

    from core.elastic.discovery.symmetry import Probe

# a sibling lives on the meta device: it costs no weights, but 3 to 4 kB for each module inside it
MODULES_KEPT, SIBLINGS_KEPT = 16_384, 64  # at most so many modules, and at least so many siblings


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
        self._widths = {name: _width(name, size) for name, size in full_widths.items()}
        self._factory = Factory(build, self._widths)
        self._declarations: tuple[Declaration, ...] = ()
        self._measured: Layout | None = None  # what shapes say, before any declaration
        self._known: tuple[Declaration, ...] = ()  # of PyTorch's own modules
        self._found: tuple[Declaration, ...] = ()  # by trying what shapes leave open
        self._layout: Layout | None = None
        self._siblings: OrderedDict[tuple[int, ...], nn.Module] = OrderedDict()
        self._siblings_kept: int | None = None  # how many at most; known with the first
        self._checked: dict[tuple[Any, ...], float] = {}
        #: Registry name and settings where the factory is one of `core.models`; a run can then be rebuilt from disk.
        self.source: dict[str, Any] | None = None

    def declare(
        self,
        pattern: str,
        *,
        blocks: int = 1,
        order: Sequence[str | None] | None = None,
        dim: int | None = None,
    ) -> Family:
        """Say what shapes can't tell of the matching axes.

        Parameters
        ----------
        pattern
            Matched against parameter and buffer names as in a shell: `*.qkv.*`. Of the tensors that match, the
            declaration speaks of the axes that are made of the widths in `order` and that `blocks` divides.
        blocks
            The axis holds that many equal parts, each with every feature once, as a fused q, k, v holds three.
        order
            The widths in the order of a concat, None for a part of constant size: `("b", None, "a")`.
        dim
            Only this dimension.

        Of two declarations that speak of an axis, the later holds. Returns the family itself, so that it stands in
        one line with the factory.
        """
        count = whole_number(blocks)
        if count is None or count < 1:
            raise UserError(f"blocks is {blocks!r}; it wants a whole number of at least 1")
        self._declarations += (Declaration(pattern, count, None if order is None else tuple(order), dim),)
        self._layout, self._found = None, ()
        self._checked.clear()
        return self

    @property
    def layout(self) -> Layout:
        """Which dimension of which tensor belongs to which width. Raises LayoutError where shapes don't tell."""
        if self._layout is None:
            self._layout = declared(self._shapes(), self._declarations, (*self._known, *self._found))
        return self._layout

    def build(self, **widths: int) -> nn.Module:
        """A plain module of the user's own class at `widths`; widths that are left out stay full."""
        return self._factory(self.layout.check_widths(widths))

    def sibling(self, **widths: int) -> nn.Module:
        """The module at `widths` with its weights on the meta device, to run slices through; kept for the next time.

        Tensors that its state dict leaves out (a buffer that is not persistent, a plain attribute) are real.
        """
        checked = self.layout.check_widths(widths)
        key = tuple(checked.values())
        if key not in self._siblings:
            sibling = self._siblings[key] = self._factory.sibling(checked)
            if self._siblings_kept is None:
                self._siblings_kept = max(SIBLINGS_KEPT, MODULES_KEPT // sum(1 for _ in sibling.modules()))
            while len(self._siblings) > self._siblings_kept:
                self._siblings.popitem(last=False)
        self._siblings.move_to_end(key)
        return self._siblings[key]

    def narrowed(self, low: int, top: int) -> Family:
        """The same family with the point `top` of a sweep as its full size and `low` as its lower bound."""
        family = copy.copy(self)  # siblings are kept once, whoever asks for them
        family._layout = narrowed(self.layout, low, top)
        return family

    def slice(self, state: Mapping[str, Any], /, **widths: int) -> dict[str, Any]:
        """A state dict of `build(**widths)`: leading parts of the full one, as views where they are one run.

        Pure: no number is changed. `state` may hold torch tensors or NumPy arrays.
        """
        return self.layout.slice(state, self.layout.check_widths(widths))

    def permute(self, state: Mapping[str, Any], /, **orders: Any) -> dict[str, Any]:
        """The full state with features reordered: feature i of a width is what feature `orders[width][i]` was."""
        return self.layout.permute(state, orders)

    def full_state(self, state: Mapping[str, Any], /) -> dict[str, Any]:
        """Somebody's weights as the full model's own state dict: on the CPU, of its types, tied ones under each name.

        Raises UserError, in one sentence, where a name, a shape or a number is not what the full model has.
        """
        from core.elastic.discovery.importance import check_state, complete

        return complete(check_state(state, self.layout), self._factory.aside(self.layout.full))

    def order(
        self,
        state: Mapping[str, Any],
        /,
        by: str = "norm",
        *,
        batch: tuple[Any, Any] | None = None,
        task: str = "classification",
    ) -> dict[str, Any]:
        """The weights of a trained full model with the most important features of every width first.

        The full model's output stays as it is, and the leading slices become a fair start for a short training.

        Parameters
        ----------
        state
            Names and tensors of the full model; nothing of it is changed.
        by
            `norm`: of all weights that a feature owns. `gradient`: of each of them times the loss's gradient on
            `batch`, summed.
        batch
            Inputs and targets, `(x, y)`; the symmetry check runs on the inputs first.
        task
            Whose loss `gradient` takes.

        Raises UserError for weights that are not the full model's, and LayoutError where the layout is wrong.
        """
        from core.elastic.discovery import importance as discovery_importance

        if by not in discovery_importance.BY:
            raise UserError(f"features can't be ordered by {by!r}; choose one of {', '.join(discovery_importance.BY)}")
        if batch is None and by == "gradient":
            raise UserError("ordering by gradient wants examples: order(state, 'gradient', batch=(x, y))")
        given = self.full_state(state)
        if batch is not None:
            self.check(discovery_importance.example(batch))
        elif not self._checked and self._open():
            raise UserError(
                "shapes leave this layout open and it has not been checked yet; run family.check(x) first, or give a "
                "batch=(x, y)"
            )
        scores = (
            given
            if by == "norm"
            else discovery_importance.gradients(self._factory.aside(self.layout.full), given, batch, task)
        )
        found = discovery_importance.importance(self.layout, scores, power=2 if by == "norm" else 1)
        return self.permute(given, **discovery_importance.descending(found))

    def params(self, **widths: int) -> int:
        """Number of parameters at `widths`; a tied one counts once."""
        return self.layout.params(self.layout.check_widths(widths))

    def macs(self, *example_inputs: Any, **widths: int) -> int:
        """Multiply-accumulates of one forward pass on `example_inputs` at `widths`, counted on the meta device.

        Matrix products, convolutions and attention count; elementwise work does not
        (`torch.utils.flop_counter` counts two operations for each). A model that looks at its numbers is run for real.
        """
        import torch
        from torch.utils.flop_counter import FlopCounterMode

        from core.elastic.discovery.symmetry import map_tensors

        checked = self.layout.check_widths(widths)

        def count(model: nn.Module, device: str) -> int:
            inputs = map_tensors(example_inputs, lambda x: x.detach().to(device, copy=True))
            with torch.random.fork_rng(devices=[]), torch.no_grad(), FlopCounterMode(display=False) as counter:
                model.eval()(*inputs)
            return int(counter.get_total_flops()) // 2

        try:
            return count(self._factory.shapes(checked), "meta")
        except UserError:
            raise
        except Exception:  # control flow on data, or an operator that knows no meta device
            model = self._factory.aside(checked)
        try:
            return count(model, "cpu")
        except Exception as error:
            raise UserError(
                f"the model can't run on the example input ({reason(error)}); give one that fits"
            ) from error

    def check(self, *example_inputs: Any, seed: int = 0) -> float:
        """The symmetry check: features are unordered, so reordering them must not change the output.

        Runs once for each kind of input (later calls are free) on random weights and buffers, so that a wrong layout
        can't hide behind zeros or ones. Where shapes leave the order of an axis open, the few possible readings are
        tried and one that passes is taken. Returns the largest relative error. Raises LayoutError where none passes,
        or where the user's own declaration is wrong; it names the parameter, the dimension and the mend.
        """
        from core.elastic.discovery.symmetry import TOLERANCE, Probe

        kinds = ((tuple(x.shape), str(x.dtype)) if hasattr(x, "shape") else repr(x) for x in example_inputs)
        key = (seed, *kinds)
        if key not in self._checked:
            probe = Probe(lambda: self._factory(self.layout.full), self.layout, example_inputs, seed)
            error = probe.error(self.layout)
            if not error <= TOLERANCE:
                error = self._mend(probe, error)
            self._checked[key] = error
        return self._checked[key]

    def _mend(self, probe: Probe, error: float) -> float:
        """Take the reading of the open axes that passes, and give its error. Raises LayoutError where none does."""
        from core.elastic.discovery.repair import explain, find_mend, overruled

        shapes, own = self._shapes(), self._declarations
        mend = () if probe.differs_by_itself() else find_mend(probe, shapes, own, (*self._known, *self._found))
        if not mend or overruled(shapes, own, mend):
            raise LayoutError(explain(probe, shapes, own, mend, error))
        self._found, self._layout = (*self._found, *mend), None
        self._checked.clear()  # what passed before has to pass again
        return probe.error(self.layout)

    def _open(self) -> bool:
        """Whether shapes leave any axis to be read in more than one way."""
        from core.elastic.discovery.repair import open_places

        return bool(open_places(self._shapes()))

    def _shapes(self) -> Layout:
        if self._measured is None:
            self._measured = measure(self._factory, self._widths)
            self._known = known(self._factory.shapes(self._measured.full))
        return self._measured


def _width(name: str, size: Any) -> Width:
    """What a family was told of one width. Raises UserError where that is no size, or leaves nothing to drop."""
    full = size.full if isinstance(size, Width) else whole_number(size)
    if full is None or full < 2:
        raise UserError(
            f"width {name!r} is {size!r} at full size; it wants a whole number of at least 2 (one feature leaves "
            "nothing to drop), or a Width(full, lower)"
        )
    return size if isinstance(size, Width) else Width(full)
