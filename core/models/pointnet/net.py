"""PointNet (Qi et al., 2017): scores of a set of points in space, independent of the order of the points.

It differs from the paper in layer normalisation behind the layers over points, which needs no batch statistics.
"""

import torch
from torch import nn


class UnitSphere(nn.Module):
    """Move each cloud's mean to 0 and scale its farthest point to distance 1; there is nothing to fit."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (batch, points, 3) to the same shape."""
        x = x - x.mean(1, keepdim=True)
        return x / x.square().sum(-1).amax(1).sqrt().clamp_min(1e-12)[:, None, None]


def over_points(inputs: int, *sizes: int) -> nn.Sequential:
    """Build layers that treat every point alike, (batch, points, inputs) to (batch, points, sizes[-1])."""
    layers: list[nn.Module] = []
    for outputs in sizes:
        layers += [nn.Linear(inputs, outputs), nn.LayerNorm(outputs), nn.ReLU()]
        inputs = outputs
    return nn.Sequential(*layers)


def over_cloud(features: int, hidden: int) -> nn.Sequential:
    """Build two fully connected layers on a cloud's features, (batch, features) to (batch, hidden)."""
    return nn.Sequential(nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU())


class TNet(nn.Module):
    """A k x k matrix for each cloud, computed from the cloud; it starts as the identity."""

    def __init__(self, k: int, features: int, hidden: int) -> None:
        super().__init__()
        self.k = k
        self.points = over_points(k, 64, 128, features)
        self.cloud = over_cloud(features, hidden)
        self.matrix = nn.Linear(hidden, k * k)
        nn.init.zeros_(self.matrix.weight)
        with torch.no_grad():
            self.matrix.bias.copy_(torch.eye(k).flatten())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (batch, points, k) to (batch, k, k)."""
        entries: torch.Tensor = self.matrix(self.cloud(self.points(x).amax(1)))
        return entries.view(-1, self.k, self.k)


class PointNet(nn.Module):
    """Points and their features, each aligned by a T-net, the maximum over the points, scores.

    In training, `penalty` is the last forward pass's term of the loss, 0.001 ||I - A A^T||^2 (section 3.3), which keeps
    the 64 x 64 matrix A close to a rotation.
    """

    def __init__(self, hidden: int, transform: int, classes: int, features: int) -> None:
        super().__init__()
        self.normalise = UnitSphere()
        self.turn = TNet(3, features, transform)
        self.low = over_points(3, 64, 64)
        self.align = TNet(64, features, transform)
        self.high = over_points(64, 64, 128, features)
        self.cloud = over_cloud(features, hidden)
        self.head = nn.Linear(hidden, classes)
        self.penalty: torch.Tensor | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map raw points (batch, points, 3) to scores (batch, classes)."""
        x = self.normalise(x)
        x = self.low(x @ self.turn(x))  # (batch, points, 64)
        matrix = self.align(x)
        if self.training:
            identity = torch.eye(64, dtype=x.dtype, device=x.device)
            self.penalty = 0.001 * (identity - matrix @ matrix.transpose(1, 2)).square().sum((1, 2)).mean()
        x = self.high(x @ matrix)  # (batch, points, features)
        scores: torch.Tensor = self.head(self.cloud(x.amax(1)))
        return scores


def pointnet(hidden: int, transform: int, classes: int = 10, features: int = 256) -> nn.Module:
    """Build a PointNet from any number of raw points (batch, points, 3) to scores (batch, classes).

    Parameters
    ----------
    hidden, transform
        Features of the fully connected layers of the head and of the T-nets.
    classes, features
        Number of classes, and features that describe a whole cloud.
    """
    return PointNet(hidden, transform, classes, features)
