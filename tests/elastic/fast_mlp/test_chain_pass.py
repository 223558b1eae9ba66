"""The gradients of a chain's one pass are those that autograd finds slice by slice, whatever chain it is."""

import gc
import math
import weakref
from unittest import mock

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.func import functional_call
from torch.nn import functional as F

from core.elastic.family import Family
from core.elastic.fast_mlp.activation import Bend
from core.elastic.module import Elastic
from core.elastic.recipes.base import Cuts, parts
from core.elastic.scale import Scale
from core.elastic.size_grid import path_widths
from core.tasks.losses import loss_function
from core.train.loop import train_step
from tests.helpers.family import mlp

BENT = {
    "relu": nn.ReLU(),
    "leaky": nn.LeakyReLU(0.2),
    "the other way": nn.LeakyReLU(-0.5),
    "gelu": nn.GELU(),
    "softplus": nn.Softplus(),
    "none": nn.Identity(),
    "two": nn.Sequential(nn.ReLU(), nn.Tanh()),
}


class Called(nn.Module):
    """Functions rather than modules, one of its layers used twice."""

    def __init__(self, h: int) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(5, h), nn.Linear(h, h, bias=False), nn.Linear(h, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.c(F.relu(self.b(torch.sigmoid(self.b(self.a(x).relu())))))


def stack(act: nn.Module, bias: bool = True, layers: int = 2):
    bends = list(act) if isinstance(act, nn.Sequential) else [act]

    def build(h: int) -> nn.Module:
        inner = [part for _ in range(layers - 1) for part in (nn.Linear(h, h, bias=bias), *bends)]
        behind = bends if type(act) is nn.LeakyReLU else []  # the last layer may have one too
        return nn.Sequential(nn.Linear(5, h, bias=bias), *bends, *inner, nn.Linear(h, 3, bias=bias), *behind)

    return build


BUILDS = {
    **{name: stack(act) for name, act in BENT.items()},
    "no biases": stack(nn.ReLU(), bias=False),
    "one layer": stack(nn.ReLU(), layers=1),
    "four layers": stack(nn.LeakyReLU(), layers=4),
    "a class of one's own": Called,
    "learned before": lambda h: nn.Sequential(nn.Linear(5, 4), nn.LayerNorm(4), mlp([4, h, h, 3])),
}
X = torch.randn(12, 5, generator=torch.Generator().manual_seed(1))


def gradients(outputs, wanted) -> dict[str, torch.Tensor]:
    """Of a loss that each number of the outputs moves differently."""
    noise = torch.Generator().manual_seed(7)
    loss = sum((output**2 * torch.randn(output.shape, generator=noise)).sum() for output in outputs)
    names, tensors = zip(*wanted.items(), strict=True)
    found = torch.autograd.grad(loss, tensors, allow_unused=True)
    return {n: torch.zeros_like(t) if g is None else g for n, t, g in zip(names, tensors, found, strict=True)}


def one_by_one(elastic: Elastic, x: torch.Tensor, cuts: Cuts) -> list[torch.Tensor]:
    """What the small models give, their weights made of the full ones by operations of torch."""
    outputs = []
    for cutoff, rows in zip(cuts.cutoffs, parts(len(x), cuts), strict=True):
        state = elastic.family.slice(elastic.full.state_dict(keep_vars=True), **cutoff)
        folded = elastic.scale.fold(state, elastic.layout, cutoff)
        outputs.append(functional_call(elastic.family.sibling(**cutoff), folded, (x[rows],), tie_weights=False))
    return outputs


def check(elastic: Elastic, x: torch.Tensor, cuts: Cuts) -> None:
    """Weights that are cut, and whole ones with masks behind them, against the slices."""
    x = x.clone().requires_grad_()
    wanted = {"the input": x, **dict(elastic.named_parameters())}
    assert elastic.chain is not None
    plain = one_by_one(elastic, x, cuts)
    right = gradients(plain, wanted)
    assert any(bool(g.any()) for g in right.values())
    for most in (0, math.inf):
        with mock.patch.dict("core.elastic.fast_mlp.sliced_pass.MASKED_BELOW", cpu=most):
            fast = elastic(x, cuts)
        for a, b in zip(fast, plain, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
        for name, found in gradients(fast, wanted).items():
            torch.testing.assert_close(
                found, right[name], rtol=1e-3, atol=1e-4, msg=lambda text, of=name: f"{of}: {text}"
            )


@pytest.mark.parametrize("most", [0, math.inf], ids=["cut", "masked"])
@pytest.mark.parametrize("turn", ["shared rows", "parts", "bands"])
def test_what_is_joined_for_the_loss_is_each_cutoff_with_its_targets(turn, most):
    torch.manual_seed(4)
    elastic = Elastic(Family(stack(nn.ReLU()), h=8), 0.4, False, ((2, 2), (1, 1)), starts=3)
    sizes, y = (2, 1) if turn == "bands" else (8, 5), torch.arange(12)
    cuts = Cuts(tuple({"h": h} for h in sizes), whole_batch=turn != "parts", spans=((0.0, 0.4), (0.4, 1.0)))
    with mock.patch.dict("core.elastic.fast_mlp.sliced_pass.MASKED_BELOW", cpu=most):
        joined, outputs = elastic(X, cuts, joined=True), elastic(X, cuts)
    assert len(joined) == (1 if turn == "bands" or most else 2)
    assert [number for part in joined for number in part.cutoffs] == [0, 1]
    for part in joined:
        assert len(part.output) == len(part.target(y))
        pairs = {(*row.tolist(), int(of)) for row, of in zip(part.output.detach(), part.target(y), strict=True)}
        each = [(outputs[k], parts(len(X), cuts)[k]) for k in part.cutoffs]
        times = 3 if turn == "bands" else 1
        single = {
            (*row.tolist(), int(of))
            for output, rows in each
            for row, of in zip(output.detach(), y[rows].repeat_interleave(times), strict=True)
        }
        assert pairs == single


class Wrapped(nn.Module):
    """As DistributedDataParallel has a model: what it learns of gradients, autograd's hooks tell it."""

    def __init__(self, module: Elastic) -> None:
        super().__init__()
        self.module = module
        self.told: set[str] = set()
        for name, parameter in module.named_parameters():
            parameter.register_post_accumulate_grad_hook(lambda _, name=name: self.told.add(name))

    @property
    def penalty(self) -> None:
        return None

    def forward(self, *inputs, **settings):
        return self.module(*inputs, **settings)


LOSSES = {  # by autograd, and by a derivative that is known
    "any": F.mse_loss,
    "numbers": loss_function("regression", torch.tensor([0.5, 2.0, 1.0])),
    "classes": loss_function("classification"),
}


@pytest.mark.parametrize("build", BUILDS.values(), ids=BUILDS)
@pytest.mark.parametrize(
    ("turn", "most"),
    [("shared", 0), ("shared", math.inf), ("parts", 0), ("parts", math.inf), ("bands", 0), ("both", math.inf),
     ("a band alone", 0)],
    ids=lambda value: {0: "cut", math.inf: "masked"}.get(value, value),
)  # fmt: skip
@pytest.mark.parametrize(
    ("shape", "loss"),
    [((12, 5), "any"), ((12, 5), "numbers"), ((12, 5), "classes"), ((4, 3, 5), "numbers")],
    ids=lambda value: value if isinstance(value, str) else f"{len(value)} dimensions",
)
def test_a_step_by_hand_is_one_through_autograd(build, turn, most, shape, loss):
    x, noise = X.view(shape), torch.Generator().manual_seed(5)
    y = torch.arange(12) % 3 if loss == "classes" else torch.randn(*shape[:-1], 3, generator=noise)
    sizes = {"shared": (8, 5), "parts": (8, 5), "bands": (2, 1), "both": (8, 2, 1), "a band alone": (8, 2)}[turn]
    cuts = Cuts(tuple({"h": h} for h in sizes), whole_batch=turn != "parts", smoothing=0.3)
    steps = []
    for wrapped in (False, True):
        torch.manual_seed(6)
        elastic = Elastic(Family(build, h=8), 0.4, False, ((2, 2), (1, 1)), starts=3)
        watched, optimizer = Wrapped(elastic), torch.optim.SGD(elastic.parameters(), 0.1)
        model = watched if wrapped else elastic
        with mock.patch.dict("core.elastic.fast_mlp.sliced_pass.MASKED_BELOW", cpu=most):
            losses = [train_step(model, optimizer, x, y, cuts, LOSSES[loss]) for _ in range(3)]
        assert not any(found.requires_grad for found in losses)
        grads = {name: p.grad for name, p in elastic.named_parameters() if p.grad is not None}
        steps.append((losses, grads))
        without = loss != "any" and len(shape) == 2 and turn != "a band alone" and not elastic.chain.learns_before
        if wrapped:
            assert watched.told == set(grads)
        else:
            assert without is not bool(watched.told), "all of such a step is by hand"
    assert any(bool(grad.any()) for grad in grads.values())
    (losses, by_hand), (other_losses, through) = steps
    assert len(set(losses)) == 3
    assert by_hand.keys() == through.keys()
    torch.testing.assert_close(losses, other_losses)
    torch.testing.assert_close(by_hand, through, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("most", [0, math.inf], ids=["cut", "masked"])
def test_a_gradient_handed_on_adds_to_what_is_there_and_leaves_frozen_weights_alone(most):
    torch.manual_seed(6)
    elastic = Elastic(Family(stack(nn.ReLU()), h=8), 0.4)
    first, second, *_ = elastic.parameters()
    second.requires_grad_(False)
    for _ in range(2):
        with mock.patch.dict("core.elastic.fast_mlp.sliced_pass.MASKED_BELOW", cpu=most):
            (part,) = elastic(X, Cuts(({"h": 5},), whole_batch=True), joined=True, by_hand=True)
        assert part.output.shape == (12, 1, 3)
        assert not part.output.requires_grad
        if first.grad is not None:
            once = first.grad
        part.hand_on(2 * part.output)
    torch.testing.assert_close(first.grad, 2 * once)
    assert bool(once.any())
    assert second.grad is None
    (right,) = torch.autograd.grad(elastic(X, Cuts(({"h": 5},), whole_batch=True))[0].square().sum(), first)
    torch.testing.assert_close(once, right)


@pytest.mark.parametrize("build", BUILDS.values(), ids=BUILDS)
@pytest.mark.parametrize("whole_batch", [True, False], ids=["the same rows", "rows of their own"])
@pytest.mark.parametrize("tables", [True, False], ids=["tables", "no tables"])
def test_gradients_are_those_of_the_slices(build, whole_batch, tables):
    torch.manual_seed(0)
    elastic = Elastic(Family(build, h=8), 0.4, tables)
    if elastic.table is not None:
        nn.init.normal_(elastic.table, std=0.03)
    check(elastic, X, Cuts(tuple({"h": h} for h in (8, 3, 5)), whole_batch))


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(1, 6)), min_size=1, max_size=5),
    st.sampled_from([None, ((0.0, 0.5), (0.5, 1.0)), ((0.0, 1.0), (0.5, 1.0))]),
    st.sampled_from([0.0, 0.3, 1.0]),
    st.booleans(),
)
def test_any_cutoffs_of_layers_with_widths_of_their_own(pairs, spans, alpha, whole_batch):
    torch.manual_seed(1)
    family = Family(lambda a, b: mlp([5, a, b, 3]), a=9, b=6)
    found = None if spans is None else tuple(spans[k % 2] for k in range(len(pairs)))
    check(Elastic(family, alpha), X, Cuts(tuple({"a": a, "b": b} for a, b in pairs), whole_batch, spans=found))


