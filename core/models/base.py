"""How each model of the registry is made from its settings: families, and the calls that build one size as plain text.

Every setting is checked here, since settings come from anybody's run.json and the calls become programs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from core.elastic.family import Family
from core.elastic.layout import Width
from core.errors import UserError

if TYPE_CHECKING:
    from torch import nn

    from core.data.dataset import Dataset

MOST_FEATURES = 10**8
MOST_CLASSES = 100_000
WIDEST = 65_536
PATCHES = (3, 5, 7, 9, 11)  # pixels a side that liif sees around a query


def mlp_family(
    *,
    inputs: int,
    outputs: int,
    hidden: int = 128,
    layers: int = 2,
    lower: int = 1,
    each_layer: bool = False,
    rescale: Sequence[Sequence[float]] | None = None,
) -> Family:
    """A multilayer perceptron of `layers` equal hidden layers; one width for all, or one for `each_layer`.

    `rescale` is for numbers: the mean and the deviation of each output, in which the network then counts inside.
    """
    _whole("inputs", inputs, 1, MOST_FEATURES)
    _whole("outputs", outputs, 1, MOST_FEATURES)
    _whole("layers", layers, 1, 64)
    _whole("lower", lower, 1, _whole("hidden", hidden, 2, WIDEST))
    if not isinstance(each_layer, bool):
        raise UserError(f"each_layer is {each_layer!r}; choose true or false")
    scales = None if rescale is None else _checked_scales(rescale, outputs)
    names = _mlp_widths(layers, each_layer)

    def build(**widths: int) -> nn.Module:
        import torch

        from core.models.mlp.net import mlp

        module = mlp(inputs, outputs, [widths[name] for name in names], rescale=scales is not None)
        if scales is not None:
            last: Any = module[-1]  # type: ignore[index]
            with torch.no_grad():
                for buffer, values in zip((last.shift, last.scale), scales, strict=True):
                    buffer.copy_(torch.tensor(values, dtype=buffer.dtype))
        return module

    return Family(build, **{name: Width(hidden, lower) for name in names})


def mlp_call(settings: Mapping[str, Any], widths: Mapping[str, int]) -> str:
    """The call of `core.models.mlp.net.mlp`."""
    hidden = [int(widths[name]) for name in _mlp_widths(settings["layers"], settings["each_layer"])]
    rescale = ", rescale=True" if settings["rescale"] is not None else ""
    return f"mlp(inputs={settings['inputs']}, outputs={settings['outputs']}, hidden={hidden}{rescale})"


def mlp_fit(data: Dataset) -> dict[str, Any]:
    """What data decide of a multilayer perceptron: it takes any."""
    from core.tasks.registry import task

    found: dict[str, Any] = {"inputs": data.features, "outputs": data.classes}
    if not task(data.task).classes:
        found["rescale"] = [part.tolist() for part in data.target_statistics()]
    return found


def convnet_family(*, classes: int, size: int, channels: int = 16, stages: int = 3, lower: int = 1) -> Family:
    """A residual convolutional net: `channels` in the first stage, and twice as many in each that follows."""
    _whole("classes", classes, 1, MOST_CLASSES)
    _whole("size", size, 4, 4096)
    _whole("stages", stages, 1, 5)
    _whole("lower", lower, 1, _whole("channels", channels, 2, 4096))

    def build(channels: int) -> nn.Module:
        from core.models.convnet.net import convnet

        return convnet(_stages(channels, stages), classes, size)

    return Family(build, channels=Width(channels, lower))


def convnet_call(settings: Mapping[str, Any], widths: Mapping[str, int]) -> str:
    """The call of `core.models.convnet.net.convnet`."""
    channels = _stages(int(widths["channels"]), settings["stages"])
    return f"convnet(channels={channels}, classes={settings['classes']}, size={settings['size']})"


def vit_family(
    *,
    classes: int,
    size: int,
    heads: int = 8,
    hidden: int = 128,
    dim: int = 64,
    depth: int = 2,
    patch: int | None = None,
    head_dim: int = 8,
    lower: int = 1,
) -> Family:
    """A vision transformer whose attention heads and feed-forward features are two widths.

    `patch` pixels a side are one token; a quarter of the picture's side by default.
    """
    _whole("classes", classes, 1, MOST_CLASSES)
    _whole("size", size, 1, 4096)
    _whole("heads", heads, 2, 1024)
    _whole("dim", dim, 1, WIDEST)
    _whole("depth", depth, 1, 64)
    _whole("head_dim", head_dim, 1, 4096)
    _whole("lower", lower, 1, _whole("hidden", hidden, 2, WIDEST))
    side = _patch(size, patch)

    def build(heads: int, hidden: int) -> nn.Module:
        from core.models.vit.net import vit

        return vit(heads, hidden, classes, size, side, dim, depth, head_dim)

    return Family(build, heads=heads, hidden=Width(hidden, lower))


def vit_call(settings: Mapping[str, Any], widths: Mapping[str, int]) -> str:
    """The call of `core.models.vit.net.vit`."""
    kept = {name: settings[name] for name in ("classes", "size", "dim", "depth", "head_dim")}
    side = _patch(settings["size"], settings["patch"])
    return _call("vit", heads=widths["heads"], hidden=widths["hidden"], **kept, patch=side)


def picture_fit(data: Dataset) -> dict[str, Any]:
    """What data decide of a model for square pictures of one channel. Raises UserError for other data."""
    shape = data.input.shape
    if not _has_classes(data) or len(shape) != 2 or shape[0] != shape[1]:
        raise UserError(f"it wants square pictures of one channel with labels, examples of {data.name} are {_of(data)}")
    return {"classes": data.classes, "size": shape[0]}


def pointnet_family(
    *, classes: int, hidden: int = 128, transform: int = 32, features: int = 256, lower: int = 1
) -> Family:
    """PointNet; the fully-connected layers of its head and of its T-nets are two widths."""
    _whole("classes", classes, 1, MOST_CLASSES)
    _whole("features", features, 1, WIDEST)
    _whole("transform", transform, 2, WIDEST)
    _whole("lower", lower, 1, min(transform, _whole("hidden", hidden, 2, WIDEST)))

    def build(hidden: int, transform: int) -> nn.Module:
        from core.models.pointnet.net import pointnet

        return pointnet(hidden, transform, classes, features)

    return Family(build, hidden=Width(hidden, lower), transform=Width(transform, lower))


def pointnet_call(settings: Mapping[str, Any], widths: Mapping[str, int]) -> str:
    """The call of `core.models.pointnet.net.pointnet`."""
    kept = {name: settings[name] for name in ("classes", "features")}
    return _call("pointnet", hidden=widths["hidden"], transform=widths["transform"], **kept)


def pointnet_fit(data: Dataset) -> dict[str, Any]:
    """What data decide of a PointNet. Raises UserError for data that are no clouds of points."""
    if data.input.kind != "points" or not _has_classes(data):
        raise UserError(f"it wants clouds of points with labels, examples of {data.name} are {_of(data)}")
    return {"classes": data.classes}


def coordinates_family(
    *, hidden: int = 128, layers: int = 3, waves: int = 128, frequency: float = 2.0, lower: int = 1
) -> Family:
    """A coordinate network of `layers` hidden layers behind `waves` random waves of about that `frequency`."""
    _whole("layers", layers, 1, 64)
    _whole("waves", waves, 1, WIDEST)
    _number("frequency", frequency, 1e-6, 1e6)
    _whole("lower", lower, 1, _whole("hidden", hidden, 2, WIDEST))

    def build(hidden: int) -> nn.Module:
        from core.models.coordinates.net import coordinates

        return coordinates(hidden, layers, waves, float(frequency))

    return Family(build, hidden=Width(hidden, lower))


def coordinates_call(settings: Mapping[str, Any], widths: Mapping[str, int]) -> str:
    """The call of `core.models.coordinates.net.coordinates`."""
    kept = {"layers": settings["layers"], "waves": settings["waves"], "frequency": float(settings["frequency"])}
    return _call("coordinates", hidden=widths["hidden"], **kept)


def coordinates_fit(data: Dataset) -> dict[str, Any]:
    """Nothing to decide. Raises UserError for data that are not a picture's places and colours."""
    if data.task != "image" or data.input.shape != (2,) or data.classes != 3:
        raise UserError(f"it wants places and colours of a picture's pixels, examples of {data.name} are {_of(data)}")
    return {}


