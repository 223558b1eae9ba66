"""Plain factories by name, so that a run can be rebuilt from its settings and from no code of its own.

To add a model: its plain module in a file here, a function from settings to a family, one from settings and widths to
the call that builds it, and its line in `MODELS`.
"""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from core.errors import UserError
from core.family import Family
from core.layout import Width

if TYPE_CHECKING:
    from torch import nn

MOST_FEATURES = 10**8


@dataclass(frozen=True, kw_only=True)
class Model:
    """A kind of model that a run can name."""

    family: Callable[..., Family]
    module: str  # where its plain PyTorch lies; that file may import torch alone
    call: Callable[..., str]  # the expression that builds it, from its settings and `widths`


def mlp_family(
    *, inputs: int, outputs: int, hidden: int = 128, layers: int = 2, lower: int = 1, each_layer: bool = False
) -> Family:
    """A multilayer perceptron of `layers` equal hidden layers; one width for all, or one for `each_layer`."""
    _whole("inputs", inputs, 1, MOST_FEATURES)
    _whole("outputs", outputs, 1, MOST_FEATURES)
    _whole("layers", layers, 1, 64)
    _whole("lower", lower, 1, _whole("hidden", hidden, 2, 65_536))
    if not isinstance(each_layer, bool):
        raise UserError(f"each_layer is {each_layer!r}; choose true or false")
    names = _mlp_widths(layers, each_layer)

    def build(**widths: int) -> nn.Module:
        from core.models.mlp import mlp

        return mlp(inputs, outputs, [widths[name] for name in names])

    return Family(build, **{name: Width(hidden, lower) for name in names})


def mlp_call(
    *, inputs: int, outputs: int, widths: Mapping[str, int], layers: int = 2, each_layer: bool = False, **_: Any
) -> str:
    """The call of `core.models.mlp.mlp` that builds it at `widths`."""
    hidden = [int(widths[name]) for name in _mlp_widths(layers, each_layer)]
    return f"mlp(inputs={inputs}, outputs={outputs}, hidden={hidden})"


def _mlp_widths(layers: int, each_layer: bool) -> list[str]:
    """The name of each hidden layer's width, in the layers' order."""
    return [f"hidden{k + 1}" for k in range(layers)] if each_layer else ["hidden"] * layers


def _whole(name: str, value: Any, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise UserError(f"{name} is {value!r}; choose a whole number from {low:,} to {high:,}")
    return value


MODELS: dict[str, Model] = {"mlp": Model(family=mlp_family, module="core.models.mlp", call=mlp_call)}


def family(name: str, **settings: Any) -> Family:
    """The family called `name` with `settings`; it remembers both. Raises UserError for an unknown name or setting."""
    if not isinstance(name, str) or name not in MODELS:
        raise UserError(f"model {name!r} is not known; choose one of {', '.join(MODELS)}")
    try:
        found = MODELS[name].family(**settings)
    except TypeError as error:
        raise UserError(f"model {name!r} does not take these settings: {error}") from None
    found.source = {"name": name, "settings": settings}
    return found


def fit_inputs(module: nn.Module, mean: np.ndarray, std: np.ndarray) -> None:
    """Put the training part's statistics into every `Normalise` of a model; a model without one is left as it is."""
    import torch

    from core.models.mlp import Normalise

    for part in module.modules():
        if isinstance(part, Normalise):
            with torch.no_grad():
                part.scale.copy_(torch.from_numpy(1.0 / std.reshape(-1)))
                part.shift.copy_(torch.from_numpy(-mean.reshape(-1) / std.reshape(-1)))


@dataclass(frozen=True)
class Source:
    """A model as text that needs torch and nothing of this project."""

    imports: tuple[str, ...]
    text: str  # the plain module and its factory
    call: str  # the expression that builds it


def source(name: str | None, settings: Mapping[str, Any], widths: Mapping[str, int]) -> Source | None:
    """A model's plain PyTorch at `widths`; None for a factory of one's own. Raises what `family` raises."""
    if name is None:
        return None
    family(name, **settings)  # settings come from anybody's run.json: only what builds a model may become a program
    model = MODELS[name]
    text = inspect.getsource(importlib.import_module(model.module))
    lines, imports, start = text.splitlines(), [], 0
    for part in ast.parse(text).body:
        is_import = isinstance(part, ast.Import | ast.ImportFrom)
        if is_import:
            imports.append(ast.unparse(part))
        if is_import or (isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant)):  # or its docstring
            start = part.end_lineno or start
    return Source(tuple(imports), "\n".join(lines[start:]).strip("\n"), model.call(**settings, widths=widths))
