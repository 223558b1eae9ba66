"""A coordinate network for one picture: from a pixel's place to its colour."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from core.elastic.family import Family
from core.elastic.width import Width
from core.errors import UserError
from core.models.base import WIDEST, Model, Settings, call_text, described, number, whole
from core.models.onnx_graph import INPUT, Graph, relu_stack

if TYPE_CHECKING:
    from torch import nn

    from core.data.dataset import Dataset


def family(*, hidden: int = 128, layers: int = 3, waves: int = 128, frequency: float = 2.0, lower: int = 1) -> Family:
    """Build the family of a coordinate network.

    Parameters
    ----------
    hidden, layers
        Features of a hidden layer at full width, and number of hidden layers.
    waves, frequency
        Number of random Fourier features, and the standard deviation of their frequencies.
    lower
        Smallest width.

    Raises
    ------
    UserError
        For a setting that is out of range.
    """
    whole("layers", layers, 1, 64)
    whole("waves", waves, 1, WIDEST)
    number("frequency", frequency, 1e-6, 1e6)
    whole("lower", lower, 1, whole("hidden", hidden, 2, WIDEST))

    def build(hidden: int) -> nn.Module:
        from core.models.coordinates.net import coordinates

        return coordinates(hidden, layers, waves, float(frequency))

    return Family(build, hidden=Width(hidden, lower))


def call(settings: Settings, widths: Mapping[str, int]) -> str:
    """Return the call of `net.coordinates` that builds one size."""
    kept = {"layers": settings["layers"], "waves": settings["waves"], "frequency": float(settings["frequency"])}
    return call_text("coordinates", hidden=widths["hidden"], **kept)


def fit(data: Dataset) -> dict[str, Any]:
    """Return no settings. Raises UserError for data that are not places and colours of a picture's pixels."""
    if data.task != "image" or data.input.shape != (2,) or data.classes != 3:
        raise UserError(
            f"it needs places and colours of a picture's pixels, examples of {data.name} are {described(data)}"
        )
    return {}


def graph(g: Graph, settings: Settings) -> str:
    """Add the nodes of `net.coordinates`."""
    angle = g.op("MatMul", g.scaled(INPUT, "0"), "1.directions")
    return relu_stack(g, g.op("Concat", g.op("Sin", angle), g.op("Cos", angle), axis=1), "")


MODEL = Model(
    family=family,
    net="core.models.coordinates.net",
    call=call,
    fit=fit,
    graph=graph,
    meaning="a coordinate network, for one picture",
    special=True,
    recipe={"weight_decay": 0.0, "epochs": 60, "widest_share": 0.6},
)
