"""The symmetry check: reordering a width's features through the layout must leave the output unchanged.

Structural Dropout asks for unordered features (arXiv 2205.06906, section 3). A wrong layout slices something else
than features, silently; here it is an error with the line that mends it (`core.elastic.discovery.repair`).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from core.elastic.layout import Layout
from core.errors import LayoutError, UserError

if TYPE_CHECKING:
    import torch
    from torch import nn

DRAWS = 4
TOLERANCE = 1e-4  # relative; a right layout gives about 1e-7 in float32, a wrong one 0.1 and more


class Probe:
    """A full model with random weights on given inputs, to hold reordered features against.

    Runs in double precision where the model can, so that rounding does not look like a wrong layout. Raises
    UserError where the model can't run on the inputs, LayoutError where its output can't tell a wrong layout.
    """

    def __init__(self, build: Callable[[], nn.Module], layout: Layout, inputs: tuple[Any, ...], seed: int) -> None:
        import torch

        self.seed = seed
        self.generator = torch.Generator("cpu").manual_seed(seed)
        with torch.random.fork_rng(devices=[]), torch.device("cpu"):
            torch.manual_seed(seed)
            self.module = build().to("cpu").eval()
        for name in self.module.state_dict().keys() ^ layout.tensors.keys():
            raise LayoutError(
                f"tensor {name!r} is not in every model that the factory builds at full width; it must be"
            )
        self.layout, self.own_inputs = layout, inputs
        self.orders = {name: _reordering(w.full, self.generator) for name, w in layout.widths.items() if w.full > 1}
        self._start()

    def error(self, layout: Layout) -> float:
        """Largest relative change of any output when features are reordered at random as `layout` says.

        Widths are reordered in groups such that of any two there is a group with only one; with all at once, two
        widths of the same size could hide each other's wrong order.
        """
        names = list(self.orders)
        worst = 0.0
        for bit in range(len(names).bit_length()):
            orders = {name: self.orders[name] for k, name in enumerate(names, 1) if k >> bit & 1}
            worst = max(worst, _difference(self.before, self.run(layout.permute(self.state, orders))))
            if worst > TOLERANCE:
                break
        return worst

    def differs_by_itself(self) -> bool:
        """Whether the model gives another output each time, with nothing changed."""
        return _difference(self.before, self.run(self.state, self.seed + 1)) > TOLERANCE

    def run(self, state: Mapping[str, Any], seed: int | None = None) -> list[torch.Tensor]:
        """Every floating output. Nothing that the model writes to outlives the call."""
        import torch
        from torch.func import functional_call

        buffers = {name: value.clone() for name, value in state.items() if self.layout.tensors[name].kind == "buffer"}
        inputs = map_tensors(self.inputs, lambda x: x.clone())
        with torch.random.fork_rng(devices=[]), torch.device("cpu"), torch.no_grad():
            torch.manual_seed(self.seed if seed is None else seed)
            # a reordered tied weight comes as two equal tensors, which torch would take for a contradiction
            output = functional_call(self.module, {**state, **buffers}, inputs, tie_weights=False)
        return [x.clone() for x in _tensors(output)]

    def _start(self) -> None:
        """Precision, weights and outputs to compare with."""
        import torch

        failure: Exception | None = None
        for dtype in (torch.float64, torch.float32):
            try:
                self.module.to(dtype)
                self.inputs = map_tensors(self.own_inputs, lambda x, d=dtype: _prepared(x, d, self.generator))
                # a few draws, since in one the few features of a narrow layer may all be dead
                for draw in (*(_random_state,) * DRAWS, _own_state):
                    self.state = draw(self.module, self.layout, self.generator)
                    self.before = self.run(self.state)
                    if not any(bool(x.isnan().any()) for x in self.before) and self._tells():
                        break
                break
            except Exception as error:  # whatever the user's forward raises; torch's own errors share no base
                failure = error
        else:
            raise UserError(
                f"the model can't run on the example input ({type(failure).__name__}: {str(failure)[:200]}); "
                "give one that its forward takes"
            ) from failure
        if not self.before:
            raise LayoutError("the model's output holds no floating-point tensor, so its symmetry can't be checked")
        if any(bool(x.isnan().any()) for x in self.before):
            raise LayoutError(
                "the model's output is not a number on the example input, so its symmetry can't be checked"
            )
        if not self._tells():
            raise LayoutError(
                "the model's output on the example input does not depend on the features at all, so their symmetry "
                "can't be checked; give another example input"
            )

    def _tells(self) -> bool:
        """Whether features out of order change the output at all: what a check must notice."""
        return _difference(self.before, self.run(_scrambled(self.state, self.layout, self.generator))) > TOLERANCE


def _reordering(n: int, generator: torch.Generator) -> Any:
    """A random order of `n` features that is not the one they have."""
    import torch

    order = torch.randperm(n, generator=generator, device="cpu")
    if bool((order == torch.arange(n, device="cpu")).all()):
        order = order.roll(1)
    return order.numpy()


def map_tensors(value: Any, change: Callable[..., Any]) -> Any:
    """A nest of tuples, lists and mappings with every tensor changed; whatever else there is stays."""
    import torch

    if isinstance(value, torch.Tensor):
        return change(value)
    if isinstance(value, dict):
        return {key: map_tensors(part, change) for key, part in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(map_tensors(part, change) for part in value))
    if isinstance(value, (tuple, list)):
        return type(value)(map_tensors(part, change) for part in value)
    return value


def _prepared(x: torch.Tensor, dtype: torch.dtype, generator: torch.Generator) -> torch.Tensor:
    """An input on the CPU in the model's precision; random where it is constant, which could hide a wrong layout."""
    import torch

    x = x.detach().cpu()
    if not x.is_floating_point():
        return x
    if x.numel() and bool((x == x.flatten()[0]).all()):
        return torch.rand(x.shape, generator=generator, dtype=dtype, device="cpu")
    return x.to(dtype)


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    """Every floating tensor in a nest of tuples, lists, mappings and data classes of output."""
    import torch

    if isinstance(value, torch.Tensor):
        if value.is_complex():
            yield torch.view_as_real(value.resolve_conj())
        elif value.is_floating_point():
            yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _tensors(part)
    elif isinstance(value, (tuple, list)):
        for part in value:
            yield from _tensors(part)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for entry in dataclasses.fields(value):
            yield from _tensors(getattr(value, entry.name))


