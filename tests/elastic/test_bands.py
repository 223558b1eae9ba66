"""Narrow widths have weights of their own: every output is still the plain small model's, in any architecture."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from core.elastic.family import Family
from core.elastic.fast_mlp.elastic_mlp import ElasticMLP
from core.elastic.layout import Width
from core.elastic.module import Elastic
from core.elastic.recipes.base import Cuts
from core.elastic.recipes.registry import recipe
from core.elastic.recipes.stratified import Stratified
from core.elastic.scale import Scale, band_ranges
from core.elastic.size_grid import narrowed, narrowest, path_widths
from core.elastic.subnet import folded_state, load
from core.errors import RunError
from core.sweep.evaluator import evaluate
from core.train.optimizer import make_optimizer, set_rate
from core.train.step import train_step
from tests.helpers.family import Attention, Residual, batch_normed, conv, mlp
from tests.helpers.properties import tries

VECTORS = torch.randn(12, 5)
FAMILIES = {
    "chain": (Family(lambda h: mlp([5, h, h, 3]), h=12), VECTORS, ((4, 5), (3, 3), (1, 2))),
    "chain of two": (Family(lambda a, b: mlp([5, a, b, 3]), a=12, b=Width(6, lower=2)), VECTORS, ((3, 5), (1, 2))),
    "one layer": (Family(lambda h: mlp([5, h, 3]), h=8), VECTORS, ((2, 3), (1, 1))),
    "residual": (Family(Residual, stream=6, inner=10), VECTORS, ((3, 4), (1, 2))),
    "conv": (Family(conv, channels=4), torch.randn(12, 1, 14, 14), ((2, 2), (1, 1))),
    "normed over batches": (Family(batch_normed, channels=4), torch.randn(12, 1, 8, 8), ((1, 2),)),
    "attention": (Family(Attention, heads=3).declare("qkv.*", blocks=3), torch.randn(12, 3, 8), ((1, 2),)),
}  # fmt: skip
each = pytest.mark.parametrize(("family", "x", "bands"), FAMILIES.values(), ids=FAMILIES)


def elastic_of(family: Family, alpha: float, bands) -> Elastic:
    """The module that a training uses, with one random start of each band."""
    return ElasticMLP(family, alpha, bands, restarts=1) if ElasticMLP.suits(family) else Elastic(family, alpha, bands)


def shaken(family: Family, bands, alpha: float = 0.5) -> Elastic:
    """Its parameters moved away from their first values."""
    elastic = elastic_of(family, alpha, bands)
    with torch.no_grad():
        for p in elastic.parameters():
            p += 0.1 * torch.randn_like(p)
    return elastic


def all_points(family: Family, bands) -> tuple[dict[str, int], ...]:
    points = [max(w.full for w in family.layout.widths.values()), *(top for _, top in bands), *(a for a, _ in bands)]
    return tuple(path_widths(family.layout, point) for point in points)


@each
@pytest.mark.parametrize("whole_batch", [True, False])
def test_each_output_is_the_plain_small_models(family, x, bands, whole_batch):
    elastic = shaken(family, bands).eval()
    cuts = Cuts(all_points(family, bands), whole_batch)
    for cutoff, rows, output in zip(cuts.cutoffs, cuts.rows(len(x)), elastic(x, cuts), strict=True):
        small = load(family, elastic.scale, elastic.full.state_dict(), cutoff)
        if family is not FAMILIES["normed over batches"][0]:  # which has its statistics from the rows at hand
            torch.testing.assert_close(output, small(x[rows].clone()), rtol=1e-4, atol=1e-5)
        assert {n: tuple(p.shape) for n, p in small.state_dict().items()} == family.layout.shapes(cutoff)


@each
def test_a_trained_models_slices_are_where_its_bands_begin(family, x, bands):
    state = family.build().state_dict()
    elastic = elastic_of(family, 0.0, bands)
    elastic.start_from(state)
    for cutoff in all_points(family, bands):
        small = folded_state(family, elastic.scale, elastic.full.state_dict(), cutoff)
        for name, value in family.slice(state, **cutoff).items():
            torch.testing.assert_close(small[name], value)


@pytest.mark.parametrize("name", ["chain", "residual"])
def test_a_step_moves_every_band_it_meets_and_faster_the_narrower(name):
    family, x, bands = FAMILIES[name]
    recipe = Stratified(lr=1e-3, weight_decay=0.0, own_below=0.5).for_rows(10_000)
    elastic = elastic_of(family, 0.3, bands)
    before = [{n: v.clone() for n, v in band.weights.items()} for band in elastic.scale.bands]
    optimizer = make_optimizer(elastic, recipe)
    set_rate(optimizer, recipe.lr)
    cuts = Cuts(tuple(path_widths(family.layout, top) for _, top in bands), whole_batch=True)
    train_step(elastic, optimizer, x, torch.randint(3, (len(x),)), cuts, torch.nn.functional.cross_entropy)
    moved = [
        max(float((band.weights[n] - was[n]).detach().abs().max()) for n in was)
        for band, was in zip(elastic.scale.bands, before, strict=True)
    ]
    assert moved == pytest.approx([recipe.lr * rate for rate in elastic.rates], rel=0.05)


@pytest.mark.parametrize("name", ["chain", "residual"])
def test_the_recipe_smooths_labels_for_shared_weights_alone(name):
    family, _, _ = FAMILIES[name]
    recipe = Stratified(own_below=0.5, smoothing=0.3).for_rows(10_000, chain=name == "chain", layout=family.layout)
    tops = [path_widths(family.layout, top) for _, top in recipe.bands(family.layout.widths)]
    for step in range(20):
        cuts = recipe.draw(np.random.default_rng(step), family.layout.widths, step)
        for cutoff, smoothing in zip(cuts.cutoffs, cuts.smoothing or (0.0,) * len(cuts.cutoffs), strict=True):
            assert smoothing == (0.3 if narrowest(tops, cutoff) is None else 0.0)


@pytest.mark.parametrize("name", ["chain", "residual"])
def test_frozen_parameters_are_the_full_models_in_every_band(name):
    family, x, bands = FAMILIES[name]

    def build(**widths):
        module = family.build(**widths)
        next(module.parameters()).requires_grad_(False)
        return module

    widths = {n: Width(w.full, w.lower) for n, w in family.layout.widths.items()}
    elastic = elastic_of(partly := Family(build, **widths), 0.5, bands)
    frozen = next(iter(partly.layout.tensors))
    optimizer = make_optimizer(elastic, recipe("paper", weight_decay=0.1, lr=0.1))
    cuts = Cuts(all_points(partly, bands), whole_batch=True)
    start = elastic.full.state_dict()[frozen].clone()
    for _ in range(3):
        train_step(elastic, optimizer, x, torch.randint(3, (len(x),)), cuts, torch.nn.functional.cross_entropy)
    for cutoff in cuts.cutoffs:
        small = folded_state(partly, elastic.scale, elastic.full.state_dict(), cutoff)
        assert torch.equal(small[frozen], partly.layout.slice_tensor(frozen, start, cutoff))


@tries(20)
@given(st.integers(2, 40), st.floats(0.01, 0.5), st.floats(0, 1), st.integers(0, 1000))
def test_the_fast_sweep_is_the_plain_one(full, below, alpha, seed):
    family = Family(lambda h: mlp([5, h, h, 3]), h=full)
    torch.manual_seed(seed)
    elastic = shaken(family, Stratified(own_below=below).bands(family.layout.widths), alpha)
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(30, 5)).astype(np.float32), rng.integers(0, 3, 30)
    weights, widths = elastic.full.state_dict(), range(1, full + 1)
    fast, plain = (
        evaluate(family, elastic.scale, weights, x, y, widths, classes=3, plain=plain) for plain in (False, True)
    )
    assert np.array_equal(fast.predictions, plain.predictions)
    assert np.allclose(fast.loss, plain.loss, rtol=1e-4, atol=1e-4)


def test_a_narrowed_layout_is_what_a_family_of_that_size_has():
    for name, (family, _, bands) in FAMILIES.items():
        for low, top in bands:
            layout = narrowed(family.layout, low, top)
            assert layout.shapes(layout.full) == family.layout.shapes(path_widths(family.layout, top)), name
            state = family.build(**layout.full).state_dict()
            small = path_widths(family.layout, low)
            assert {n: tuple(v.shape) for n, v in layout.slice(state, small).items()} == family.layout.shapes(small)


@pytest.mark.parametrize(
    "bands",
    [7, "1-3", [[1]], [[1, 2, 3]], [["1", 2]], [[True, 2]], [[2, 1]], [[0, 3]], [[1, 8]], [[1, 3], [4, 5]],
     [[3, 5], [1, 3]], None],
)  # fmt: skip
def test_bands_that_can_not_be_are_refused(bands):
    layout = Family(lambda h: mlp([5, h, 3]), h=8).layout
    with pytest.raises(RunError, match=r"the run's scale has bands .*restore run.json"):
        Scale.from_json({"alpha": 0.0, "weights": [], "bands": bands}, layout)
    assert band_ranges({}, layout) == ()
