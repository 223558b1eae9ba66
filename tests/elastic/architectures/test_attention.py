"""Attention and gates: what shapes leave open is found by trying, and what a person says wrongly is refused."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from core import Family, Width
from tests.helpers.architectures import examples, prove

SEQUENCES, VECTORS, TOKENS = examples(5, 4), examples(6), examples(5, tokens=7)


class Attention(nn.Module):
    """Heads of four features on a stream of eight; q, k and v from a layer each, or from one."""

    def __init__(self, heads: int, fused: bool) -> None:
        super().__init__()
        self.heads, self.fused = heads, fused
        self.stem, self.out = nn.Linear(4, 8), nn.Linear(8, 3)
        if fused:
            self.qkv = nn.Linear(8, 12 * heads)
        else:
            self.q, self.k, self.v = (nn.Linear(8, 4 * heads) for _ in range(3))
        self.proj = nn.Linear(4 * heads, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        parts = self.qkv(x).chunk(3, -1) if self.fused else (self.q(x), self.k(x), self.v(x))
        q, k, v = (part.unflatten(-1, (self.heads, 4)).transpose(1, 2) for part in parts)
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        return self.out((x + self.proj(mixed)).mean(1))


@pytest.mark.slow
def test_attention_with_separate_q_k_v(tmp_path):
    prove(tmp_path, Family(lambda heads: Attention(heads, False), heads=4), SEQUENCES, masked={"v": (2, "heads")})


@pytest.mark.slow
def test_attention_with_fused_q_k_v(tmp_path):
    prove(tmp_path, Family(lambda heads: Attention(heads, True), heads=4), SEQUENCES, open_axes=True)


class Multihead(nn.Module):
    """The stream grows with the heads: four features each."""

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.stem, self.out = nn.Linear(4, 4 * heads), nn.Linear(4 * heads, 3)
        self.mix = nn.MultiheadAttention(4 * heads, heads, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        return self.out((x + self.mix(x, x, x, need_weights=False)[0]).mean(1))


@pytest.mark.slow
def test_multihead_attention(tmp_path):
    prove(tmp_path, Family(Multihead, heads=3), SEQUENCES, open_axes=True)


class Encoder(nn.Module):
    def __init__(self, heads: int, feed_forward: int) -> None:
        super().__init__()
        self.stem, self.out = nn.Linear(4, 4 * heads), nn.Linear(4 * heads, 3)
        self.layer = nn.TransformerEncoderLayer(4 * heads, heads, feed_forward, dropout=0.0, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.layer(self.stem(x)).mean(1))


@pytest.mark.slow
def test_transformer_encoder_layer(tmp_path):
    """Heads and feed-forward as widths; its norms are over the stream, which grows with the heads."""
    prove(tmp_path, Family(Encoder, heads=3, feed_forward=8), SEQUENCES, masked=False, open_axes=True)


@pytest.mark.slow
def test_feed_forward_of_a_transformer_encoder_layer_of_fixed_heads(tmp_path):
    family = Family(lambda feed_forward: Encoder(2, feed_forward), feed_forward=8)
    prove(tmp_path, family, SEQUENCES, masked={"layer.linear1": (2, "feed_forward")})


class Gated(nn.Module):
    """The product of two halves of one layer, as in GLU, or of two layers, as in SwiGLU."""

    def __init__(self, hidden: int, fused: bool) -> None:
        super().__init__()
        self.fused = fused
        if fused:
            self.both = nn.Linear(6, 2 * hidden)
        else:
            self.gate, self.value = nn.Linear(6, hidden), nn.Linear(6, hidden)
        self.out = nn.Linear(hidden, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(F.glu(self.both(x)) if self.fused else F.silu(self.gate(x)) * self.value(x))


def test_glu(tmp_path):
    prove(tmp_path, Family(lambda hidden: Gated(hidden, True), hidden=8), VECTORS, open_axes=True)


def test_swiglu(tmp_path):
    family = Family(lambda hidden: Gated(hidden, False), hidden=8)
    prove(tmp_path, family, VECTORS, masked={"value": (1, "hidden")})


class FusedSwiGLU(nn.Module):
    """Gate and value in one layer without a bias, as language models have it."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(6, 2 * hidden, bias=False), nn.Linear(hidden, 3, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        gate, value = self.up(x).chunk(2, -1)
        return self.down(F.silu(gate) * value)


def test_fused_swiglu(tmp_path):
    prove(tmp_path, Family(FusedSwiGLU, hidden=8), VECTORS, open_axes=True)


class Tied(nn.Module):
    """Tokens in, a score for each of seven tokens out, through one table."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.embed, self.mix = nn.Embedding(7, hidden), nn.Linear(hidden, hidden)
        self.out = nn.Linear(hidden, 7, bias=False)
        self.out.weight = self.embed.weight

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.out(self.mix(self.embed(tokens.long()).mean(1)).relu())


@pytest.mark.slow
def test_embedding_with_tied_output(tmp_path):
    next_token = TOKENS[0].sum(1).astype(int) % 7
    family = Family(Tied, hidden=6)
    run = prove(tmp_path, family, (TOKENS[0], next_token), masked={"embed": (2, "hidden"), "mix": (1, "hidden")})
    weights = run.weights()
    assert (weights["embed.weight"] == weights["out.weight"]).all()
    assert family.params() == 7 * 6 + 6 * 6 + 6


class Vision(nn.Module):
    """Patches, a class token and learned places: constants that every head of the stream has a part of."""

    def __init__(self, heads: int, feed_forward: int) -> None:
        super().__init__()
        stream = 4 * heads
        self.patches = nn.Conv2d(1, stream, 2, stride=2)
        self.token, self.places = nn.Parameter(torch.randn(1, 1, stream)), nn.Parameter(torch.randn(1, 10, stream))
        self.layer = nn.TransformerEncoderLayer(stream, heads, feed_forward, 0.0, batch_first=True, norm_first=True)
        self.out = nn.Linear(stream, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.places
        return self.out(self.layer(x)[:, 0])


@pytest.mark.slow
def test_vision_transformer(tmp_path):
    family = Family(Vision, heads=Width(3, lower=1), feed_forward=Width(8, lower=2))
    prove(tmp_path, family, examples(1, 6, 6), masked=False, open_axes=True)
