"""PointNet (Qi et al., 2017): a set of points in space becomes scores, whatever the order of the points."""

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


def shared(norm: str, *sizes: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs, outputs in zip(sizes, sizes[1:], strict=False):
        layers += [nn.Linear(inputs, outputs)]
        if norm == "layer":
            layers += [nn.LayerNorm(outputs)]
        if norm == "batch":
            layers += [PointBatchNorm(outputs)]
        layers += [nn.ReLU()]
    return nn.Sequential(*layers)

class PointBatchNorm(nn.BatchNorm1d):
    def forward(self, x):
        return super().forward(x.flatten(0, 1)).view_as(x)

class TNet(nn.Module):
    def __init__(self, norm, k: int, features: int, hidden: int) -> None:
        super().__init__()
        self.k = k
        self.points = shared(norm, k, 64, 128, features)
        self.full = nn.Sequential(nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU())
        self.matrix = nn.Linear(hidden, k * k)
        nn.init.zeros_(self.matrix.weight)
        with torch.no_grad():
            self.matrix.bias.copy_(torch.eye(k).flatten())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.points(x).amax(1)
        return self.matrix(self.full(x)).view(-1, self.k, self.k)


class PointNet(nn.Module):
    def __init__(self, hidden: int, transform: int, classes: int, features: int, norm: str, drop=0.3, t=True) -> None:
        super().__init__()
        self.t=t
        self.rotate = TNet(norm, 3, features, transform)
        self.low = shared(norm, 3, 64, 64)
        self.align = TNet(norm, 64, features, transform)
        self.high = shared(norm, 64, 64, 128, features)
        self.head = nn.Sequential(nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Dropout(drop), nn.Linear(hidden, classes))
        self.penalty = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.t: x = x @ self.rotate(x)
        x = self.low(x)
        if self.t:
            matrix = self.align(x)
            x = x @ matrix
            if self.training:
                left = matrix @ matrix.transpose(1, 2) - torch.eye(64)
                self.penalty = 0.001 * left.square().sum((1, 2)).mean()
        return self.head(self.high(x).amax(1))
