"""Find a fully-connected chain in a model by tracing it (`torch.fx`), in a `Sequential` and in a class alike.

The scale, the fast path of MLPs and the fast sweep use it; a model that is no such chain is run as it is.
"""

from __future__ import annotations

import copy
import inspect
import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import CodeType
from typing import TYPE_CHECKING, Any

from core.elastic.layout import Layout

if TYPE_CHECKING:
    import torch
    from torch import fx, nn

    Op = Callable[[torch.Tensor], torch.Tensor]

ELEMENTWISE = (
    "ReLU", "LeakyReLU", "ReLU6", "GELU", "SiLU", "Mish", "ELU", "SELU", "CELU", "Tanh", "Sigmoid", "Softplus",
    "Softsign", "Hardswish", "Hardsigmoid", "Hardtanh", "LogSigmoid", "Identity",
)  # fmt: skip
ELEMENTWISE_CALLS = frozenset((
    "relu", "leaky_relu", "relu6", "gelu", "silu", "mish", "elu", "selu", "celu", "tanh", "sigmoid", "softplus",
    "softsign", "hardswish", "hardsigmoid", "hardtanh", "logsigmoid",
))  # fmt: skip


@dataclass(frozen=True)
class Link:
    """One linear layer of a chain and the elementwise functions behind it."""

    weight: str
    bias: str | None
    after: tuple[Op, ...]

    @property
    def is_homogeneous(self) -> bool:
        """Whether the functions of `a z`, a above 0, are a times those of z."""
        return all(type(op).__name__ in ("ReLU", "LeakyReLU", "Identity") for op in self.after)

    def activate(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the functions between this layer's product and the next layer."""
        for op in self.after:
            x = op(x)
        return x


@dataclass(frozen=True)
class Chain:
    """Steps that no width touches, then linear layers with elementwise functions between them."""

    before: tuple[Callable[[torch.Tensor, Mapping[str, Any] | None], torch.Tensor], ...]
    links: tuple[Link, ...]
    learns_before: bool = False  # whether `before` has parameters, so that the first layer's input changes in training

    def enter(self, x: torch.Tensor, state: Mapping[str, Any] | None = None) -> torch.Tensor:
        """Input of the first elastic layer, (batch, ...) to (batch, features); the same at every width.

        state: tensors by name in place of the traced module's own.
        """
        for step in self.before:
            x = step(x, state)
        return x

    def run(self, x: torch.Tensor, state: Mapping[str, Any]) -> torch.Tensor:
        """Run all links on the weights in `state`, of any width, with the scale folded in."""
        from torch.nn import functional as F

        for link in self.links:
            x = link.activate(F.linear(x, state[link.weight], state[link.bias] if link.bias else None))
        return x

    def scaled_weights(self) -> tuple[str, ...]:
        """Names of the weights whose input features a width owns: all but the first."""
        return tuple(link.weight for link in self.links[1:])

    def macs(self, layout: Layout, widths: Mapping[str, int]) -> int:
        """Multiply-accumulates of the links for one example."""
        return sum(math.prod(layout.tensors[link.weight].shape_at(widths)) for link in self.links)


def find_chain(module: nn.Module, layout: Layout) -> Chain | None:
    """Trace `module` and return the chain that it is; None where it is anything else."""
    from torch import fx, nn

    if any(t.kind == "tied" for t in layout.tensors.values()) or not all(map(_is_plain, module.modules())):
        return None
    elastic_modules = {name.rpartition(".")[0] for name, t in layout.tensors.items() if t.widths()}

    class Tracer(fx.Tracer):
        def is_leaf_module(self, m: nn.Module, name: str) -> bool:
            """A module that no width touches is one step, whatever it is made of."""
            inside = any(owner == name or owner.startswith(f"{name}.") for owner in elastic_modules)
            return not inside or super().is_leaf_module(m, name)

    try:
        graph = Tracer().trace(module)
    except Exception:  # control flow on data and the like: not a chain, and no error
        return None
    nodes = [node for node in graph.nodes if node.op != "placeholder" or node.users]
    if not _is_line(nodes):
        return None
    before: list[Any] = []
    links: list[Link] = []
    learns_before = False
    for node in nodes[1:-1]:
        target = module.get_submodule(str(node.target)) if node.op == "call_module" else None
        elastic = target is not None and any(
            layout.tensors[f"{node.target}.{name}"].widths() for name in target.state_dict()
        )
        if type(target) is nn.Linear and (elastic or links):
            prefix = f"{node.target}."
            links.append(Link(prefix + "weight", prefix + "bias" if target.bias is not None else None, ()))
        elif elastic or not (op := _operation(node, target, bool(links))):
            return None
        elif links:
            links[-1] = Link(links[-1].weight, links[-1].bias, (*links[-1].after, op))
        else:
            before.append(op)
            learns_before |= target is not None and any(True for _ in target.parameters())
    if len(links) < 2 or not _features_flow(links, layout):
        return None
    return Chain(tuple(before), tuple(links), learns_before)


def _is_line(nodes: list[fx.Node]) -> bool:
    """Whether every node, the output included, reads the one before it as its first argument and nothing else."""
    if len(nodes) < 3 or nodes[0].op != "placeholder" or nodes[-1].op != "output":
        return False
    return all(
        node.args[:1] == (before,) and node.all_input_nodes == [before] and len(before.users) == 1
        for before, node in itertools.pairwise(nodes)
    )


def _is_plain(module: Any) -> bool:
    """Whether a module has no hooks and runs the same in training and evaluation."""
    kind: Any = type(module)
    changed = module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module)
    return not changed and not _looks_at_mode(kind)


