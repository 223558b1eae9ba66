"""A residual convolutional net for square pictures; its channels are the width."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from core.elastic.family import Family
from core.elastic.width import Width
from core.models.base import MOST_CLASSES, Model, Settings, fit_pictures, whole
from core.models.onnx_graph import INPUT, Graph

if TYPE_CHECKING:
    from torch import nn


def family(*, classes: int, size: int, channels: int = 16, stages: int = 3, lower: int = 1) -> Family:
    """Build the family of a residual net.

    Parameters
    ----------
    classes, size
        Number of classes, and pixels of a picture's side.
    channels, stages
        Channels of the first stage at full width, and number of stages, each with twice the channels of the last.
    lower
        Smallest width.

    Raises
    ------
    UserError
        For a setting that is out of range.
    """
    whole("classes", classes, 1, MOST_CLASSES)
    whole("size", size, 4, 4096)
    whole("stages", stages, 1, 5)
    whole("lower", lower, 1, whole("channels", channels, 2, 4096))

    def build(channels: int) -> nn.Module:
        from core.models.convnet.net import convnet

        return convnet(_channels_by_stage(channels, stages), classes, size)

    return Family(build, channels=Width(channels, lower))


def call(settings: Settings, widths: Mapping[str, int]) -> str:
    """Return the call of `net.convnet` that builds one size."""
    channels = _channels_by_stage(int(widths["channels"]), settings["stages"])
    return f"convnet(channels={channels}, classes={settings['classes']}, size={settings['size']})"


def graph(g: Graph, settings: Settings) -> str:
    """Add the nodes of `net.convnet`."""
    x = g.shape(g.scaled(g.op("Flatten", INPUT), "normalise"), -1, 1, settings["size"], settings["size"])
    x = g.op("Relu", g.batch_norm(g.conv(x, "first", stride=2, pad=2), "norm"))
    for k in range(settings["stages"]):
        name, stride = f"stages.{k}", 2 if k else 1
        y = g.op("Relu", g.batch_norm(g.conv(x, f"{name}.conv1", stride=stride, pad=1), f"{name}.norm1"))
        y = g.batch_norm(g.conv(y, f"{name}.conv2", pad=1), f"{name}.norm2")
        around = g.conv(x, f"{name}.around", stride=stride) if k else x
        x = g.op("Relu", g.op("Add", y, around))
    return g.linear(g.op("ReduceMean", x, axes=[2, 3], keepdims=0), "head")


def _channels_by_stage(channels: int, stages: int) -> list[int]:
    return [channels * 2**k for k in range(stages)]


MODEL = Model(
    family=family,
    net="core.models.convnet.net",
    call=call,
    fit=fit_pictures,
    graph=graph,
    meaning="a residual convolutional net, for pictures",
    width="channels",
    # the full width has few channels: an eighth of them would leave only bands of one
    recipe={"lr": 3e-2, "epochs": 6, "own_below": 0.25},
)
