"""Plain factories by name, so that a run can be rebuilt from its settings and from no code of its own.

To add a model: its plain module in a file here, and a function in `MODELS` from settings to a family.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from core.errors import UserError
from core.family import Family
from core.layout import Width

if TYPE_CHECKING:
    from torch import nn


def mlp_family(
    *, inputs: int, outputs: int, hidden: int = 128, layers: int = 2, lower: int = 1, each_layer: bool = False
) -> Family:
    """A multilayer perceptron of `layers` equal hidden layers; one width for all, or one for `each_layer`."""
    for name, value, high in (("hidden", hidden, 65_536), ("layers", layers, 64), ("lower", lower, hidden)):
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= high:
            raise UserError(f"{name} is {value!r}; choose 1 to {high}")

    def build(**widths: int) -> nn.Module:
        from core.models.mlp import mlp

        return mlp(inputs, outputs, [*widths.values()] if each_layer else [widths["hidden"]] * layers)

    names = [f"hidden{k + 1}" for k in range(layers)] if each_layer else ["hidden"]
    return Family(build, **{name: Width(hidden, lower) for name in names})


MODELS: dict[str, Callable[..., Family]] = {"mlp": mlp_family}


def family(name: str, **settings: Any) -> Family:
    """The family called `name` with `settings`; it remembers both. Raises UserError for an unknown name or setting."""
    if name not in MODELS:
        raise UserError(f"model {name!r} is not known; choose one of {', '.join(MODELS)}")
    try:
        found = MODELS[name](**settings)
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


def source_lines(name: str, settings: Mapping[str, Any], widths: Mapping[str, int]) -> tuple[str, str] | None:
    """Plain PyTorch text of a model, and the call that builds it at `widths`; None where there is none."""
    if name != "mlp":
        return None
    from core.models import mlp

    text = inspect.getsource(mlp)
    hidden = [*widths.values()] if settings.get("each_layer") else [widths["hidden"]] * settings.get("layers", 2)
    call = f"mlp(inputs={settings['inputs']}, outputs={settings['outputs']}, hidden={hidden})"
    return text, call
