"""PointNet (Qi et al., 2017): a set of points in space becomes scores, whatever the order of the points.

Unlike the paper's, layers over points are followed by layer normalisation, which needs no statistics over a batch.
"""

import torch
from torch import nn


class UnitSphere(nn.Module):
    """Raw points to their mean at 0 and the farthest at distance 1, each cloud by itself: there is nothing to fit."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Shapes: (batch, points, 3) to the same."""
        x = x - x.mean(1, keepdim=True)
        return x / x.square().sum(-1).amax(1).sqrt().clamp_min(1e-12)[:, None, None]


def over_points(inputs: int, *sizes: int) -> nn.Sequential:
    """Layers that treat every point alike, (batch, points, inputs) to (batch, points, sizes[-1])."""
    layers: list[nn.Module] = []
    for outputs in sizes:
        layers += [nn.Linear(inputs, outputs), nn.LayerNorm(outputs), nn.ReLU()]
        inputs = outputs
    return nn.Sequential(*layers)


def over_cloud(features: int, hidden: int) -> nn.Sequential:
    """Two fully-connected layers on what is known of a cloud, (batch, features) to (batch, hidden)."""
    return nn.Sequential(nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU())


class TNet(nn.Module):
    """A k x k matrix for each cloud, from the cloud; the identity as long as nothing is learned."""

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
        """Shapes: (batch, points, k) to (batch, k, k)."""
        entries: torch.Tensor = self.matrix(self.cloud(self.points(x).amax(1)))
        return entries.view(-1, self.k, self.k)


class PointNet(nn.Module):
    """Points and then their features aligned by a T-net, the largest value of each feature over the points, scores.

    In training, `penalty` is what the last forward pass adds to the loss (section 3.3): 0.001 ||I - A A^T||^2, which
    keeps the 64 x 64 matrix A close to a rotation.
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
        """Raw points (batch, points, 3) to scores (batch, classes)."""
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
    """Raw points (batch, points, 3), any number of them, to scores (batch, classes).

    `hidden` features in the head's fully-connected layers, `transform` in those of the T-nets, `features` of a cloud.
    """
    return PointNet(hidden, transform, classes, features)
