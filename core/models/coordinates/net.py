"""A coordinate network: a picture as a function from a pixel's place to its colour.

The inputs pass through Fourier features (Tancik et al., 2020, section 6): plain coordinates give no detail.
"""

import math

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


class Waves(nn.Module):
    """Random Fourier features: directions drawn once and stored with the weights."""

    directions: torch.Tensor

    def __init__(self, count: int, frequency: float) -> None:
        super().__init__()
        self.register_buffer("directions", 2 * math.pi * frequency * torch.randn(2, count))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (batch, 2) to (batch, 2 * count)."""
        angle = x @ self.directions
        return torch.cat([angle.sin(), angle.cos()], dim=1)


def coordinates(hidden: int, layers: int = 3, waves: int = 128, frequency: float = 2.0) -> nn.Module:
    """Build a network from places (batch, 2) in rows and columns to colours (batch, 3) in [0, 1], not clamped.

    Parameters
    ----------
    hidden, layers
        Features of a hidden layer, and number of hidden layers.
    waves, frequency
        Number of random Fourier features, and the standard deviation of their frequencies.
    """
    parts: list[nn.Module] = [Normalise(2), Waves(waves, frequency)]
    inputs = 2 * waves
    for _ in range(layers):
        parts += [nn.Linear(inputs, hidden), nn.ReLU()]
        inputs = hidden
    return nn.Sequential(*parts, nn.Linear(hidden, 3))
