"""The fast path of fully-connected chains is the plain path: same outputs, same gradients; restarts keep the best."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from core.elastic.family import Family
from core.elastic.fast_mlp.elastic_mlp import ElasticMLP
from core.elastic.layout import Width
from core.elastic.module import Elastic
from core.elastic.recipes.base import Cuts
from core.elastic.recipes.stratified import Stratified
from core.elastic.size_grid import halvings, path_widths
from core.tasks.losses import loss_function
from core.train.optimizer import make_optimizer
from core.train.step import step_loss, train_step
from tests.helpers.family import ACTIVATIONS, conv, mlp
from tests.helpers.properties import tries

BANDED = Family(lambda a, b: mlp([5, a, b, 3]), a=12, b=Width(6, lower=2))
BANDS = ((3, 5), (1, 2))
ROWS = torch.randn(12, 5)


def plain_twin(fast: ElasticMLP) -> Elastic:
    """An `Elastic` with the same weights, shared and of every band."""
    plain = Elastic(fast.family, fast.scale.alpha, fast.ranges)
    plain.full.load_state_dict(fast.full.state_dict())
    for part, band in zip(plain.bands, fast.scale.bands, strict=True):
        part.full.load_state_dict({name: value.detach() for name, value in band.weights.items()})
    return plain.train(fast.training)


def band_gradients(fast: ElasticMLP) -> list[dict[str, torch.Tensor]]:
    """Gradients of every band's own weights, under the layout's names."""
    learned = {p: p.detach().clone() for p in fast.stacked.parameters()}
    with torch.no_grad():
        for p in fast.stacked.parameters():
            p.copy_(torch.zeros_like(p) if p.grad is None else p.grad)
        # a weight is its parameter times the rate, so the parameter's gradient is the weight's times the rate
        gradients = [
            {n: v / rate**2 for n, v in fast._band(k).weights.items() if n in dict(fast.full.named_parameters())}
            for k, rate in enumerate(fast.rates)
        ]
        for p, value in learned.items():
            p.copy_(value)
    return gradients


@st.composite
def cases(draw):
    """A chain of any depth, activation and sizes, its bands, and the cutoffs and rows of a step."""
    hidden = draw(st.lists(st.integers(3, 12), min_size=1, max_size=3))
    names = [f"h{k}" for k in range(len(hidden))]
    activation, bias = ACTIVATIONS[draw(st.sampled_from(list(ACTIVATIONS)))], draw(st.booleans())
    before = [nn.Flatten] if draw(st.booleans()) else []

    def build(**widths: int) -> nn.Module:
        return nn.Sequential(*(part() for part in before), *mlp([5, *widths.values(), 3], activation, bias))

    family = Family(build, **dict(zip(names, hidden, strict=True)))
    bands = halvings(family.layout.widths, draw(st.sampled_from([0.0, 0.25, 0.5])), finer=draw(st.booleans()))
    points = draw(st.lists(st.integers(1, max(hidden)), min_size=1, max_size=4))
    if draw(st.booleans()):  # as a step of bands draws them: one cutoff each
        points = [draw(st.integers(low, top)) for low, top in bands] or points
    cuts = Cuts(tuple(path_widths(family.layout, point) for point in points), whole_batch=draw(st.booleans()))
    return family, bands, cuts, draw(st.floats(0, 1)), draw(st.booleans()), draw(st.integers(0, 1000))


@tries(60)
@given(cases())
def test_outputs_and_gradients_are_the_plain_paths(case):
    family, bands, cuts, alpha, training, seed = case
    torch.manual_seed(seed)
    fast = ElasticMLP(family, alpha, bands, restarts=1).train(training)
    plain, y, loss = plain_twin(fast), torch.arange(len(ROWS)) % 3, loss_function("classification")
    outputs, wanted = fast(ROWS, cuts), plain(ROWS, cuts)
    for one, other in zip(outputs, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    step_loss(outputs, y, cuts, loss).backward()
    step_loss(wanted, y, cuts, loss).backward()
    close = {"rtol": 1e-3, "atol": 1e-5}
    for (name, p), other in zip(fast.full.named_parameters(), plain.full.parameters(), strict=True):
        assert (p.grad is None) == (other.grad is None), name
        if p.grad is not None:
            torch.testing.assert_close(p.grad, other.grad, **close)
    if fast.stacked is not None:
        for gradients, part in zip(band_gradients(fast), plain.bands, strict=True):
            for name, p in part.full.named_parameters():
                torch.testing.assert_close(gradients[name], torch.zeros_like(p) if p.grad is None else p.grad, **close)


def test_chains_alone_are_suited():
    def half_frozen(h: int) -> nn.Module:
        module = mlp([5, h, 3])
        module[0].requires_grad_(False)
        return module

    assert ElasticMLP.suits(BANDED)
    assert not ElasticMLP.suits(Family(conv, channels=4))
    assert not ElasticMLP.suits(Family(half_frozen, h=8)), "the plain path knows what is frozen"


def test_bands_learn_nothing_from_each_other():
    fast = ElasticMLP(BANDED, 0.5, BANDS, restarts=3)
    optimizer = make_optimizer(fast, Stratified(lr=0.01).for_rows(len(ROWS)))
    cuts = Cuts(tuple(path_widths(BANDED.layout, top) for _, top in BANDS), whole_batch=True)
    for _ in range(3):
        train_step(fast, optimizer, ROWS, torch.randint(3, (12,)), cuts, F.cross_entropy)
    for k in range(1, len(fast.stacked.weights)):
        between = fast.stacked.weights[k][fast.stacked.get_buffer(f"inside_{k}") == 0]
        assert between.numel()
        assert not between.count_nonzero()


def test_each_start_is_a_network_of_its_own_and_the_best_is_kept():
    fast = ElasticMLP(BANDED, 0.5, BANDS, restarts=3)
    cutoffs = tuple(path_widths(BANDED.layout, low) for low, _ in BANDS)
    outputs, y = fast(ROWS, Cuts(cutoffs, whole_batch=True)), torch.randint(3, (12,))
    assert [len(output) for output in outputs] == [12, 36], "one start for five features, three for two"
    stacked, best = fast.stacked, []
    for band, numbers in enumerate(stacked._starts):
        losses = []
        for place, number in enumerate(numbers):
            stacked._kept[band] = number
            alone, small = fast.scale.bands[band], BANDED.build(**cutoffs[band])
            small.load_state_dict(alone.fold(cutoffs[band]))
            own = outputs[band].unflatten(0, (12, len(numbers)))[:, place]
            torch.testing.assert_close(own, small(ROWS), rtol=1e-4, atol=1e-5)
            widest = BANDED.build(**path_widths(BANDED.layout, alone.top))
            widest.load_state_dict(alone.weights)
            losses.append((F.cross_entropy(widest(ROWS), y).item(), alone.weights))
        best.append({n: v.detach().clone() for n, v in min(losses, key=lambda pair: pair[0])[1].items()})
    stacked.keep_best(ROWS, y, F.cross_entropy)
    assert [(band.low, band.top) for band in fast.scale.bands] == list(BANDS)
    for band, weights in zip(fast.scale.bands, best, strict=True):
        assert all(torch.equal(band.weights[name], value) for name, value in weights.items())


def test_after_the_restarts_steps_are_those_of_a_model_that_never_had_any():
    y, recipe = torch.randint(3, (12,)), Stratified(lr=0.01).for_rows(len(ROWS))
    several = ElasticMLP(BANDED, 0.5, BANDS, restarts=3)
    cuts = Cuts(tuple(path_widths(BANDED.layout, top) for _, top in BANDS), whole_batch=True)
    optimizer = make_optimizer(several, recipe)
    for _ in range(3):
        train_step(several, optimizer, ROWS, y, cuts, F.cross_entropy)
    (milestone,) = several.milestones(1000)
    assert milestone.step == 250
    milestone.act(optimizer, ROWS, y, F.cross_entropy, np.random.default_rng(0))
    assert several.milestones(1000) == []
    single = ElasticMLP(BANDED, 0.5, BANDS, restarts=1)
    single.load_state_dict(several.state_dict())
    again = make_optimizer(single, recipe)
    again.load_state_dict(copy.deepcopy(optimizer.state_dict()))  # or both would write to the same moments
    for _ in range(3):
        losses = [train_step(m, o, ROWS, y, cuts, F.cross_entropy) for m, o in ((several, optimizer), (single, again))]
        assert torch.equal(*losses)
    for (key, value), other in zip(several.state_dict().items(), single.state_dict().values(), strict=True):
        assert torch.equal(value, other), key


@pytest.mark.parametrize(("steps", "at"), [(4, 4), (100, 100), (400, 150), (1000, 250)])
def test_restarts_end_after_a_quarter_of_the_steps_and_enough_of_them(steps, at):
    assert [milestone.step for milestone in ElasticMLP(BANDED, 0.0, BANDS).milestones(steps)] == [at]
