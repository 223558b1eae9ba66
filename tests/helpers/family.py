"""Plain factories of many topologies, and what the tests of the library's heart ask of them."""

import itertools
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

ACTIVATIONS = {
    "relu": nn.ReLU, "leaky": nn.LeakyReLU, "gelu": nn.GELU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid, "silu": nn.SiLU,
    "softplus": nn.Softplus, "elu": nn.ELU,
}  # fmt: skip


def mlp(sizes: Sequence[int], activation: type[nn.Module] = nn.ReLU, bias: bool = True) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(sizes):
        layers += [nn.Linear(before, after, bias=bias), activation()]
    return nn.Sequential(*layers[:-1])


def normed(hidden: int) -> nn.Module:
    first = [nn.Linear(5, hidden), nn.LayerNorm(hidden), nn.ReLU()]
    return nn.Sequential(*first, nn.Linear(hidden, hidden), nn.GELU(), nn.Linear(hidden, 3))


class Residual(nn.Module):
    def __init__(self, stream: int, inner: int) -> None:
        super().__init__()
        self.stem = nn.Linear(5, stream)
        self.norm = nn.LayerNorm(stream)
        self.up, self.down = nn.Linear(stream, inner), nn.Linear(inner, stream)
        self.head = nn.Linear(stream, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        return self.head(x + self.down(F.relu(self.up(self.norm(x)))))


def conv(channels: int) -> nn.Module:
    """Flattened 7x7 maps: 49 rows a channel."""
    return nn.Sequential(
        nn.Conv2d(1, channels, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(49 * channels, 3)
    )


def batch_normed(channels: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, channels, 3), nn.BatchNorm2d(channels), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(channels, 3),
    )  # fmt: skip


class Gated(nn.Module):
    """Two halves in one linear layer, which shapes can't tell apart."""

    def __init__(self, hidden: int, inputs: int = 5, outputs: int = 3) -> None:
        super().__init__()
        self.both, self.out = nn.Linear(inputs, 2 * hidden), nn.Linear(hidden, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        value, gate = self.both(x).chunk(2, -1)
        return self.out(value * gate.sigmoid())


class Attention(nn.Module):
    """Fused q, k, v of `heads` heads of four features on a stream of eight."""

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = nn.Linear(8, 12 * heads), nn.Linear(4 * heads, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, t, _ = x.shape
        q, k, v = self.qkv(x).view(n, t, 3, self.heads, 4).permute(2, 0, 3, 1, 4)
        return x + self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, t, -1))


def transformer(heads: int) -> nn.Module:
    return nn.Sequential(Attention(heads), nn.LayerNorm(8), Attention(heads), nn.Linear(8, 2))


class Concat(nn.Module):
    """Two branches side by side in the order b, a (with two raw inputs between, if `raw`)."""

    def __init__(self, a: int, b: int, raw: bool = False) -> None:
        super().__init__()
        self.raw = raw
        self.a, self.b = nn.Linear(5, a), nn.Linear(5, b)
        self.out = nn.Linear(a + b + 2 * raw, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        between = [x[:, :2]] if self.raw else []
        return self.out(torch.cat([self.b(x).relu(), *between, self.a(x).relu()], 1))


class Tied(nn.Module):
    """Token in, token out, through one table."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.embed, self.mix = nn.Embedding(7, hidden), nn.Linear(hidden, hidden)
        self.out = nn.Linear(hidden, 7, bias=False)
        self.out.weight = self.embed.weight

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.out(self.mix(self.embed(tokens)).relu())


class Recurrent(nn.Module):
    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.lstm, self.out = nn.LSTM(5, hidden, batch_first=True), nn.Linear(hidden, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.lstm(x)[0][:, -1])


def randomise(module: nn.Module, seed: int = 0) -> nn.Module:
    """Weights and float buffers that no zero or one can hide in."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in module.state_dict().values():
            if value.is_floating_point():
                value.copy_(torch.rand(value.shape, generator=generator) + 0.1)
    return module.eval()
