"""A vision transformer (Dosovitskiy et al., 2021) on raw pictures of one channel."""

import torch
from torch import nn
from torch.nn import functional as F


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


class Attention(nn.Module):
    """Self-attention with separate queries, keys and values: heads are unordered, a head's features stay together."""

    def __init__(self, dim: int, heads: int, head_dim: int) -> None:
        super().__init__()
        self.head_dim = head_dim
        self.query = nn.Linear(dim, heads * head_dim)
        self.key = nn.Linear(dim, heads * head_dim)
        self.value = nn.Linear(dim, heads * head_dim)
        self.out = nn.Linear(heads * head_dim, dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (batch, tokens, dim) to the same shape."""
        q, k, v = (
            part(x).unflatten(-1, (-1, self.head_dim)).transpose(1, 2)  # (batch, heads, tokens, head_dim)
            for part in (self.query, self.key, self.value)
        )
        y = F.scaled_dot_product_attention(q, k, v)
        out: torch.Tensor = self.out(y.transpose(1, 2).flatten(2))
        return out


class Block(nn.Module):
    """Attention, then a feed-forward layer; each acts on normalised tokens and adds to the residual stream."""

    def __init__(self, dim: int, heads: int, head_dim: int, hidden: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attention = Attention(dim, heads, head_dim)
        self.norm2 = nn.LayerNorm(dim)
        self.feed_forward = nn.Sequential(nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, dim))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (batch, tokens, dim) to the same shape."""
        x = x + self.attention(self.norm1(x))
        y: torch.Tensor = self.feed_forward(self.norm2(x))
        return x + y


class ViT(nn.Module):
    """Square patches as tokens, learned positions, blocks, the mean over tokens, scores."""

    def __init__(
        self, heads: int, hidden: int, classes: int, size: int, patch: int, dim: int, depth: int, head_dim: int
    ) -> None:
        super().__init__()
        self.side, self.patch = size // patch, patch
        self.normalise = Normalise(size * size)
        self.embed = nn.Linear(patch * patch, dim)
        self.positions = nn.Parameter(0.02 * torch.randn(self.side**2, dim))
        self.blocks = nn.Sequential(*(Block(dim, heads, head_dim, hidden) for _ in range(depth)))
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map raw pixels (batch, size, size) to scores (batch, classes)."""
        x = self.normalise(x.flatten(1)).view(-1, self.side, self.patch, self.side, self.patch)
        x = x.transpose(2, 3).flatten(3).flatten(1, 2)  # (batch, tokens, patch * patch)
        x = self.blocks(self.embed(x) + self.positions)  # (batch, tokens, dim)
        scores: torch.Tensor = self.head(self.norm(x).mean(1))
        return scores


def vit(
    heads: int, hidden: int, classes: int = 10, size: int = 28, patch: int = 7, dim: int = 64, depth: int = 2,
    head_dim: int = 8,
) -> nn.Module:  # fmt: skip
    """Build a vision transformer from raw pixels (batch, size, size) to scores (batch, classes).

    Parameters
    ----------
    heads, head_dim, hidden, dim, depth
        Attention heads, features of a head, feed-forward features, features of the residual stream, number of blocks.
    classes, size, patch
        Number of classes, and pixels of the side of a picture and of a token.
    """
    return ViT(heads, hidden, classes, size, patch, dim, depth, head_dim)