def _difference(before: list[torch.Tensor], after: list[torch.Tensor]) -> float:
    """Largest change of any entry, relative to how much its tensor's entries differ among themselves."""
    if [x.shape for x in before] != [x.shape for x in after]:
        return math.inf
    worst = 0.0
    for a, b in zip(before, after, strict=True):
        changed = a != b  # an infinity that stays (a masked score) is no change
        if not bool(changed.any()):
            continue
        finite = a[a.isfinite()]
        spread = float(finite.std()) if finite.numel() > 1 else 0.0
        scale = spread or (float(finite.abs().max()) if finite.numel() else 0.0) or 1.0
        change = float((a[changed] - b[changed]).abs().max()) / scale
        worst = max(worst, change if math.isfinite(change) else math.inf)
    return worst


def _random_state(module: nn.Module, layout: Layout, generator: torch.Generator) -> dict[str, torch.Tensor]:
    """Random weights of a trained model's size; positive buffers (a variance must be), no two features alike."""
    import torch

    def draw(name: str, value: torch.Tensor) -> torch.Tensor:
        if layout.tensors[name].kind == "buffer":
            return 0.5 + torch.rand(value.shape, generator=generator, dtype=value.dtype, device="cpu")
        fan_in = max(1, value[0].numel()) if value.dim() > 1 and len(value) else 1
        # vectors are gains and biases: around 0.5 keeps a norm's output alive
        mean = 0.0 if value.dim() > 1 else 0.5
        noise = torch.randn(value.shape, generator=generator, dtype=value.dtype, device="cpu")
        return mean + noise / math.sqrt(fan_in)

    return _drawn(module, layout, draw)


def _own_state(module: nn.Module, layout: Layout, generator: torch.Generator) -> dict[str, torch.Tensor]:
    """The model's own first weights, each scaled at random: for one that only some numbers suit (a root, a log)."""
    import torch

    def draw(name: str, value: torch.Tensor) -> torch.Tensor:
        return value * (0.5 + torch.rand(value.shape, generator=generator, dtype=value.dtype, device="cpu"))

    return _drawn(module, layout, draw)


def _drawn(
    module: nn.Module, layout: Layout, draw: Callable[[str, torch.Tensor], torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Every tensor drawn anew, but for integers and for buffers that no width owns: those may be fixed numbers."""
    state: dict[str, torch.Tensor] = {}
    first: dict[int, str] = {}  # a tied tensor is one tensor under two names
    for name, value in module.state_dict(keep_vars=True).items():
        tensor = layout.tensors[name]
        fixed = not value.is_floating_point() or (tensor.kind == "buffer" and not tensor.widths())
        if first.setdefault(id(value), name) != name:
            state[name] = state[first[id(value)]]
        else:
            state[name] = value.detach() if fixed else draw(name, value.detach())
    return state


def _scrambled(
    state: Mapping[str, torch.Tensor], layout: Layout, generator: torch.Generator
) -> dict[str, torch.Tensor]:
    """Features out of order, each tensor's in its own way: what a check must notice."""
    scrambled = dict(state)
    for name, tensor in layout.tensors.items():
        for dim, axis in enumerate(tensor.axes):
            if axis and tensor.shape[dim] > 1:
                order = _reordering(tensor.shape[dim], generator)
                scrambled[name] = scrambled[name][(slice(None),) * dim + (order,)]
    return scrambled
