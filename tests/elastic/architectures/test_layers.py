"""Linear layers, convolutions and norms: each trains, sweeps and exports, and a wrong layout of it is noticed."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from core import Family, LayoutError
from tests.helpers.architectures import examples, prove

VECTORS, SEQUENCES, IMAGES = examples(6), examples(4, 6), examples(1, 6, 6)


@pytest.mark.slow
def test_linear_layers_with_batch_norm(tmp_path):
    def build(hidden: int) -> nn.Module:
        return nn.Sequential(
            nn.Linear(6, hidden), nn.BatchNorm1d(hidden), nn.ReLU(),
            nn.Linear(hidden, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Linear(hidden, 3),
        )  # fmt: skip

    prove(tmp_path, Family(build, hidden=8), VECTORS, masked={"2": (1, "hidden"), "5": (1, "hidden")})


@pytest.mark.slow
def test_one_dimensional_convolutions_with_batch_norm(tmp_path):
    def build(channels: int) -> nn.Module:
        return nn.Sequential(
            nn.Conv1d(4, channels, 3, padding=1), nn.BatchNorm1d(channels), nn.ReLU(),
            nn.Conv1d(channels, channels, 3), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(channels, 3),
        )  # fmt: skip

    prove(tmp_path, Family(build, channels=8), SEQUENCES, masked={"2": (1, "channels"), "4": (1, "channels")})


class Residual(nn.Module):
    """A stream of `channels`, and a block beside it of `inner`."""

    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.stem, self.first = nn.Conv2d(1, channels, 3, padding=1), nn.BatchNorm2d(channels)
        self.up, self.second = nn.Conv2d(channels, inner, 3, padding=1, bias=False), nn.BatchNorm2d(inner)
        self.down, self.third = nn.Conv2d(inner, channels, 1, bias=False), nn.BatchNorm2d(channels)
        self.out = nn.Linear(channels, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = F.relu(self.first(self.stem(x)))
        h = F.relu(h + self.third(self.down(F.relu(self.second(self.up(h))))))
        return self.out(h.mean((2, 3)))


@pytest.mark.slow
def test_residual_convolutions_with_batch_norm(tmp_path):
    places = {"first": (1, "channels"), "second": (1, "inner"), "third": (1, "channels")}
    prove(tmp_path, Family(Residual, channels=8, inner=6), IMAGES, masked=places)


@pytest.mark.slow
def test_grouped_convolution(tmp_path):
    """The width counts groups, of four channels each and then of eight."""

    def build(groups: int) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(1, 4 * groups, 3), nn.ReLU(), nn.Conv2d(4 * groups, 8 * groups, 3, groups=groups), nn.ReLU(),
            nn.Flatten(), nn.Linear(8 * groups * 4, 3),
        )  # fmt: skip

    prove(tmp_path, Family(build, groups=4), IMAGES, masked={"1": (1, "groups"), "3": (1, "groups")})


@pytest.mark.slow
def test_depthwise_convolution(tmp_path):
    def build(channels: int) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(1, channels, 1), nn.ReLU(), nn.Conv2d(channels, channels, 3, groups=channels), nn.ReLU(),
            nn.Conv2d(channels, channels, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 3),
        )  # fmt: skip

    places = {"1": (1, "channels"), "3": (1, "channels"), "4": (1, "channels")}
    prove(tmp_path, Family(build, channels=6), IMAGES, masked=places)


@pytest.mark.slow
def test_convolution_flatten_linear(tmp_path):
    def build(channels: int) -> nn.Module:
        return nn.Sequential(nn.Conv2d(1, channels, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16 * channels, 3))

    prove(tmp_path, Family(build, channels=6), IMAGES, masked={"1": (1, "channels"), "2": (1, "channels")})


class ChannelsLast(nn.Module):
    """Flattened with the channels innermost: 16 runs of all channels, where shapes suggest a run for each channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv, self.out = nn.Conv2d(1, channels, 3), nn.Linear(16 * channels, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(F.relu(self.conv(x)).permute(0, 2, 3, 1).flatten(1))


@pytest.mark.slow
def test_convolution_flattened_with_channels_last(tmp_path):
    prove(tmp_path, Family(ChannelsLast, channels=6), IMAGES, masked={"conv": (1, "channels")}, open_axes=True)


@pytest.mark.slow
def test_transposed_convolution(tmp_path):
    def build(channels: int) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(1, channels, 3), nn.ReLU(), nn.ConvTranspose2d(channels, channels, 3), nn.ReLU(),
            nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * channels, 3),
        )  # fmt: skip

    prove(tmp_path, Family(build, channels=6), IMAGES, masked={"1": (1, "channels"), "3": (1, "channels")})


@pytest.mark.slow
@pytest.mark.parametrize("norm", [nn.LayerNorm, nn.RMSNorm])
def test_norm_over_features(tmp_path, norm):
    """The small model normalises over what it has, so no mask on the large one says the same."""

    def build(hidden: int) -> nn.Module:
        return nn.Sequential(
            nn.Linear(6, hidden), norm(hidden), nn.GELU(), nn.Linear(hidden, hidden), norm(hidden), nn.Linear(hidden, 3)
        )

    prove(tmp_path, Family(build, hidden=8), VECTORS, masked=False)


@pytest.mark.slow
def test_group_norm(tmp_path):
    """The width counts the groups that are normalised together."""

    def build(groups: int) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(1, 4 * groups, 3), nn.GroupNorm(groups, 4 * groups), nn.ReLU(), nn.Flatten(),
            nn.Linear(64 * groups, 3),
        )  # fmt: skip

    prove(tmp_path, Family(build, groups=4), IMAGES, masked={"2": (1, "groups")})


@pytest.mark.slow
def test_group_norm_of_a_fixed_number_of_groups(tmp_path):
    """Each feature is a channel of either group: which channels are normalised together is found by trying."""

    def build(channels: int) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(1, 2 * channels, 3), nn.GroupNorm(2, 2 * channels), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
            nn.Flatten(), nn.Linear(2 * channels, 3),
        )  # fmt: skip

    prove(tmp_path, Family(build, channels=6), IMAGES, masked=False, open_axes=True)


class Transform(nn.Module):
    """Points turned by a k x k matrix that is made of the points themselves (PointNet, section 4.2)."""

    def __init__(self, k: int, hidden: int) -> None:
        super().__init__()
        self.points, self.hidden = nn.Linear(4, k), nn.Linear(k, hidden)
        self.matrix, self.out = nn.Linear(hidden, k * k), nn.Linear(k, 3)
        self.k = k

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.points(x.transpose(1, 2)))  # (batch, points, k)
        matrix = self.matrix(F.relu(self.hidden(x)).amax(1)).view(-1, self.k, self.k)
        return self.out((x @ matrix).amax(1))


@pytest.mark.slow
def test_learned_square_transform(tmp_path):
    """As wide as its own square: refused with the mend named; of one size inside elastic layers it is like any."""
    with pytest.raises(LayoutError, match=r"'matrix\.weight' has 64 entries.* as a square .*a width of its own"):
        Family(Transform, k=8, hidden=6).check(torch.from_numpy(SEQUENCES[0][:3]))
    family = Family(lambda hidden: Transform(4, hidden), hidden=6)
    prove(tmp_path, family, SEQUENCES, masked={"hidden": (2, "hidden")})
