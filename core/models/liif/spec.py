"""A local implicit image function for super-resolution; the layers of its decoder are the width."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from core.elastic.family import Family
from core.elastic.width import Width
from core.errors import UserError
from core.models.base import WIDEST, Model, Settings, call_text, described, whole
from core.models.onnx_graph import INPUT, Graph, relu_stack

if TYPE_CHECKING:
    from torch import nn

    from core.data.dataset import Dataset

PATCHES = (3, 5, 7, 9, 11)  # pixels a side


def family(*, hidden: int = 128, layers: int = 3, patch: int = 5, features: int = 32, lower: int = 1) -> Family:
    """Build the family of a local implicit image function.

    Parameters
    ----------
    hidden, layers
        Features of a hidden layer of the decoder at full width, and number of hidden layers.
    patch
        Low-resolution pixels a side around a query, one of `PATCHES`.
    features
        Features of the encoder.
    lower
        Smallest width.

    Raises
    ------
    UserError
        For a setting that is out of range.
    """
    whole("layers", layers, 1, 64)
    whole("features", features, 1, WIDEST)
    whole("lower", lower, 1, whole("hidden", hidden, 2, WIDEST))
    if isinstance(patch, bool) or patch not in PATCHES:
        raise UserError(f"patch is {patch!r}; choose one of {', '.join(map(str, PATCHES))} pixels a side")

    def build(hidden: int) -> nn.Module:
        from core.models.liif.net import liif

        return liif(hidden, layers, patch, features)

    return Family(build, hidden=Width(hidden, lower))


def call(settings: Settings, widths: Mapping[str, int]) -> str:
    """Return the call of `net.liif` that builds one size."""
    kept = {"layers": settings["layers"], "patch": int(settings["patch"]), "features": settings["features"]}
    return call_text("liif", hidden=widths["hidden"], **kept)


def fit(data: Dataset) -> dict[str, Any]:
    """Return the side of the queries' patches. Raises UserError for data that are no such queries."""
    sides = {(3 * side * side + 4,): side for side in PATCHES}
    if data.task != "image" or data.classes != 3 or data.input.shape not in sides:
        raise UserError(f"it needs queries around pixels, as super-resolution has; {data.name} has {described(data)}")
    return {"patch": sides[data.input.shape]}


def graph(g: Graph, settings: Settings) -> str:
    """Add the nodes of `net.liif`."""
    patch = settings["patch"]
    count, middle = 3 * patch * patch, patch // 2

    def pixels(x: str) -> str:
        return g.shape(g.part(x, 1, 0, count), -1, 3, patch, patch)

    row = g.part(pixels(INPUT), 2, middle, middle + 1)
    nearest = g.op("Div", g.shape(g.part(row, 3, middle, middle + 1), -1, 3), np.array(255, np.float32))
    y = g.scaled(INPUT, "normalise")
    features = g.op("Relu", g.conv(g.op("Relu", g.conv(pixels(y), "encode.0")), "encode.2"))
    joined = g.op("Concat", g.op("Flatten", features), g.part(y, 1, count, count + 4), axis=1)
    return g.op("Add", nearest, relu_stack(g, joined, "decode."))


MODEL = Model(
    family=family,
    net="core.models.liif.net",
    call=call,
    fit=fit,
    graph=graph,
    meaning="a local implicit image function, for super-resolution",
    special=True,
    # small sizes lose 0.9 dB where they share a band with those below 8 features, which learn little
    recipe={"weight_decay": 0.0, "lr": 2e-3, "single_band": False},
)