def liif_family(*, hidden: int = 128, layers: int = 3, patch: int = 5, features: int = 32, lower: int = 1) -> Family:
    """A local implicit image function; the layers of its decoder are the width."""
    _whole("layers", layers, 1, 64)
    _whole("features", features, 1, WIDEST)
    _whole("lower", lower, 1, _whole("hidden", hidden, 2, WIDEST))
    if isinstance(patch, bool) or patch not in PATCHES:
        raise UserError(f"patch is {patch!r}; choose one of {', '.join(map(str, PATCHES))} pixels a side")

    def build(hidden: int) -> nn.Module:
        from core.models.liif.net import liif

        return liif(hidden, layers, patch, features)

    return Family(build, hidden=Width(hidden, lower))


def liif_call(settings: Mapping[str, Any], widths: Mapping[str, int]) -> str:
    """The call of `core.models.liif.net.liif`."""
    kept = {"layers": settings["layers"], "patch": int(settings["patch"]), "features": settings["features"]}
    return _call("liif", hidden=widths["hidden"], **kept)


def liif_fit(data: Dataset) -> dict[str, Any]:
    """The patch that queries hold. Raises UserError for data that are no such queries."""
    sizes = {(3 * patch * patch + 4,): patch for patch in PATCHES}
    if data.task != "image" or data.classes != 3 or data.input.shape not in sizes:
        raise UserError(f"it wants queries around pixels, as super-resolution has; {data.name} has {_of(data)}")
    return {"patch": sizes[data.input.shape]}


