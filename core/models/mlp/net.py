"""A stack of linear layers on raw inputs."""

import torch
from torch import nn


class Normalise(nn.Module):
    """Raw values to mean 0 and deviation 1: `x * scale + shift`, fitted on the training part."""

    scale: torch.Tensor
    shift: torch.Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        self.register_buffer("scale", torch.ones(features))
        self.register_buffer("shift", torch.zeros(features))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Shapes: (batch, features) to the same."""
        return torch.addcmul(self.shift, x, self.scale)


class Denormalise(nn.Module):
    """Numbers of mean 0 and deviation 1 to the units of what is predicted: `x * scale + shift`."""

    scale: torch.Tensor
    shift: torch.Tensor

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.register_buffer("scale", torch.ones(outputs))
        self.register_buffer("shift", torch.zeros(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Shapes: (batch, outputs) to the same."""
        return torch.addcmul(self.shift, x, self.scale)


def mlp(inputs: int, outputs: int, hidden: list[int], rescale: bool = False) -> nn.Module:
    """Raw inputs (batch, ...) to scores (batch, outputs), through layers of `hidden` features each.

    With `rescale` the outputs are numbers in their own units, which the last module restores.
    """
    layers: list[nn.Module] = [nn.Flatten(), Normalise(inputs)]
    for size in hidden:
        layers += [nn.Linear(inputs, size), nn.LeakyReLU()]
        inputs = size
    layers.append(nn.Linear(inputs, outputs))
    return nn.Sequential(*layers, Denormalise(outputs)) if rescale else nn.Sequential(*layers)
