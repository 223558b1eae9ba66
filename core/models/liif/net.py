"""A local implicit image function (Chen, Liu & Wang, 2021): a picture's colours between its pixels, at any scale.

Simpler than in the paper: the encoder is two convolutions on one small patch, run for each query and not once a
picture; a query reads one feature vector, not the 3 x 3 around it; there is no local ensemble of the four nearest.
Added: the decoder predicts a difference from the nearest pixel.
"""

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


class LIIF(nn.Module):
    """An encoder of a patch, and a decoder of the difference from the nearest pixel's colour."""

    def __init__(self, hidden: int, layers: int, patch: int, features: int) -> None:
        super().__init__()
        self.patch = patch
        self.normalise = Normalise(3 * patch * patch + 4)
        self.encode = nn.Sequential(
            nn.Conv2d(3, features, 3), nn.ReLU(), nn.Conv2d(features, features, patch - 2), nn.ReLU(), nn.Flatten()
        )
        decoder: list[nn.Module] = []
        for inputs in [features + 4] + [hidden] * (layers - 1):
            decoder += [nn.Linear(inputs, hidden), nn.ReLU()]
        self.decode = nn.Sequential(*decoder, nn.Linear(hidden, 3))

    def pixels(self, x: torch.Tensor) -> torch.Tensor:
        """Return the patches of queries, (batch, 3, patch, patch)."""
        return x[:, :-4].view(-1, 3, self.patch, self.patch)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map queries (batch, 3 * patch * patch + 4) to colours (batch, 3) in [0, 1], not clamped."""
        nearest = self.pixels(x)[:, :, self.patch // 2, self.patch // 2] / 255
        y = self.normalise(x)
        features = self.encode(self.pixels(y))  # (batch, features)
        difference: torch.Tensor = self.decode(torch.cat([features, y[:, -4:]], dim=1))
        return nearest + difference


def liif(hidden: int, layers: int = 3, patch: int = 5, features: int = 32) -> nn.Module:
    """Build a network from queries (batch, 3 * patch * patch + 4) to colours (batch, 3).

    A query is the low-resolution pixels around the nearest one, (3, patch, patch) from 0 to 255; its position across
    that pixel, row and column from -1 to 1; and the height and width of its cell, where 2 is that pixel's size.

    Parameters
    ----------
    hidden, layers
        Features of a hidden layer of the decoder, and number of hidden layers.
    patch, features
        Pixels of a patch's side, and features of the encoder.
    """
    return LIIF(hidden, layers, patch, features)