def _stages(channels: int, stages: int) -> list[int]:
    return [channels * 2**k for k in range(stages)]


def _mlp_widths(layers: int, each_layer: bool) -> list[str]:
    """The name of each hidden layer's width, in the layers' order."""
    return [f"hidden{k + 1}" for k in range(layers)] if each_layer else ["hidden"] * layers


def _patch(size: int, patch: int | None) -> int:
    """A vision transformer's pixels a side of one token."""
    if patch is None:
        return size // 4 if size % 4 == 0 else 1 if size < 8 else min(k for k in range(2, size + 1) if size % k == 0)
    if size % _whole("patch", patch, 1, size):
        raise UserError(f"patch is {patch}, which does not divide the picture's side of {size} pixels; choose one")
    return patch


def _call(name: str, **arguments: float) -> str:
    return f"{name}({', '.join(f'{key}={value!r}' for key, value in arguments.items())})"


def _has_classes(data: Dataset) -> bool:
    from core.tasks.registry import task

    return task(data.task).classes


def _of(data: Dataset) -> str:
    return f"{data.input.kind} of shape {data.input.shape} for the task {data.task}"


def _whole(name: str, value: Any, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise UserError(f"{name} is {value!r}; choose a whole number from {low:,} to {high:,}")
    return value


def _number(name: str, value: Any, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise UserError(f"{name} is {value!r}; choose a number from {low:g} to {high:g}")
    return float(value)


def _checked_scales(rescale: Any, outputs: int) -> list[list[float]]:
    """Means and deviations as plain numbers. Raises UserError where there is not one of each an output."""
    wanted = f"rescale wants the means and the deviations (above 0) of {outputs} outputs, as [[...], [...]]"
    if not isinstance(rescale, (list, tuple)) or len(rescale) != 2:
        raise UserError(wanted)
    for part, lowest in zip(rescale, (-math.inf, 0.0), strict=True):
        if not isinstance(part, (list, tuple)) or len(part) != outputs:
            raise UserError(wanted)
        if not all(isinstance(v, (int, float)) and not isinstance(v, bool) and lowest < v < math.inf for v in part):
            raise UserError(wanted)
    return [[float(value) for value in part] for part in rescale]
