"""A stack of linear layers on raw inputs."""

import torch
from torch import nn


class Normalise(nn.Module):
    """`(x - mean) / std` with the training part's statistics, so that the model takes raw values."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("std", torch.ones(features))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Shapes: (batch, features) to the same."""
        return (x - self.mean) / self.std


def mlp(inputs: int, outputs: int, hidden: list[int]) -> nn.Module:
    """Raw inputs (batch, ...) to scores (batch, outputs), through layers of `hidden` features each."""
    layers: list[nn.Module] = [nn.Flatten(), Normalise(inputs)]
    for size in hidden:
        layers += [nn.Linear(inputs, size), nn.LeakyReLU()]
        inputs = size
    return nn.Sequential(*layers, nn.Linear(inputs, outputs))
