"""What the whole project stands on: a slice is the full model with the features from the cutoff on set to zero.

Structural Dropout (arXiv 2205.06906, section 3) zeroes the features of a hidden state at and above a cutoff.
"""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from core.elastic.family import Family
from core.elastic.scale import Scale
from tests.helpers.family import ACTIVATIONS, Attention, Concat, Gated, Recurrent, Residual, Tied, conv, mlp
from tests.helpers.properties import tries

X = torch.randn(4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def masked(features: torch.Tensor, kept: int, dim: int = -1) -> torch.Tensor:
    """The hidden state with the features from `kept` on set to zero."""
    mask = torch.arange(features.shape[dim]) < kept
    return features * mask.view([-1 if d == dim % features.dim() else 1 for d in range(features.dim())])


def sliced(family: Family, module: nn.Module, **widths: int) -> nn.Module:
    small = family.build(**widths).double()
    small.load_state_dict(family.slice(module.state_dict(), **widths), strict=True)
    return small


@st.composite
def networks(draw):
    """Hidden sizes, a cutoff for each, an activation, with or without biases."""
    hidden = draw(st.lists(st.integers(2, 9), min_size=1, max_size=4))
    cutoffs = [draw(st.integers(1, size)) for size in hidden]
    return hidden, cutoffs, ACTIVATIONS[draw(st.sampled_from(list(ACTIVATIONS)))], draw(st.booleans())


@tries(40)
@given(networks(), st.floats(0, 1))
def test_an_mlp_of_any_depth_width_and_activation(network, alpha):
    """With the recipe's scale too: kept features times (full / c) ** alpha, on their way into the next layer."""
    hidden, cutoffs, activation, bias = network
    names = [f"h{k}" for k in range(len(hidden))]
    family = Family(
        lambda **widths: mlp([5, *widths.values(), 3], activation, bias), **dict(zip(names, hidden, strict=True))
    )
    full = family.build().double()
    widths = dict(zip(names, cutoffs, strict=True))

    def forward(alpha: float) -> torch.Tensor:
        x = X
        for k, layer in enumerate(full[::2]):
            x = layer(x)
            if k < len(hidden):
                x = masked(full[2 * k + 1](x), cutoffs[k]) * (hidden[k] / cutoffs[k]) ** alpha
        return x

    small = sliced(family, full, **widths)
    torch.testing.assert_close(small(X), forward(0.0))
    scale = Scale(alpha, tuple(name for name in small.state_dict() if name.endswith("weight"))[1:])
    small.load_state_dict(scale.fold(small.state_dict(), family.layout, widths))
    torch.testing.assert_close(small(X), forward(alpha))


@pytest.mark.parametrize(("stream", "inner"), [(6, 1), (6, 4), (6, 10)])
def test_a_residual_block(stream, inner):
    family = Family(Residual, stream=6, inner=10)
    full = family.build().double()
    h = full.stem(X)
    hidden = masked(F.relu(full.up(full.norm(h))), inner)
    torch.testing.assert_close(sliced(family, full, inner=inner)(X), full.head(h + full.down(hidden)))


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_channels_of_a_convolution(channels):
    family, x = Family(conv, channels=4), torch.randn(2, 1, 14, 14, dtype=torch.float64)
    full = family.build().double()
    maps = masked(full[:3](x), channels, dim=1)
    torch.testing.assert_close(sliced(family, full, channels=channels)(x), full[3:](maps))


@pytest.mark.parametrize("hidden", [1, 3, 6])
def test_two_halves_of_a_gate(hidden):
    family = Family(Gated, hidden=6).declare("both.*", blocks=2)
    full = family.build().double()
    value, gate = full.both(X).chunk(2, -1)
    torch.testing.assert_close(sliced(family, full, hidden=hidden)(X), full.out(masked(value * gate.sigmoid(), hidden)))


@pytest.mark.parametrize(("a", "b"), [(1, 1), (2, 5), (4, 1), (3, 3)])
def test_branches_side_by_side(a, b):
    family = Family(lambda a, b: Concat(a, b, raw=True), a=4, b=5).declare("out.*", order=("b", None, "a"))
    full = family.build().double()
    parts = [masked(full.b(X).relu(), b), X[:, :2], masked(full.a(X).relu(), a)]
    torch.testing.assert_close(sliced(family, full, a=a, b=b)(X), full.out(torch.cat(parts, 1)))


@pytest.mark.parametrize("heads", [1, 2, 3])
def test_heads_of_an_attention(heads):
    family, x = Family(Attention, heads=3).declare("qkv.*", blocks=3), torch.randn(2, 4, 8, dtype=torch.float64)
    full = family.build().double()
    q, k, v = full.qkv(x).view(2, 4, 3, 3, 4).permute(2, 0, 3, 1, 4)
    outputs = masked(F.scaled_dot_product_attention(q, k, v), heads, dim=1)
    expected = x + full.proj(outputs.transpose(1, 2).reshape(2, 4, -1))
    torch.testing.assert_close(sliced(family, full, heads=heads)(x), expected)


def test_a_recurrent_state():
    """The state is masked at each step, gate by gate."""
    family, x = Family(Recurrent, hidden=6).declare("lstm.*", blocks=4), torch.randn(2, 3, 5, dtype=torch.float64)
    full = family.build().double()
    w_ih, w_hh, b_ih, b_hh = (value.detach() for value in full.lstm.parameters())
    h = c = torch.zeros(2, 6, dtype=torch.float64)
    for t in range(3):
        i, f, g, o = (F.linear(x[:, t], w_ih, b_ih) + F.linear(h, w_hh, b_hh)).chunk(4, -1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = masked(o.sigmoid() * c.tanh(), 2)
    torch.testing.assert_close(sliced(family, full, hidden=2)(x), full.out(h))


def test_a_table_used_twice():
    family, tokens = Family(Tied, hidden=6), torch.arange(7)
    full = family.build().double()
    hidden = masked(full.mix(masked(full.embed(tokens), 2)).relu(), 2)
    torch.testing.assert_close(sliced(family, full, hidden=2)(tokens), full.out(hidden))
