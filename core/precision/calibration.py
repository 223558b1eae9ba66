"""Rounding of a module's weights, a layer at a time, on inputs that come through the layers already rounded.

Imports torch.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from core.errors import UserError
from core.precision.base import Scheme, Stored
from core.precision.schemes import constant

Layer = nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d

SMALLEST = 64  # numbers of a weight that is rounded; a smaller one costs as much as its scales
MOST_COLUMNS = 8192  # of a layer whose second moments are held, half a gigabyte
BATCH = 250  # calibration rows of a forward pass
CONVOLUTIONS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


def round_module(module: nn.Module, rows: torch.Tensor, scheme: Scheme) -> dict[str, Stored]:
    """Round the linear and convolutional weights of a module, in place.

    A layer that the rows never reach is rounded as if all its inputs counted alike. Weights that another part of the
    module shares stay as they are, as do norms, biases and small tensors; a tensor of one value becomes that value.

    Parameters
    ----------
    module
        A module in evaluation mode.
    rows
        Calibration inputs, (n, ...) float32.
    scheme
        How to store a weight.

    Returns
    -------
    By name in the module's state, each tensor that is stored otherwise than as it is.

    Raises
    ------
    UserError
        For a weight or a layer's input that is not finite, or a weight that the scheme can't store.
    """
    stored: dict[str, Stored] = {}
    layers = _layers(module)
    for name, value in module.state_dict().items():
        array = value.detach().cpu().numpy()
        if array.dtype == np.float32 and not np.isfinite(array).all():
            raise UserError(f"the tensor {name} holds a number that is not finite; train the run again")
        if array.dtype == np.float32 and array.size >= SMALLEST and (array == array.flat[0]).all():
            codes = constant.SCHEME.quantize(array.copy(), None)
            stored[name] = Stored(scheme=constant.SCHEME, values=codes.codes, codes=codes)
    for name in [*_reached(module, layers, rows[:2]), *layers]:
        weight = f"{name}.weight" if name else "weight"
        if weight in stored:
            continue
        layer = layers[name]
        values = layer.weight.detach().cpu().numpy().copy()
        moments = _moments(module, layer, rows) if scheme.calibrated else None
        if moments is not None and not np.isfinite(moments).all():
            raise UserError(f"the inputs of layer {name} are not finite on the training examples; train the run again")
        try:
            tensor = Stored(scheme=scheme, values=values, codes=scheme.quantize(values, moments))
        except UserError as error:
            raise UserError(f"the weight {weight} can't be stored as {scheme.name}: {error}") from None
        stored[weight] = tensor
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(tensor.restored))
    return stored


def _layers(module: nn.Module) -> dict[str, Layer]:
    """Find the layers, by name, whose weight is of their own, float32 and not small."""
    uses = Counter(id(value) for _, value in module.named_parameters(remove_duplicate=False))
    return {
        name: part
        for name, part in module.named_modules()
        if isinstance(part, Layer)
        and uses[id(part.weight)] == 1
        and part.weight.dtype == torch.float32
        and part.weight.numel() >= SMALLEST
    }


def _reached(module: nn.Module, layers: dict[str, Layer], rows: torch.Tensor) -> list[str]:
    """Return the names of the layers in the order in which a forward pass first reaches them."""
    order: dict[str, None] = {}
    hooks = [
        layer.register_forward_pre_hook(lambda part, inputs, name=name: order.setdefault(name))
        for name, layer in layers.items()
    ]
    try:
        with torch.no_grad():
            module(rows.clone())
    finally:
        for hook in hooks:
            hook.remove()
    return list(order)


def _moments(module: nn.Module, layer: Layer, rows: torch.Tensor) -> np.ndarray | None:
    """Return X'X / n of a layer's inputs, (groups, columns, columns) float64; None where the rows don't reach it."""
    groups = 1 if isinstance(layer, nn.Linear) else layer.groups
    columns = layer.weight[0].numel()
    if groups * columns**2 > MOST_COLUMNS**2:
        return None
    total, count = torch.zeros(groups, columns, columns, dtype=torch.float64), 0

    def add(part: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        nonlocal count
        x = _unfolded(layer, inputs[0].detach())  # (groups, n, columns)
        total.add_((x.transpose(1, 2) @ x).double())
        count += x.shape[1]

    hook = layer.register_forward_pre_hook(add)
    try:
        with torch.no_grad():
            for part in rows.split(BATCH):
                module(part.clone())
    finally:
        hook.remove()
    return (total / count).numpy() if count else None


def _unfolded(layer: Layer, x: torch.Tensor) -> torch.Tensor:
    """Return the inputs that each output of a layer multiplies with its weights: (groups, n, columns).

    A convolution with an identity matrix takes its patches out, in any number of dimensions; other paddings than
    zeros count as zeros.
    """
    if isinstance(layer, nn.Linear):
        return x.reshape(1, -1, x.shape[-1])
    dimensions, columns = len(layer.kernel_size), layer.weight[0].numel()
    x = x if x.dim() == dimensions + 2 else x[None]
    eye = torch.eye(columns).reshape(columns, *layer.weight.shape[1:]).repeat(layer.groups, *(1,) * (dimensions + 1))
    patches = CONVOLUTIONS[dimensions](
        x, eye, None, layer.stride, layer.padding, layer.dilation, layer.groups
    )  # (n, groups * columns, ...)
    return patches.reshape(len(x), layer.groups, columns, -1).permute(1, 0, 3, 2).reshape(layer.groups, -1, columns)
