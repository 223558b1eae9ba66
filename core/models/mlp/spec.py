"""A multilayer perceptron of equal hidden layers, for any data."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from core.elastic.family import Family
from core.elastic.width import Width
from core.errors import UserError
from core.models.base import MOST_FEATURES, WIDEST, Model, Settings, has_classes, whole
from core.models.onnx_graph import INPUT, Graph, sequence_layers

if TYPE_CHECKING:
    from torch import nn

    from core.data.dataset import Dataset


def family(
    *,
    inputs: int,
    outputs: int,
    hidden: int = 128,
    layers: int = 2,
    lower: int = 1,
    each_layer: bool = False,
    rescale: Sequence[Sequence[float]] | None = None,
) -> Family:
    """Build the family of an MLP.

    Parameters
    ----------
    inputs, outputs
        Number of input features, and of classes or predicted numbers.
    hidden, layers
        Features of a hidden layer at full width, and number of hidden layers.
    lower
        Smallest width.
    each_layer
        Whether each layer has a width of its own (`hidden1`, `hidden2`, ...) or all share `hidden`.
    rescale
        Mean and standard deviation of each output, for regression; the network predicts in these units inside.

    Raises
    ------
    UserError
        For a setting that is out of range.
    """
    whole("inputs", inputs, 1, MOST_FEATURES)
    whole("outputs", outputs, 1, MOST_FEATURES)
    whole("layers", layers, 1, 64)
    whole("lower", lower, 1, whole("hidden", hidden, 2, WIDEST))
    if not isinstance(each_layer, bool):
        raise UserError(f"each_layer is {each_layer!r}; choose true or false")
    statistics = None if rescale is None else _checked_statistics(rescale, outputs)
    names = _width_names(layers, each_layer)

    def build(**widths: int) -> nn.Module:
        import torch

        from core.models.mlp.net import mlp

        module = mlp(inputs, outputs, [widths[name] for name in names], rescale=statistics is not None)
        if statistics is not None:
            last: Any = module[-1]  # type: ignore[index]
            with torch.no_grad():
                for buffer, values in zip((last.shift, last.scale), statistics, strict=True):
                    buffer.copy_(torch.tensor(values, dtype=buffer.dtype))
        return module

    return Family(build, **{name: Width(hidden, lower) for name in names})


def call(settings: Settings, widths: Mapping[str, int]) -> str:
    """Return the call of `net.mlp` that builds one size."""
    hidden = [int(widths[name]) for name in _width_names(settings["layers"], settings["each_layer"])]
    rescale = ", rescale=True" if settings["rescale"] is not None else ""
    return f"mlp(inputs={settings['inputs']}, outputs={settings['outputs']}, hidden={hidden}{rescale})"


def fit(data: Dataset) -> dict[str, Any]:
    """Return the number of inputs and outputs, and the statistics of numbers to be predicted."""
    settings: dict[str, Any] = {"inputs": data.features, "outputs": data.classes}
    if not has_classes(data):
        settings["rescale"] = [part.tolist() for part in data.target_statistics()]
    return settings


def graph(g: Graph, settings: Settings) -> str:
    """Add the nodes of `net.mlp`; a scale behind the last layer restores the units of numbers."""
    x = g.scaled(g.op("Flatten", INPUT), "1")
    layers = sequence_layers(g, "")
    for layer in layers:
        x = g.linear(x, str(layer))
        x = g.op("LeakyRelu", x, alpha=0.01) if layer != layers[-1] else x
    last = layers[-1] + 1
    return g.scaled(x, str(last)) if f"{last}.scale" in g.state else x


def _width_names(layers: int, each_layer: bool) -> list[str]:
    """Return the name of each hidden layer's width, in the layers' order."""
    return [f"hidden{k + 1}" for k in range(layers)] if each_layer else ["hidden"] * layers


def _checked_statistics(rescale: Any, outputs: int) -> list[list[float]]:
    """Return means and deviations as plain numbers. Raises UserError where there is not one of each per output."""
    needed = f"rescale needs the means and the deviations (above 0) of {outputs} outputs, as [[...], [...]]"
    if not isinstance(rescale, (list, tuple)) or len(rescale) != 2:
        raise UserError(needed)
    for part, lowest in zip(rescale, (-math.inf, 0.0), strict=True):
        if not isinstance(part, (list, tuple)) or len(part) != outputs:
            raise UserError(needed)
        if not all(isinstance(v, (int, float)) and not isinstance(v, bool) and lowest < v < math.inf for v in part):
            raise UserError(needed)
    return [[float(value) for value in part] for part in rescale]


MODEL = Model(
    family=family,
    net="core.models.mlp.net",
    call=call,
    fit=fit,
    graph=graph,
    meaning="a stack of linear layers, for any data",
)
