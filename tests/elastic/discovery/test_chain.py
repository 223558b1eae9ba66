"""A fully-connected chain is found where there is one, runs as the module itself does, and is never imagined."""

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

from core.elastic.discovery.chain import Chain, find_chain
from core.elastic.family import Family
from core.models.mlp.net import mlp as raw_mlp
from tests.helpers.family import ACTIVATIONS, Concat, Residual, Tied, conv, mlp, normed
from tests.helpers.properties import tries

X = torch.randn(4, 5)


def chain_of(build, full: int = 8) -> Chain | None:
    family = Family(build, h=full)
    return find_chain(family.sibling(), family.layout)


class Net(nn.Module):
    def __init__(self, h: int) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(5, h), nn.Linear(h, h), nn.Linear(h, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.c(self.b(self.a(x).relu()).tanh())


def net(forward, base: type[Net] = Net) -> type[nn.Module]:
    return type("Own", (base,), {"forward": forward})


FOUND = {
    "sequential": lambda h: mlp([5, h, h, 3]),
    "registry": lambda h: raw_mlp(5, 3, [h, h]),
    "a class of one's own": Net,
    "no biases": lambda h: mlp([5, h, h, 3], bias=False),
    "nested": lambda h: nn.Sequential(nn.Sequential(nn.Linear(5, h), nn.GELU()), nn.Sequential(nn.Linear(h, 3))),
    "fixed layers around": lambda h: nn.Sequential(mlp([5, 4]), nn.LayerNorm(4), mlp([4, h, 3]), nn.Linear(3, 2)),
    "functions": net(lambda s, x: s.c(F.leaky_relu(s.b(F.gelu(s.a(torch.flatten(x, 1)), approximate="tanh")), 0.3))),
    "in place": lambda h: nn.Sequential(nn.Linear(5, h), nn.LeakyReLU(0.5, inplace=True), nn.Linear(h, 3)),
    "in place by position": net(lambda s, x: s.c(F.leaky_relu(s.b(F.elu(s.a(x), 0.7, True)), 0.5, True))),
    "a layer used twice": net(lambda s, x: s.c(s.b(s.b(s.a(x).relu()).relu()).relu())),
    "an argument that is not used": net(lambda s, x, mask=None: s.c(s.a(x).sigmoid())),
    "flattened input": lambda h: nn.Sequential(nn.Flatten(), nn.ReLU(inplace=True), nn.Linear(5, h), nn.Linear(h, 3)),
}


@pytest.mark.parametrize("build", FOUND.values(), ids=FOUND)
def test_a_chain_is_found_and_runs_as_the_module_does(build):
    family = Family(build, h=8)
    chain = find_chain(family.sibling(), family.layout)
    assert chain is not None
    state = family.build().state_dict()
    for width in (1, 3, 8):
        part, small, before = family.slice(state, h=width), family.build(h=width), X.clone()
        small.load_state_dict(part)
        torch.testing.assert_close(chain.run(chain.enter(X, state), part), small(X.clone()))
        assert torch.equal(X, before)


@tries(25)
@given(
    st.lists(st.integers(2, 7), min_size=1, max_size=3),
    st.lists(st.sampled_from(list(ACTIVATIONS)), min_size=4, max_size=4),
    st.data(),
)
def test_any_stack_of_layers_is_found(hidden, activations, data):
    def build(**widths: int) -> nn.Module:
        sizes = [5, *widths.values(), 3]
        layers = [[nn.Linear(sizes[k], sizes[k + 1]), ACTIVATIONS[activations[k]]()] for k in range(len(sizes) - 1)]
        return nn.Sequential(*itertools.chain(*layers[:-1]), layers[-1][0])

    family = Family(build, **{f"h{k}": size for k, size in enumerate(hidden)})
    chain = find_chain(family.sibling(), family.layout)
    widths = {name: data.draw(st.integers(1, size)) for name, size in family.layout.full.items()}
    state, small = family.build().state_dict(), family.build(**widths)
    small.load_state_dict(family.slice(state, **widths))
    torch.testing.assert_close(chain.run(chain.enter(X, state), small.state_dict()), small(X))
    assert chain.scaled_weights() == tuple(f"{2 * k + 2}.weight" for k in range(len(hidden)))
    assert chain.macs(family.layout, widths) == family.macs(X[:1], **widths)


def test_running_a_link_leaves_its_input_as_it_was():
    """The shared first layer and the sweep read it again."""
    for build in (FOUND["in place"], FOUND["in place by position"]):
        chain, product = chain_of(build), torch.randn(4, 8)
        kept = product.clone()
        once = chain.links[0].activate(product)
        assert torch.equal(product, kept)
        assert torch.equal(once, chain.links[0].activate(product))


class Noise(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.randn_like(x) if self.training else x


class Aside(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.ones(5), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x - self.mean


class Doubled(nn.Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * super().forward(x)


def hooked(h: int) -> nn.Module:
    module = mlp([5, h, 3])
    module[0].register_forward_hook(lambda m, args, out: 2 * out)
    return module


def patched(h: int) -> nn.Module:
    module = mlp([5, h, 3])
    module[0].forward = lambda x, inner=module[0].forward: 2 * inner(x)
    return module


def normalised_weights(h: int) -> nn.Module:
    return nn.Sequential(parametrizations.weight_norm(nn.Linear(5, h)), nn.ReLU(), nn.Linear(h, 3))


NOT_FOUND = {
    "one layer": lambda h: nn.Sequential(nn.Linear(5, h), nn.Softmax(-1), nn.Flatten()),
    "norm between": lambda h: normed(h),
    "dropout before": lambda h: nn.Sequential(nn.Dropout(), mlp([5, h, 3])),
    "dropout between": lambda h: nn.Sequential(nn.Linear(5, h), nn.Dropout(), nn.Linear(h, 3)),
    "dropout function": net(lambda s, x: s.c(F.dropout(s.a(x), training=s.training))),
    "noise in training": lambda h: nn.Sequential(Noise(), mlp([5, h, 3])),
    "batch norm before": lambda h: nn.Sequential(nn.BatchNorm1d(5), mlp([5, h, 3])),
    "softmax in eval": net(lambda s, x: s.c(s.a(x)) if s.training else s.c(s.a(x)).sigmoid()),
    "control flow on data": net(lambda s, x: s.c(s.a(x)) if x.sum() > 0 else s.c(s.a(-x))),
    "skip": net(lambda s, x: s.c((h := s.a(x)) + s.b(h))),
    "features scaled": net(lambda s, x: s.c(s.a(x) * 2)),
    "softmax between": net(lambda s, x: s.c(s.a(x).softmax(-1))),
    "a nest of outputs": net(lambda s, x: {"logits": s.c(s.a(x))}),
    "a pair of outputs": net(lambda s, x: (s.c(s.a(x)),)),
    "two inputs": net(lambda s, x, y=0.5: s.c(s.a(x + y))),
    "named argument": net(lambda s, x: s.c(torch.relu(input=s.a(x)))),
    "batch flattened": net(lambda s, x: s.c(s.a(x.flatten(0, 1)))),
    "batch flattened by a module": lambda h: nn.Sequential(nn.Flatten(0, 1), mlp([5, h, 3])),
    "own linear": lambda h: nn.Sequential(Doubled(5, h), nn.ReLU(), Doubled(h, 3)),
    "hooks": hooked,
    "a patch": patched,
    "parametrised": normalised_weights,
    "buffers aside": lambda h: nn.Sequential(Aside(), mlp([5, h, 3])),
    "slope learned": lambda h: mlp([5, h, 3], nn.PReLU),
    "slope a feature": lambda h: nn.Sequential(nn.Linear(5, h), nn.PReLU(h), nn.Linear(h, 3)),
    "random slope": lambda h: mlp([5, h, 3], nn.RReLU),
}


@pytest.mark.parametrize("build", NOT_FOUND.values(), ids=NOT_FOUND)
def test_what_is_no_chain_is_not_taken_for_one(build):
    assert chain_of(build) is None


@pytest.mark.parametrize(
    "family",
    [
        Family(Residual, stream=6, inner=10),
        Family(conv, channels=4),
        Family(Tied, hidden=6),
        Family(Concat, a=4, b=5).declare("out.*", order=("b", "a")),
    ],
    ids=["residual", "convolution", "tied", "concat"],
)
def test_other_topologies_are_no_chain(family):
    assert find_chain(family.sibling(), family.layout) is None


def test_it_does_not_matter_which_mode_the_model_is_in():
    family = Family(NOT_FOUND["softmax in eval"], h=8)
    for training in (True, False):
        assert find_chain(family.sibling().train(training), family.layout) is None