@lru_cache(maxsize=1024)
def _looks_at_mode(kind: type) -> bool:
    """Whether any method of a module's class mentions `training`, as Dropout's and BatchNorm's do."""
    from torch import nn

    def mentions(code: CodeType) -> bool:
        return "training" in code.co_names or any(mentions(c) for c in code.co_consts if isinstance(c, CodeType))

    bases = kind.__mro__[: kind.__mro__.index(nn.Module)]
    methods = (inspect.unwrap(value) for base in bases for value in vars(base).values() if inspect.isfunction(value))
    return any(mentions(method.__code__) for method in methods)


def _features_flow(links: list[Link], layout: Layout) -> bool:
    """Whether each layer's outputs are the next one's inputs, feature by feature, from fixed input to fixed output."""
    flows: list[Any] = [layout.tensors[links[0].weight].axes[1]]
    for link in links:
        flows.append(layout.tensors[link.weight].axes[0])
    inputs = [layout.tensors[link.weight].axes[1] for link in links]
    single = all(axis is None or (len(axis) == 1 and axis[0].each == 1) for axis in flows)
    return single and flows[0] is None and flows[-1] is None and inputs[1:] == flows[1:-1]


def _operation(node: fx.Node, target: nn.Module | None, elementwise_only: bool) -> Any:
    """Return how to run a node that owns no width: `op(x)` between the layers, `op(x, state)` before; None if unsafe.

    Nothing writes over its input, which other cutoffs read again.
    """
    from torch import nn

    if target is not None:
        plain = type(target).__name__ in ELEMENTWISE and type(target).__module__.startswith("torch.nn.")
        if plain and hasattr(target, "inplace"):
            target = copy.copy(target)
            setattr(target, "inplace", False)  # noqa: B010 (not every module has one)
        if elementwise_only:
            return target if plain else None
        return _step(str(node.target), target)
    if node.op == "call_method":
        name, call = str(node.target), _method(str(node.target))
    elif node.op == "call_function" and callable(node.target):
        name, call = getattr(node.target, "__name__", ""), node.target
    else:
        return None
    args, kwargs = _out_of_place(call, node.args[1:], dict(node.kwargs))
    if name in ELEMENTWISE_CALLS:
        if elementwise_only and name == "relu" and not args and not any(kwargs.values()):
            return nn.ReLU()  # as a module, by which its derivative is known
        return (lambda x, *_: call(x, *args, **kwargs)) if all(map(_is_number, (*args, *kwargs.values()))) else None
    if name == "flatten" and _keeps_rows(args[0] if args else kwargs.get("start_dim", 0)):
        return lambda x, state: call(x, *args, **kwargs)
    return None


def _step(name: str, target: nn.Module) -> Any:
    """Return how to run a module before the layers on a state; None where it keeps tensors outside its state dict."""
    from torch import nn
    from torch.func import functional_call

    names = list(target.state_dict())
    aside = {n for n, _ in target.named_buffers(remove_duplicate=False)} - set(names)
    if aside or (isinstance(target, nn.Flatten) and not _keeps_rows(target.start_dim)):
        return None
    if not names:
        return lambda x, state: target(x)
    return lambda x, state: (
        target(x) if state is None else functional_call(target, {n: state[f"{name}.{n}"] for n in names}, (x,))
    )


def _method(name: str) -> Callable[..., Any]:
    return lambda x, *args, **kwargs: getattr(x, name)(*args, **kwargs)


def _out_of_place(
    call: Callable[..., Any], args: Any, kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Drop every argument that asks to overwrite the input."""
    try:
        names = list(inspect.signature(call).parameters)[1:]
    except (TypeError, ValueError):  # built into torch: such a function has no `inplace`
        names = []
    if "inplace" in names:
        kwargs["inplace"] = False
        args = args[: names.index("inplace")]
    return tuple(args), kwargs


def _keeps_rows(start_dim: Any) -> bool:
    """Whether flattening from there leaves the batch alone."""
    return isinstance(start_dim, int) and start_dim > 0


def _is_number(value: Any) -> bool:
    return isinstance(value, (bool, int, float, str)) or value is None
