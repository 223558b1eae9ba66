"""Family: a function from widths to modules, and the part of every tensor that each width owns.

The method, part 1: `core.elastic.discovery` infers the layout, checks it and repairs it; slicing is plain data
(`core.elastic.layout`).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from core.elastic.discovery.axis_rules import AxisRule, apply_rules, open_axes, torch_module_rules
from core.elastic.discovery.factory import Factory, SiblingCache
from core.elastic.discovery.infer import as_width, check_shapes, infer_layout
from core.elastic.layout import Layout, Width
from core.elastic.size_grid import narrowed
from core.errors import UserError
from core.utils.numbers import whole_number

if TYPE_CHECKING:
    from torch import nn


class Family:
    """One trained set of weights, every width: `Family(build, hidden=256)`.

    Parameters
    ----------
    build
        An ordinary factory, called with every width by name: `build(hidden=256)` returns an `nn.Module`.
    **full_widths
        The full size of each width, or a `Width(full, lower)`, in steps or a list of sizes where the factory needs it.

    Raises
    ------
    UserError
        Where no width is given, or one that leaves nothing to drop.

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
            raise UserError("a family needs at least one width: Family(build, hidden=256)")
        self._widths = {name: as_width(name, size) for name, size in full_widths.items()}
        self._factory = Factory(build, self._widths)
        self._inferred: Layout | None = None  # from shapes alone
        self._module_rules: tuple[AxisRule, ...] = ()  # of PyTorch's own modules
        self._repairs: tuple[AxisRule, ...] = ()  # from the symmetry check
        self._declared: tuple[AxisRule, ...] = ()
        self._layout: Layout | None = None
        self._siblings = SiblingCache()
        self._errors: dict[tuple[Any, ...], float] = {}  # of the symmetry checks so far
        #: Registry name and settings where the factory is one of `core.models`; such a run can be rebuilt from disk.
        self.source: dict[str, Any] | None = None

    def declare(
        self, pattern: str, *, blocks: int = 1, order: Sequence[str | None] | None = None, dim: int | None = None
    ) -> Family:
        """Declare the order of axes where shapes leave it open.

        Parameters
        ----------
        pattern
            Shell pattern for names of parameters and buffers: `*.qkv.*`. Of the matching tensors, the axes that
            consist of the widths in `order` and that `blocks` divides are meant.
        blocks
            The axis holds this many equal parts, each with every feature once, as a fused q, k, v holds three.
        order
            The widths in the order of a concatenation, None for a part of constant size: `("b", None, "a")`.
        dim
            Only this dimension.

        Returns
        -------
        Family
            The family itself, so that the call chains. Of two declarations for one axis, the later holds.

        Raises
        ------
        UserError
            Where `blocks` is not a whole number of at least 1.
        """
        count = whole_number(blocks)
        if count is None or count < 1:
            raise UserError(f"blocks is {blocks!r}; it must be a whole number of at least 1")
        self._declared += (AxisRule(pattern, count, None if order is None else tuple(order), dim),)
        self._layout, self._repairs = None, ()
        self._errors.clear()
        return self

    @property
    def layout(self) -> Layout:
        """Which dimension of which tensor belongs to which width. Raises LayoutError where no layout fits."""
        if self._layout is None:
            self._layout = apply_rules(self._from_shapes(), self._declared, (*self._module_rules, *self._repairs))
        return self._layout

    def build(self, **widths: int) -> nn.Module:
        """A plain module of the user's own class at `widths`; widths that are left out stay full."""
        checked = self.layout.check_widths(widths)
        return check_shapes(self._factory(checked), self.layout, checked)

    def sibling(self, **widths: int) -> nn.Module:
        """The module at `widths` with its weights on the meta device, to run slices through; cached and shared.

        Tensors outside its state dict (a buffer that is not persistent, a plain attribute) are real.
        """
        key = tuple(self.layout.check_widths(widths).values())
        return self._siblings.get(key, lambda: self.new_sibling(**widths))

    def new_sibling(self, **widths: int) -> nn.Module:
        """A sibling of one's own, for whoever changes it (a tracer does)."""
        checked = self.layout.check_widths(widths)
        return check_shapes(self._factory.sibling(checked), self.layout, checked)

    def narrowed(self, low: int, top: int) -> Family:
        """The same family with the sweep's point `top` as its full size and `low` as its lower bound."""
        family = copy.copy(self)  # the cache of siblings stays shared
        family._layout = narrowed(self.layout, low, top)
        return family

    def slice(self, state: Mapping[str, Any], /, **widths: int) -> dict[str, Any]:
        """The state dict of `build(**widths)`: leading parts of the full one, as views where they are contiguous.

        `state` may hold torch tensors or NumPy arrays; no number is changed.
        """
        return self.layout.slice(state, self.layout.check_widths(widths))

    def permute(self, state: Mapping[str, Any], /, **orders: Any) -> dict[str, Any]:
        """The full state with features reordered: feature i of a width is what feature `orders[width][i]` was."""
        return self.layout.permute(state, orders)

    def full_state(self, state: Mapping[str, Any], /) -> dict[str, Any]:
        """Foreign weights as the full model's own state dict: on the CPU, of its types, tied ones under each name.

        Raises UserError, in one sentence, where a name, a shape or a number is not what the full model has.
        """
        from core.elastic.discovery.importance import full_state

        return full_state(state, self.layout, self._factory)

    def order(
        self, state: Mapping[str, Any], /, by: str = "norm", *, batch: tuple[Any, Any] | None = None,
        task: str = "classification",
    ) -> dict[str, Any]:  # fmt: skip
        """Reorder a trained full model so that the most important features of every width come first.

        The full model's output stays the same, and its leading slices become a fair start for a short training.

        Parameters
        ----------
        state
            Names and tensors of the full model; left unchanged.
        by
            `norm`: of all weights that a feature owns. `gradient`: each of them times the loss's gradient on `batch`,
            summed.
        batch
            Inputs and targets, `(x, y)`; the symmetry check runs on the inputs first.
        task
            The task whose loss `gradient` takes.

        Raises
        ------
        UserError
            For weights that are not the full model's, and LayoutError where the layout is wrong.
        """
        from core.elastic.discovery import importance

        importance.check_criterion(by, batch)
        full = self.full_state(state)
        if batch is not None:
            self.check(importance.example(batch))
        elif not self._errors and open_axes(self._from_shapes()):
            raise UserError(
                "shapes leave this layout open and it has not been checked yet; run family.check(x) first, or give a "
                "batch=(x, y)"
            )
        return self.permute(full, **importance.feature_order(self._factory, self.layout, full, by, batch, task))

    def params(self, **widths: int) -> int:
        """Number of parameters at `widths`; a tied one counts once."""
        return self.layout.params(self.layout.check_widths(widths))

    def macs(self, *example_inputs: Any, **widths: int) -> int:
        """Multiply-accumulates of one forward pass on `example_inputs` at `widths` (`discovery.cost`)."""
        from core.elastic.discovery.cost import count_macs

        return count_macs(self._factory, self.layout.check_widths(widths), example_inputs)

    def check(self, *example_inputs: Any, seed: int = 0) -> float:
        """Check that features are unordered: reordering them must not change the output (`discovery.symmetry`).

        Runs once for each kind of input, on random weights. Where shapes leave the order of an axis open, a few
        readings are tried and the first one that passes is kept. Returns the largest relative error. Raises
        LayoutError where no reading passes or the user's own declaration is wrong; it names the parameter, the
        dimension and the mend.
        """
        from core.elastic.discovery.repair import checked_rules

        kinds = ((tuple(x.shape), str(x.dtype)) if hasattr(x, "shape") else repr(x) for x in example_inputs)
        key = (seed, *kinds)
        if key not in self._errors:
            defaults = (*self._module_rules, *self._repairs)
            error, repairs = checked_rules(
                self._factory, self._from_shapes(), self._declared, defaults, example_inputs, seed
            )
            if repairs:
                self._repairs, self._layout = (*self._repairs, *repairs), None
                self._errors.clear()  # an earlier kind of input must pass again
            self._errors[key] = error
        return self._errors[key]

    def _from_shapes(self) -> Layout:
        if self._inferred is None:
            self._inferred = infer_layout(self._factory, self._widths)
            self._module_rules = torch_module_rules(self._factory.shapes(self._inferred.full))
        return self._inferred
