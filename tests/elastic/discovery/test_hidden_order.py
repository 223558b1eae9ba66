"""Features that are ordered in a hidden way never pass the symmetry check, whatever its seed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from core import Family, UserError
from core.elastic.layout import Segment

VECTORS = torch.randn(3, 5, generator=torch.Generator().manual_seed(1))
SEQUENCES = torch.randn(2, 4, 5, generator=torch.Generator().manual_seed(2))
SIZES = (2, 3, 4, 5, 6, 8, 16)
SEEDS = pytest.mark.parametrize(
    "seeds", [pytest.param(range(7), id="7 seeds"), pytest.param(range(7, 60), id="60 seeds", marks=pytest.mark.slow)]
)


def positions(h: torch.Tensor) -> torch.Tensor:
    return torch.arange(h.shape[-1])


def halves(h: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return h[..., : h.shape[-1] // 2], h[..., h.shape[-1] // 2 :]


HIDDEN: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "last one three times": lambda h: torch.cat([h[..., :-1], 3 * h[..., -1:]], -1),
    "first half twice": lambda h: torch.cat([2 * halves(h)[0], halves(h)[1]], -1),
    "each with its neighbour": lambda h: h * h.roll(1, -1),
    "each beside its neighbour": lambda h: h + h.roll(1, -1),
    "fixed partner": lambda h: h * h.flip(-1),
    "dilated": lambda h: h + h.roll(2, -1),
    "sorted": lambda h: h.sort(-1).values,
    "cumulative": lambda h: h.cumsum(-1),
    "largest so far": lambda h: h.cummax(-1).values,
    "two groups normalised": lambda h: F.group_norm(h, 2),
    "position within a pair": lambda h: h * (1 + positions(h) % 2),
    "position within a group of four": lambda h: h * (1 + positions(h) % 4),
    "softmax of each half": lambda h: torch.cat([part.softmax(-1) for part in halves(h)], -1),
    "even ones first": lambda h: torch.cat([h[..., 0::2], h[..., 1::2]], -1),
}


class Mixed(nn.Module):
    def __init__(self, h: int, mix: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.first, self.last, self.mix = nn.Linear(5, h), nn.Linear(h, 3), mix

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.mix(torch.relu(self.first(x))))


@SEEDS
@pytest.mark.parametrize("mix", HIDDEN.values(), ids=HIDDEN)
def test_a_hidden_order_is_refused(mix, seeds):
    for seed in seeds:
        with pytest.raises(UserError):
            Family(lambda h: Mixed(h, mix), h=SIZES[seed % len(SIZES)]).check(VECTORS, seed=seed)


class GroupedQueries(nn.Module):
    """2 g query heads of four features over two key-value heads, as a Llama has them."""

    def __init__(self, g: int) -> None:
        super().__init__()
        self.q, self.k, self.v = nn.Linear(5, 8 * g), nn.Linear(5, 8), nn.Linear(5, 8)
        self.o = nn.Linear(8 * g, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = (part(x).unflatten(-1, (-1, 4)).transpose(1, 2) for part in (self.q, self.k, self.v))
        k, v = (part.repeat_interleave(q.shape[1] // 2, 1) for part in (k, v))
        return self.o(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)).mean(1)


@SEEDS
def test_query_heads_over_fixed_key_value_heads_are_read_right(seeds):
    """The first half of the query heads reads one key-value head, the second half the other: two blocks."""
    for seed in seeds:
        family = Family(GroupedQueries, g=(2, 3, 4, 8)[seed % 4])
        assert family.check(SEQUENCES, seed=seed) < 1e-5
        assert family.layout.tensors["q.weight"].axes[0] == (Segment("g", 4),) * 2
        assert family.layout.tensors["o.weight"].axes[1] == (Segment("g", 4),) * 2


def test_query_heads_declared_in_one_run_are_refused():
    with pytest.raises(UserError, match=r"declare it: .*blocks=2"):
        Family(GroupedQueries, g=2).declare("*").check(SEQUENCES)
