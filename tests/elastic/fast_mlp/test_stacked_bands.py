"""Narrow widths have weights of their own: every output is still the plain small model's, in any architecture."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.elastic.family import Family
from core.elastic.layout import Width
from core.elastic.module import Elastic
from core.elastic.recipes.base import Cuts, parts
from core.elastic.recipes.stratified import Stratified
from core.elastic.scale import Scale, band_ranges
from core.elastic.size_grid import narrowed, path_widths
from core.elastic.subnet import folded_state, load
from core.errors import RunError
from core.sweep.evaluator import evaluate
from tests.helpers.family import Attention, Residual, batch_normed, conv, mlp

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


def shaken(family: Family, bands, alpha: float = 0.5, tables: bool = True) -> Elastic:
    """With tables that are not zero; what lies between two bands side by side stays 0, as in a training."""
    elastic = Elastic(family, alpha, tables, bands)
    between = {id(p): p == 0 for p in (elastic.beside.weights if elastic.beside is not None else ())}
    with torch.no_grad():
        for p in elastic.parameters():
            p += 0.1 * torch.randn_like(p)
            if id(p) in between:
                p[between[id(p)]] = 0.0
    return elastic


def between_bands(elastic: Elastic) -> torch.Tensor:
    """All weights that lead from one band's features to another's."""
    inside = [elastic.beside.get_buffer(f"inside_{k}") for k in range(1, len(elastic.beside.weights))]
    return torch.cat([w[i == 0].flatten() for w, i in zip(list(elastic.beside.weights)[1:], inside, strict=True)])


def all_points(family: Family, bands) -> tuple[dict[str, int], ...]:
    points = [max(w.full for w in family.layout.widths.values()), *(top for _, top in bands), *(a for a, _ in bands)]
    return tuple(path_widths(family.layout, point) for point in points)


@each
@pytest.mark.parametrize("whole_batch", [True, False])
def test_each_output_is_the_plain_small_models(family, x, bands, whole_batch):
    elastic = shaken(family, bands).eval()
    cuts = Cuts(all_points(family, bands), whole_batch)
    for cutoff, rows, output in zip(cuts.cutoffs, parts(len(x), cuts), elastic(x, cuts), strict=True):
        small = load(family, elastic.scale, elastic.full.state_dict(), cutoff)
        if family is not FAMILIES["normed over batches"][0]:  # which has its statistics from the rows at hand
            torch.testing.assert_close(output, small(x[rows].clone()), rtol=1e-4, atol=1e-5)
        assert {n: tuple(p.shape) for n, p in small.state_dict().items()} == family.layout.shapes(cutoff)


@pytest.mark.parametrize("name", ["chain", "chain of two", "one layer"])
def test_side_by_side_is_one_by_one_and_so_are_the_gradients(name):
    """As a step meets them: one cutoff in each band, all on the same rows."""
    family, x, bands = FAMILIES[name]
    elastic = shaken(family, bands)
    cutoffs = [path_widths(family.layout, low) for low, _ in bands]
    together = elastic(x, Cuts(tuple(cutoffs), whole_batch=True))
    sum((k + 1) * output.square().sum() for k, output in enumerate(together)).backward()
    fast = {n: p.grad.clone() for n, p in elastic.beside.named_parameters()}
    elastic.zero_grad()
    alone = [elastic(x, Cuts((cutoff,), whole_batch=True))[0] for cutoff in cutoffs]
    sum((k + 1) * output.square().sum() for k, output in enumerate(alone)).backward()
    for one, other in zip(together, alone, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    for n, p in elastic.beside.named_parameters():
        torch.testing.assert_close(fast[n], p.grad, rtol=1e-3, atol=1e-4)
    assert all(p.grad is None for p in elastic.full.parameters()), "a band has nothing of the full weights"


@each
def test_a_trained_models_slices_are_where_its_bands_begin(family, x, bands):
    state = family.build().state_dict()
    elastic = Elastic(family, 0.0, False, bands)
    elastic.start_from(state)
    for cutoff in all_points(family, bands):
        found = folded_state(family, elastic.scale, elastic.full.state_dict(), cutoff)
        for name, value in family.slice(state, **cutoff).items():
            torch.testing.assert_close(found[name], value)


@pytest.mark.parametrize("name", ["chain", "residual"])
def test_a_step_moves_every_band_it_meets_and_faster_the_narrower(name):
    from core.train.loop import make_optimizer, train_step

    family, x, bands = FAMILIES[name]
    recipe = Stratified(lr=1e-3, weight_decay=0.0, own_below=0.5).for_rows(10_000)
    elastic = Elastic(family, 0.3, True, bands)
    before = [{n: v.clone() for n, v in band.weights.items()} for band in elastic.scale.bands]
    optimizer = make_optimizer(elastic, recipe)
    for group in optimizer.param_groups:
        group["lr"] = recipe.lr * group.get("times", 1.0)
    cuts = Cuts(tuple(path_widths(family.layout, top) for _, top in bands), whole_batch=True)
    train_step(elastic, optimizer, x, torch.randint(3, (len(x),)), cuts, torch.nn.functional.cross_entropy)
    if elastic.beside is not None:
        among = between_bands(elastic)
        assert among.numel()
        assert not among.count_nonzero(), "no band learns from another"
    moved = [
        max(float((band.weights[n] - was[n]).detach().abs().max()) for n in was)
        for band, was in zip(elastic.scale.bands, before, strict=True)
    ]
    assert moved == pytest.approx([recipe.lr * rate for rate in elastic.rates], rel=0.05)


@pytest.mark.parametrize("name", ["chain", "residual"])
@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_labels_are_smoothed_for_shared_weights_alone(name, smoothing):
    from core.tasks.losses import loss_function
    from core.train.loop import train_step

    family, x, bands = FAMILIES[name]
    torch.manual_seed(5)
    elastic, y = Elastic(family, 0.0, False, bands), torch.arange(len(x)) % 3
    sizes = [path_widths(family.layout, point) for point in (bands[0][1] + 1, bands[0][1], bands[-1][0])]
    cuts = Cuts(tuple(sizes), whole_batch=True, smoothing=smoothing)
    with torch.no_grad():
        shared, *own = elastic(x, cuts)
    each = [torch.nn.functional.cross_entropy(shared, y, label_smoothing=smoothing)]
    each += [torch.nn.functional.cross_entropy(output, y) for output in own]
    found = train_step(elastic, torch.optim.SGD(elastic.parameters(), 0.1), x, y, cuts, loss_function("classification"))
    torch.testing.assert_close(found, torch.stack(each).mean())


@pytest.mark.parametrize("name", ["chain", "chain of two", "one layer"])
def test_starts_of_a_band_learn_apart_and_the_best_is_kept(name):
    """Each start is a network of its own: its outputs are those it has alone."""
    family, x, bands = FAMILIES[name]
    torch.manual_seed(3)
    elastic = Elastic(family, 0.5, False, bands, starts=3)
    few = [3 if top <= 4 else 1 for _, top in bands]
    cutoffs = tuple(path_widths(family.layout, low) for low, _ in bands)
    outputs = elastic(x, Cuts(cutoffs, whole_batch=True))
    assert [len(output) for output in outputs] == [len(x) * n for n in few]
    y = torch.randint(3, (len(x),))
    losses, nets = [], []
    for band, n in enumerate(few):
        for number in range(n):
            elastic.beside._kept[band] = elastic.beside._starts[band][number]
            nets.append(elastic.scale.bands[band])
            small = family.build(**cutoffs[band])
            small.load_state_dict(nets[-1].fold(cutoffs[band]))
            torch.testing.assert_close(
                outputs[band].unflatten(0, (len(x), n))[:, number], small(x), rtol=1e-4, atol=1e-5
            )
            widest = family.build(**path_widths(family.layout, bands[band][1]))
            widest.load_state_dict(nets[-1].weights)
            losses.append((band, number, torch.nn.functional.cross_entropy(widest(x), y).item()))
    elastic.beside.choose(x, y, torch.nn.functional.cross_entropy)
    for band in range(len(bands)):
        best = min((loss, number) for b, number, loss in losses if b == band)[1]
        assert elastic.beside._kept[band] == elastic.beside._starts[band][best]
    kept = elastic.scale.bands
    assert [(band.low, band.top) for band in kept] == list(bands), "a run has one of each"
    elastic.eval()
    for band, cutoff, output in zip(kept, cutoffs, elastic(x, Cuts(cutoffs, whole_batch=True)), strict=True):
        small = family.build(**cutoff)
        small.load_state_dict(band.fold(cutoff))
        torch.testing.assert_close(output, small(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["chain", "chain of two", "one layer"])
def test_what_goes_on_alone_is_as_it_was_to_the_optimiser_too(name):
    """Once the other starts are gone, the next steps are those of a model that never had any."""
    from core.elastic.fast_mlp.restarts import _go_on_alone
    from core.train.loop import make_optimizer, train_step

    family, x, bands = FAMILIES[name]
    y, loss_of, recipe = torch.randint(3, (len(x),)), torch.nn.functional.cross_entropy, Stratified(lr=0.01)
    recipe = recipe.for_rows(len(x))
    torch.manual_seed(3)
    several = Elastic(family, 0.5, False, bands, starts=3)
    cuts = Cuts(tuple(path_widths(family.layout, top) for _, top in bands), whole_batch=True)
    optimizer = make_optimizer(several, recipe)
    for _ in range(3):
        train_step(several, optimizer, x, y, cuts, loss_of)
    several.beside._kept = [own[-1] for own in several.beside._starts]
    with torch.no_grad():
        was = several.scale.bands
    _go_on_alone(several, optimizer)
    assert not several.beside.several
    for now, before in zip(several.scale.bands, was, strict=True):
        assert (now.low, now.top) == (before.low, before.top)
        for key, value in before.weights.items():
            assert torch.equal(now.weights[key], value)
    single = Elastic(family, 0.5, False, bands)
    single.load_state_dict(several.state_dict())
    again = make_optimizer(single, recipe)
    again.load_state_dict(copy.deepcopy(optimizer.state_dict()))  # or both would write to the same moments
    losses = []
    for model, its in ((several, optimizer), (single, again)):
        losses.append([float(train_step(model, its, x, y, cuts, loss_of)) for _ in range(3)])
    assert losses[0] == losses[1]
    for (key, value), other in zip(several.state_dict().items(), single.state_dict().values(), strict=True):
        assert torch.equal(value, other), key


def test_a_step_teaches_every_start_its_own_rows():
    from core.tasks.losses import loss_function
    from core.train.loop import train_step

    family, x, bands = FAMILIES["chain"]
    torch.manual_seed(4)
    elastic = Elastic(family, 0.0, False, bands, starts=2)
    y = torch.randint(3, (len(x),))
    cuts = Cuts(tuple(path_widths(family.layout, top) for _, top in bands), whole_batch=True)
    before = [p.detach().clone() for p in elastic.beside.parameters()]
    train_step(elastic, torch.optim.SGD(elastic.parameters(), lr=1.0), x, y, cuts, loss_function("classification"))
    moved = [was - p.detach() for was, p in zip(before, elastic.beside.parameters(), strict=True)]
    for p, was in zip(elastic.beside.parameters(), before, strict=True):
        p.data.copy_(was)
        p.grad = None
    outputs = elastic(x, cuts)
    starts = [part for output in outputs for part in output.unflatten(0, (len(x), -1)).unbind(1)]
    losses = [torch.nn.functional.cross_entropy(part, y) for part in starts]
    assert len(losses) == 5, "one start for the band of more than four features, two for each other"
    (sum(losses) / len(losses)).backward()
    for by_step, p in zip(moved, elastic.beside.parameters(), strict=True):
        torch.testing.assert_close(by_step, p.grad, rtol=1e-4, atol=1e-6)


@settings(max_examples=20, deadline=None)
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
