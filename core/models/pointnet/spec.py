"""PointNet for clouds of points; the fully connected layers of its head and of its T-nets are two widths."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from core.elastic.family import Family
from core.elastic.width import Width
from core.errors import UserError
from core.models.base import MOST_CLASSES, WIDEST, Model, Settings, call_text, described, has_classes, whole
from core.models.onnx_graph import INPUT, Graph, relu_stack, sequence_layers

if TYPE_CHECKING:
    from torch import nn

    from core.data.dataset import Dataset


def family(*, classes: int, hidden: int = 128, transform: int = 32, features: int = 256, lower: int = 1) -> Family:
    """Build the family of a PointNet.

    Parameters
    ----------
    classes
        Number of classes.
    hidden, transform
        Features of the fully connected layers of the head and of the T-nets, at full width.
    features
        Features that describe a whole cloud.
    lower
        Smallest size of both widths.

    Raises
    ------
    UserError
        For a setting that is out of range.
    """
    whole("classes", classes, 1, MOST_CLASSES)
    whole("features", features, 1, WIDEST)
    whole("transform", transform, 2, WIDEST)
    whole("lower", lower, 1, min(transform, whole("hidden", hidden, 2, WIDEST)))

    def build(hidden: int, transform: int) -> nn.Module:
        from core.models.pointnet.net import pointnet

        return pointnet(hidden, transform, classes, features)

    return Family(build, hidden=Width(hidden, lower), transform=Width(transform, lower))


def call(settings: Settings, widths: Mapping[str, int]) -> str:
    """Return the call of `net.pointnet` that builds one size."""
    kept = {name: settings[name] for name in ("classes", "features")}
    return call_text("pointnet", hidden=widths["hidden"], transform=widths["transform"], **kept)


def fit(data: Dataset) -> dict[str, Any]:
    """Return the number of classes. Raises UserError for data that are no labelled clouds of points."""
    if data.input.kind != "points" or not has_classes(data):
        raise UserError(f"it needs clouds of points with labels, examples of {data.name} are {described(data)}")
    return {"classes": data.classes}


def graph(g: Graph, settings: Settings) -> str:
    """Add the nodes of `net.pointnet`; the number of points is left open."""
    x = g.op("Sub", INPUT, g.op("ReduceMean", INPUT, axes=[1], keepdims=1))
    far = g.largest(g.op("ReduceSum", g.op("Mul", x, x), np.array([2], np.int64), keepdims=0), 1)
    radius = g.op("Max", g.op("Sqrt", far), np.array(1e-12, np.float32))
    x = g.op("Div", x, g.shape(radius, -1, 1, 1))
    x = _over_points(g, g.op("MatMul", x, _t_net(g, x, "turn", 3)), "low.")
    x = _over_points(g, g.op("MatMul", x, _t_net(g, x, "align", 64)), "high.")
    return g.linear(relu_stack(g, g.largest(x, 1), "cloud.", last=True), "head")


def _over_points(g: Graph, x: str, prefix: str) -> str:
    """Add layers that treat every point alike: linear, layer normalisation, ReLU."""
    for layer in sequence_layers(g, prefix)[::2]:
        x = g.op("Relu", g.layer_norm(g.linear(x, f"{prefix}{layer}"), f"{prefix}{layer + 1}"))
    return x


def _t_net(g: Graph, x: str, name: str, k: int) -> str:
    """Add a T-net: a matrix for each cloud, (batch, k, k)."""
    cloud = g.largest(_over_points(g, x, f"{name}.points."), 1)
    return g.shape(g.linear(relu_stack(g, cloud, f"{name}.cloud.", last=True), f"{name}.matrix"), -1, k, k)


MODEL = Model(
    family=family,
    net="core.models.pointnet.net",
    call=call,
    fit=fit,
    graph=graph,
    free_axes=(0,),
    meaning="PointNet, for clouds of points",
    special=True,
    # a quarter of its small batches would be too few rows to normalise by
    recipe={
        "lr": 2e-3,
        "weight_decay": 0.0,
        "epochs": 40,
        "whole_batch": False,
        "widest_share": 0.6,
        "single_band": False,
    },
)