def test_rows_of_more_than_one_dimension():
    torch.manual_seed(2)
    family = Family(stack(nn.ReLU()), h=8)
    check(Elastic(family, 0.4), X.view(4, 3, 5), Cuts(({"h": 8}, {"h": 2}), whole_batch=True))
    check(Elastic(family, 0.4), X.view(4, 3, 5), Cuts(({"h": 8}, {"h": 2})))


@pytest.mark.parametrize("build", [build for name, build in BUILDS.items() if name != "a class of one's own"])
@pytest.mark.parametrize("starts", [1, 3])
@pytest.mark.parametrize("shape", [(12, 5), (4, 3, 5)], ids=["rows", "more dimensions"])
def test_gradients_of_bands_are_those_of_each_by_itself(build, starts, shape):
    torch.manual_seed(3)
    bands = ((3, 5), (2, 2), (1, 1))
    elastic = Elastic(Family(build, h=40), 0.4, False, bands, starts)
    beside, cutoffs = elastic.beside, [path_widths(elastic.layout, width) for width in (4, 2, 1)]
    assert beside is not None
    x = X.view(shape).clone().requires_grad_()
    wanted = {"the input": x, **dict(elastic.named_parameters())}
    fast = elastic(x, Cuts(tuple(cutoffs), whole_batch=True))
    plain = []
    for band, cutoff in enumerate(cutoffs):
        of_band = []
        for number in beside._starts[band]:
            beside._kept[band] = number
            own = beside.band(band, elastic._state())
            of_band.append(elastic.chain.run(elastic.enter(x), own.fold(cutoff)))
        plain.append(torch.stack(of_band, dim=1).flatten(0, 1))
    for a, b in zip(fast, plain, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    right = gradients(plain, wanted)
    for name, found in gradients(fast, wanted).items():
        torch.testing.assert_close(found, right[name], rtol=1e-3, atol=1e-4, msg=lambda text, of=name: f"{of}: {text}")


@pytest.mark.parametrize("act", BENT.values(), ids=BENT)
def test_a_bend_is_its_functions_and_their_derivative(act):
    z = torch.linspace(-3, 3, 13, requires_grad=True)
    after = tuple(act) if isinstance(act, nn.Sequential) else (act,)
    value = act(z)
    bend = Bend(after)
    found, kept = bend.forward(z.detach().clone())
    torch.testing.assert_close(found, value)
    (right,) = torch.autograd.grad(value.sum(), z)
    torch.testing.assert_close(bend.backward(torch.ones(13), kept), right)


@pytest.mark.parametrize("act", [nn.ReLU(), nn.LeakyReLU(), nn.Tanh()], ids=["relu", "leaky", "tanh"])
def test_a_pass_is_gone_with_its_outputs(act):
    """A graph that held its own output would stay until Python looks for such rings."""
    elastic = Elastic(Family(stack(act), h=40), 0.4, False, ((1, 4),))
    cutoffs = ({"h": 40}, {"h": 6}, {"h": 2})
    gc.collect()
    gc.disable()
    try:
        nodes = [weakref.ref(output) for output in elastic(X, Cuts(cutoffs, whole_batch=True))]
        before = len([o for o in gc.get_objects() if isinstance(o, torch.Tensor)])
        for _ in range(3):
            sum(output.sum() for output in elastic(X, Cuts(cutoffs, whole_batch=True))).backward()
        elastic.zero_grad()
        assert all(node() is None for node in nodes)
        assert len([o for o in gc.get_objects() if isinstance(o, torch.Tensor)]) <= before
    finally:
        gc.enable()


def test_a_chain_knows_whether_its_first_layers_input_is_learned():
    normed = lambda h: nn.Sequential(Standard(), mlp([5, h, 3]))  # noqa: E731
    for build, learned in ((BUILDS["learned before"], True), (stack(nn.ReLU()), False), (normed, False)):
        elastic = Elastic(Family(build, h=8), 0.4)
        assert elastic.chain is not None
        assert elastic.chain.learns_before is learned
        elastic.whiten(torch.randn(30, 5))
        assert (elastic.whitening is None) is learned
    assert elastic._fixed == Scale(0.4, ("1.2.weight",))


class Standard(nn.Module):
    """Numbers that are there and not learned."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.ones(5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x - self.mean
