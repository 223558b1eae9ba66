"""A multilayer perceptron on raw inputs."""

import torch
from torch import nn


class Normalise(nn.Module):
    """Standardise raw values to mean 0 and deviation 1: `x * scale + shift`, set from the training data."""

    scale: torch.Tensor
    shift: torch.Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        self.register_buffer("scale", torch.ones(features))
        self.register_buffer("shift", torch.zeros(features))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (batch, features) to the same shape."""
        return torch.addcmul(self.shift, x, self.scale)


class Denormalise(nn.Module):
    """Restore predictions of mean 0 and deviation 1 to their own units: `x * scale + shift`."""

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
    """Build an MLP from raw inputs (batch, ...) to scores (batch, outputs).

    Parameters
    ----------
    inputs, outputs
        Number of input features and of outputs.
    hidden
        Features of each hidden layer.
    rescale
        Whether the outputs are numbers in their own units, restored by a last module.
    """
    layers: list[nn.Module] = [nn.Flatten(), Normalise(inputs)]
    for size in hidden:
        layers += [nn.Linear(inputs, size), nn.LeakyReLU()]
        inputs = size
    layers.append(nn.Linear(inputs, outputs))
    return nn.Sequential(*layers, Denormalise(outputs)) if rescale else nn.Sequential(*layers)
