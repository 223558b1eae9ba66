"""A coordinate network: a picture as a function from a pixel's place to its colour.

Fourier features first (Tancik et al., 2020, section 6): a network that gets bare coordinates learns no detail.
"""

import math

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


class Waves(nn.Module):
    """Sines and cosines of places in random directions, drawn once and kept with the weights."""

    directions: torch.Tensor

    def __init__(self, count: int, frequency: float) -> None:
        super().__init__()
        self.register_buffer("directions", 2 * math.pi * frequency * torch.randn(2, count))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Shapes: (batch, 2) to (batch, 2 * count)."""
        angle = x @ self.directions
        return torch.cat([angle.sin(), angle.cos()], dim=1)


def coordinates(hidden: int, layers: int = 3, waves: int = 128, frequency: float = 2.0) -> nn.Module:
    """Places (batch, 2) in rows and columns to colours (batch, 3) in [0, 1], which are not clamped."""
    parts: list[nn.Module] = [Normalise(2), Waves(waves, frequency)]
    inputs = 2 * waves
    for _ in range(layers):
        parts += [nn.Linear(inputs, hidden), nn.ReLU()]
        inputs = hidden
    return nn.Sequential(*parts, nn.Linear(hidden, 3))
