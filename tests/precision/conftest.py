"""Small trained runs whose weights are rounded: a chain of linear layers, and a person's own convolutional net."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from core import Family, Run, sweep, train
from core.data import from_arrays
from core.elastic.recipes.registry import recipe
from core.models import family as named_family
from tests.helpers.training import clusters


class ConvNet(nn.Module):
    """Batch normalisation, a grouped convolution of an odd number of weights, and a head."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, channels, 3, padding=1)
        self.norm = nn.BatchNorm2d(channels)
        self.second = nn.Conv2d(channels, channels, 3, groups=channels)
        self.third = nn.Conv2d(channels, channels, 1)
        self.head = nn.Linear(channels, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = torch.relu(self.norm(self.first(x)))
        return self.head(torch.relu(self.third(self.second(h))).mean((2, 3)))


@pytest.fixture(scope="session")
def mlp_run(tmp_path_factory) -> Run:
    data = from_arrays(*clusters((5, 5), 4, 300), kind="image")
    family = named_family("mlp", inputs=25, outputs=4, hidden=21)
    run = train(family, data, out=tmp_path_factory.mktemp("mlp") / "mlp", recipe=recipe("paper", epochs=3))
    sweep(run, latency=False, progress=False)
    return run


@pytest.fixture(scope="session")
def conv_run(tmp_path_factory) -> Run:
    data = from_arrays(*clusters((3, 6, 6), 4, 200), kind="image")
    family = Family(ConvNet, channels=17)
    run = train(family, data, out=tmp_path_factory.mktemp("conv") / "conv", recipe=recipe("paper", epochs=2))
    sweep(run, latency=False, progress=False)
    return run


@pytest.fixture
def moments():
    """Second moments of correlated inputs, (1, columns, columns)."""

    def make(columns: int, seed: int = 0, rows: int = 200) -> np.ndarray:
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(rows, columns)) @ rng.normal(size=(columns, columns)) + rng.normal(size=columns)
        return (x.T @ x / rows)[None]

    return make
