"""Inputs are whitened while a first layer learns; what comes of it takes them as they are."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from core.elastic.discovery.chain import find_chain
from core.elastic.family import Family
from core.elastic.fast_mlp.elastic_mlp import ElasticMLP
from core.elastic.fast_mlp.whitening import FLOOR, WhitenedLayer, Whitening
from core.elastic.recipes.base import Cuts
from core.elastic.size_grid import path_widths
from tests.helpers.family import mlp
from tests.helpers.properties import tries


def inputs(n: int, features: int, seed: int, kind: str = "plain") -> torch.Tensor:
    """Rows that vary alike in a few directions, far from zero."""
    generator = torch.Generator().manual_seed(seed)
    few = torch.randn(n, 2, generator=generator) @ torch.randn(2, features, generator=generator) * 5
    rows = few + 0.3 * torch.randn(n, features, generator=generator) + 3
    if kind == "constant":
        return torch.full((n, features), 2.5)
    if kind == "still columns":
        rows[:, ::2] = 1.0
    return rows


@tries(60)
@given(
    st.integers(1, 40), st.integers(1, 30), st.integers(0, 1000), st.booleans(),
    st.sampled_from(["plain", "constant", "still columns"]),
)  # fmt: skip
def test_folding_is_what_the_layer_did_on_whitened_inputs(n, features, seed, centre, kind):
    rows = inputs(n, features, seed, kind).double()
    whitening = Whitening(rows.float(), centre=centre).double()
    layer = nn.Linear(features, 4).double()
    weight, bias = whitening.fold(layer.weight, layer.bias)
    bias = bias if centre else layer.bias
    wanted = layer(whitening(rows))
    assert torch.isfinite(wanted).all()
    torch.testing.assert_close(
        rows @ weight.T + bias, wanted, rtol=1e-3, atol=1e-3 * float(wanted.detach().abs().max())
    )
    again, before = whitening.unfold(weight, bias)
    torch.testing.assert_close(again, layer.weight, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(before, layer.bias, rtol=1e-3, atol=1e-2)


def test_what_all_vary_in_is_shrunk_and_the_rest_is_left():
    rows = inputs(2000, 20, 0)
    z = Whitening(rows, centre=True)(rows)
    before, after = (torch.linalg.eigvalsh(torch.cov(v.T)).flip(0) for v in (rows, z))
    assert abs(float(z.mean())) < 1e-3
    assert float(z.var()) == pytest.approx(1.0, abs=0.02), "of unit size, as the rate wants it"
    assert float(after[0] / after[2]) < 0.2 * float(before[0] / before[2])
    share = before / before.sum()
    wanted = before * FLOOR / (share + FLOOR)
    torch.testing.assert_close(after[:2] / after[2], wanted[:2] / wanted[2], rtol=0.05, atol=0)


def chain(bias: bool = True) -> Family:
    def build(h: int) -> nn.Module:
        return nn.Sequential(
            nn.Flatten(), nn.Linear(12, h, bias=bias), nn.ReLU(), nn.Linear(h, h), nn.ReLU(), nn.Linear(h, 3)
        )

    return Family(build, h=9)


@pytest.mark.parametrize("bias", [True, False])
def test_a_model_computes_the_same_before_during_and_after(bias):
    family, x, bands = chain(bias), inputs(50, 12, 1).reshape(50, 3, 4), ((2, 3), (1, 1))
    elastic = ElasticMLP(family, 0.3, bands, restarts=1).eval()
    cuts = Cuts(tuple(path_widths(family.layout, h) for h in (9, 3, 1)), whole_batch=True)
    before = elastic(x, cuts)
    prepared = elastic.prepare(x, np.random.default_rng(0))
    assert elastic.whitening is not None
    for a, b in zip(before, elastic(x, cuts), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3)
    for a, b in zip(before, elastic.train()(prepared, cuts), strict=True):  # in training inputs come prepared
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3)
    with torch.no_grad():
        for p in elastic.parameters():
            p += 0.1 * torch.randn_like(p)
    moved = elastic.eval()(x, cuts)
    elastic.settle()
    assert elastic.whitening is None
    for a, b in zip(moved, elastic(x, cuts), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3)


def test_constant_inputs_are_no_trouble():
    plain = ElasticMLP(Family(lambda h: mlp([5, h, 3]), h=4), 0.3)
    prepared = plain.prepare(torch.zeros(6, 5), np.random.default_rng(0))
    assert torch.isfinite(plain(prepared, Cuts(({"h": 4},)))[0]).all()


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(200, 6), (40, 5, 6)], ids=["rows", "more dimensions"])
def test_a_plain_modules_first_layer_does_the_same_before_under_and_after(bias, shape):
    """Whatever it learns in between."""
    family = Family(lambda h: mlp([6, h, 3], bias=bias), h=8)
    rows = inputs(200, 6, 3)
    x, module = rows.view(shape), family.build(h=5)
    before, chain = module(x), find_chain(module, family.layout)
    assert chain is not None
    first = WhitenedLayer(module, chain.links[0], rows)
    torch.testing.assert_close(module(x), before, rtol=1e-3, atol=1e-3)
    optimizer = torch.optim.Adam(module.parameters(), lr=0.1)
    module(x).square().mean().backward()
    optimizer.step()
    learned, state = module(x), {name: value.clone() for name, value in module.state_dict().items()}
    assert not torch.allclose(learned, before, atol=0.1)
    plain = family.build(h=5)
    plain.load_state_dict(first.end(state, fold=True))
    torch.testing.assert_close(plain(x), learned, rtol=1e-3, atol=1e-3)
    module.load_state_dict(plain.state_dict())
    assert torch.equal(module(x), plain(x)), "it takes the inputs as they are again"
