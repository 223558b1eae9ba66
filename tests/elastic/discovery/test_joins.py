"""Parts of one width side by side: each topology is read without a declaration, at a small size first."""

from __future__ import annotations

import time

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from core import Family, LayoutError
from core.elastic.discovery import repair
from tests.helpers.architectures import a_slice_is_the_model_without_the_other_features

IMAGES = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def block(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU())


class UNet(nn.Module):
    """Channels double with each halving of the picture; `attention` at the bottom, as in a diffusion model."""

    def __init__(self, c: int, depth: int, attention: bool = False) -> None:
        super().__init__()
        sizes = [c * 2**k for k in range(depth + 1)]
        self.down = nn.ModuleList(block(1 if k == 0 else sizes[k - 1], sizes[k]) for k in range(depth + 1))
        self.up = nn.ModuleList(nn.ConvTranspose2d(sizes[k + 1], sizes[k], 2, stride=2) for k in range(depth))
        self.join = nn.ModuleList(block(2 * sizes[k], sizes[k]) for k in range(depth))
        self.middle = Attention(sizes[-1], 1) if attention else None
        self.out = nn.Conv2d(c, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skips = []
        for k, down in enumerate(self.down):
            x = down(F.max_pool2d(x, 2) if k else x)
            skips.append(x)
        if self.middle is not None:
            x = self.middle(x.flatten(2).transpose(1, 2)).transpose(1, 2).view_as(x)
        for k in reversed(range(len(self.up))):
            x = self.join[k](torch.cat([skips[k], self.up[k](x)], 1))
        return self.out(x)


class DenseNet(nn.Module):
    """Each layer reads all layers before it; a transition between two blocks."""

    def __init__(self, growth: int, layers: int) -> None:
        super().__init__()
        size, self.layers = 2 * growth, layers
        self.stem, self.dense = nn.Conv2d(1, size, 3, padding=1), nn.ModuleList()
        for _ in range(2):
            for _ in range(layers):
                self.dense.append(nn.Sequential(nn.BatchNorm2d(size), nn.ReLU(), nn.Conv2d(size, growth, 3, padding=1)))
                size += growth
            if len(self.dense) == layers:
                self.transition, size = nn.Conv2d(size, 2 * growth, 1), 2 * growth
        self.out = nn.Linear(size, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        for k, layer in enumerate(self.dense, 1):
            x = torch.cat([x, layer(x)], 1)
            x = self.transition(x) if k == self.layers else x
        return self.out(x.mean((2, 3)))


class Attention(nn.Module):
    def __init__(self, size: int, heads: int) -> None:
        super().__init__()
        self.heads, self.norm = heads, nn.LayerNorm(size)
        self.qkv, self.proj = nn.Linear(size, 3 * size), nn.Linear(size, size)
        self.mlp = nn.Sequential(nn.LayerNorm(size), nn.Linear(size, 4 * size), nn.GELU(), nn.Linear(4 * size, size))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.qkv(self.norm(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        x = x + self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return x + self.mlp(x)


class Swin(nn.Module):
    """Four neighbouring patches are joined between two stages. The width is a head's, or the number of heads."""

    def __init__(self, width: int, heads: int | None) -> None:
        super().__init__()
        size = 4 * width
        self.patches, self.first = nn.Conv2d(1, size, 2, stride=2), Attention(size, heads or width)
        self.merge = nn.Sequential(nn.LayerNorm(4 * size), nn.Linear(4 * size, 2 * size, bias=False))
        self.second, self.out = Attention(2 * size, 2 * (heads or width)), nn.Linear(2 * size, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.patches(x).permute(0, 2, 3, 1)  # (batch, rows, columns, size)
        x = self.first(x.flatten(1, 2)).view_as(x)
        x = torch.cat([x[:, i::2, j::2] for i in (0, 1) for j in (0, 1)], -1)
        return self.out(self.second(self.merge(x).flatten(1, 2)).mean(1))


class MobileViT(nn.Module):
    """A transformer over pixels inside a convolutional net, and its output beside its input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.stem, self.enter = block(1, 2 * width), nn.Conv2d(2 * width, 4 * width, 1)
        self.expand = nn.Sequential(block(2 * width, 8 * width), nn.Conv2d(8 * width, 2 * width, 1))
        self.mix, self.leave = Attention(4 * width, 4), nn.Conv2d(4 * width, 2 * width, 1)
        self.join, self.out = block(4 * width, 2 * width), nn.Linear(2 * width, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.expand(self.stem(x))
        y = self.enter(x)
        y = self.mix(y.flatten(2).transpose(1, 2)).transpose(1, 2).view_as(y)
        return self.out(self.join(torch.cat([x, self.leave(y)], 1)).mean((2, 3)))


JOINS = {
    "u-net of depth 1": lambda: Family(lambda c: UNet(c, 1), c=6),
    "u-net of depth 2": lambda: Family(lambda c: UNet(c, 2), c=6),
    "u-net of depth 3": lambda: Family(lambda c: UNet(c, 3), c=6),
    "diffusion u-net": lambda: Family(lambda c: UNet(c, 2, attention=True), c=6),
    "densenet": lambda: Family(lambda c: DenseNet(c, 3), c=6),
    "swin, wider heads": lambda: Family(lambda c: Swin(c, 2), c=6),
    "swin, more heads": lambda: Family(lambda c: Swin(c, None), c=4),
    "mobilevit": lambda: Family(MobileViT, width=6),
}
WITHOUT_NORM_OVER_FEATURES = ("u-net of depth 2", "densenet")


@pytest.mark.parametrize("name", JOINS)
def test_a_join_of_one_width_is_read(name):
    family = JOINS[name]()
    assert family.check(IMAGES) < 1e-5
    if name in WITHOUT_NORM_OVER_FEATURES:
        a_slice_is_the_model_without_the_other_features(family, IMAGES)


class Interleaved(UNet):
    """Channels of the skip and of the upsampled map in turn, but the last of them twice as strong: no order fits."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skip = self.down[0](x)
        up = self.up[0](self.down[1](F.max_pool2d(skip, 2)))
        joined = torch.stack([skip, up.cumsum(1)], 2).flatten(1, 2)
        return self.out(self.join[0](joined))


def test_a_join_that_no_reading_fits_is_named_within_bounds(monkeypatch):
    monkeypatch.setattr(repair, "TRIES", 20)
    start = time.process_time()
    with pytest.raises(LayoutError, match=r"'join\.0\.0\.weight'.*declare its order: .*declare\('join\.0\.0\.\*'"):
        Family(lambda c: Interleaved(c, 1), c=6).check(IMAGES)
    assert time.process_time() - start < 60
