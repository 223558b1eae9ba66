"""How cutoffs are drawn, and what a recipe's settings may be."""

import dataclasses
import json
import math
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from core import models
from core.elastic.family import Family
from core.elastic.layout import Width
from core.elastic.recipes.base import Cuts, Recipe, decided
from core.elastic.recipes.paper import Paper
from core.elastic.recipes.registry import RECIPES, recipe
from core.elastic.recipes.sandwich import Sandwich
from core.elastic.recipes.stratified import EDGE_SHARE, FULL_SHARE, Stratified
from core.elastic.size_grid import are_alike, halvings, path_widths, range_of, widths_at
from core.errors import UserError
from tests.helpers.properties import tries

ONE = {"hidden": Width(12, lower=3)}
TWO = {"h1": Width(12, lower=3), "h2": Width(20)}
ranges = st.integers(1, 300).flatmap(lambda full: st.builds(Width, st.just(full), st.integers(1, full)))
families = st.dictionaries(st.sampled_from(["a", "b", "c"]), ranges, min_size=1)


def draws(chosen: Recipe, widths: dict[str, Width], n: int, *, bands: bool = False) -> list[Cuts]:
    """Those of `n` steps whose turn it is: the shared weights' or, every second step, the bands'."""
    rng = np.random.default_rng(0)
    return [chosen.draw(rng, widths, 2 * k + bands) for k in range(n)]


@tries(100)
@given(st.sampled_from(list(RECIPES)), families, st.integers(0, 2**32), st.integers(0, 5))
def test_every_cutoff_is_in_range_and_a_seed_decides_it(name, widths, seed, step):
    chosen = recipe(name)
    cuts = chosen.draw(np.random.default_rng(seed), widths, step)
    assert cuts == chosen.draw(np.random.default_rng(seed), widths, step)
    for cutoff in cuts.cutoffs:
        assert cutoff.keys() == widths.keys()
        for width, size in cutoff.items():
            assert type(size) is int
            assert widths[width].lower <= size <= widths[width].full


def test_paper_is_uniform_from_the_lower_bound_to_full_both_included():
    n = 10_000
    sizes, counts = np.unique([d.cutoffs[0]["hidden"] for d in draws(Paper(), ONE, n)], return_counts=True)
    assert sizes.tolist() == list(range(3, 13))
    expected = n / len(sizes)
    # chi-square with 9 degrees of freedom passes 33.7 once in ten thousand
    assert ((counts - expected) ** 2 / expected).sum() < 33.7


@pytest.mark.parametrize("p", [0.0, 0.25, 1.0])
def test_paper_cuts_with_probability_p(p):
    found = [d.cutoffs[0]["hidden"] for d in draws(Paper(p=p), ONE, 4000)]
    share = np.mean([size < 12 for size in found])  # a tenth of the cuts keep everything
    assert share == pytest.approx(0.9 * p, abs=0.03)
    assert p > 0 or set(found) == {12}


@pytest.mark.parametrize("p", [1.0, 0.5])
def test_paper_draws_independently_for_each_layer_or_once_for_all(p):
    same = {"h1": Width(50), "h2": Width(50)}
    pairs = np.array([list(d.cutoffs[0].values()) for d in draws(Paper(p=p), same, 3000)])
    assert abs(np.corrcoef(pairs.T)[0, 1]) < 0.1
    shared = np.array([list(d.cutoffs[0].values()) for d in draws(Paper(p=p, each_layer=False), same, 300)])
    assert (shared[:, 0] == shared[:, 1]).all()
    assert len(np.unique(shared)) > 20


def test_paper_takes_one_cutoff_on_the_whole_batch():
    cuts = draws(Paper(), TWO, 1)[0]
    assert len(cuts.cutoffs) == 1
    assert cuts.whole_batch
    assert cuts.teacher is None
    assert Paper().independent
    assert not Paper(each_layer=False).independent


@pytest.mark.parametrize("strata", [1, 2, 4, 7])
def test_stratified_is_the_formula(strata):
    """The k-th of K is round((full + 0.49) ** p), p from one of K equal parts between least and full; widest first."""
    chosen = Stratified(strata=strata, own_below=0.0)
    *u, at_full, at_least = np.random.default_rng(5).random(strata + 2)
    cuts = chosen.draw(np.random.default_rng(5), TWO)
    shares = [(k + u[k]) / strata for k in range(strata)]
    shares = [0.0 if at_least < EDGE_SHARE else shares[0], *shares[1:]]
    shares = [*shares[:-1], 1.0 if at_full < FULL_SHARE else shares[-1]]
    for name, width in TWO.items():
        least = np.log(width.lower) / np.log(width.full + 0.49)
        positions = [least + (1 - least) * share for share in shares]
        formula = [round((width.full + 0.49) ** p) for p in positions]
        assert [c[name] for c in cuts.cutoffs] == [max(width.lower, size) for size in formula[::-1]]


@tries(50)
@given(families, st.integers(1, 9), st.floats(0, 0.5), st.integers(0, 2**32))
def test_stratified_goes_from_wide_to_narrow(widths, strata, own_below, seed):
    chosen = Stratified(strata=strata, own_below=own_below)
    cuts, bands = chosen.draw(np.random.default_rng(seed), widths), chosen.bands(widths)
    assert len(cuts.cutoffs) == strata + len(bands)
    for name in widths:
        sizes = [c[name] for c in cuts.cutoffs]
        assert sizes == sorted(sizes, reverse=True)
    for (low, top), cutoff in zip(bands, cuts.cutoffs[strata:], strict=True):
        least, most = widths_at(widths, low), widths_at(widths, top)
        assert all(least[name] <= cutoff[name] <= most[name] for name in widths)


def test_stratified_gives_each_stratum_one_cutoff():
    for cuts in draws(Stratified(strata=4, own_below=0.0), {"hidden": Width(256)}, 200):
        edges = [round(256.49 ** (k / 4)) for k in range(5)]
        for k, cutoff in enumerate(reversed(cuts.cutoffs)):
            assert edges[k] <= cutoff["hidden"] <= edges[k + 1]


def test_every_size_is_met_and_the_ends_of_a_range_more_often():
    chosen = Stratified()
    found = [cuts for bands in (False,) for cuts in draws(chosen, {"hidden": Width(256)}, 4000, bands=bands)]
    sizes, counts = np.unique([c["hidden"] for d in found for c in d.cutoffs], return_counts=True)
    assert sizes.tolist() == list(range(1, 257))
    met = dict(zip(sizes.tolist(), counts.tolist(), strict=True))
    for low in (4, 8, 16, 32):
        assert met[low] > 1000 > met[low + 1]
    for top in (7, 15, 31):
        assert met[top] > 900 > met[top - 1]
    assert [met[alone] for alone in (1, 2, 3)] == [4000] * 3


@pytest.mark.parametrize(
    ("full", "below", "ranges"),
    [
        (256, 1 / 8, [(16, 31), (8, 15), (4, 7), (3, 3), (2, 2), (1, 1)]),
        (100, 1 / 8, [(7, 12), (4, 6), (3, 3), (2, 2), (1, 1)]),
        (100, 1 / 10, [(4, 6), (3, 3), (2, 2), (1, 1)]),
        (20, 1 / 8, [(2, 2), (1, 1)]),
        (8, 1 / 8, []),
        (8, 1 / 2, [(3, 3), (2, 2), (1, 1)]),
        (256, 0.0, []),
    ],
)
def test_bands_are_halvings_and_the_smallest_sizes_alone(full, below, ranges):
    assert list(halvings({"h": Width(full)}, below)) == ranges


@pytest.mark.parametrize(
    ("full", "below", "ranges"),
    [
        (256, 1 / 8, [(23, 31), (16, 22), (12, 15), (8, 11), *((n, n) for n in range(7, 0, -1))]),
        (1024, 1 / 8, [(64, 127), (32, 63), (23, 31), (16, 22), (12, 15), (8, 11), *((n, n) for n in range(7, 0, -1))]),
        (100, 1 / 8, [(10, 12), (7, 9), *((n, n) for n in range(6, 0, -1))]),
        (18, 1 / 2, [(8, 8), (5, 7), (4, 4), (3, 3), (2, 2), (1, 1)]),
        (8, 1 / 8, []),
    ],
)
def test_finer_bands_are_half_a_halving_and_seven_sizes_alone(full, below, ranges):
    assert list(halvings({"h": Width(full)}, below, finer=True)) == ranges


@tries(100)
@given(families, st.floats(0, 0.5), st.booleans())
def test_bands_lie_side_by_side_from_the_lower_bound_up(widths, below, finer):
    low, full = range_of(widths)
    found = halvings(widths, below, finer=finer)
    assert [a - 1 for a, _ in found[:-1]] == [top for _, top in found[1:]]
    assert all(a <= top < max(2 * a, 2) + 1 for a, top in found)
    if found:
        assert found[-1][0] == low
        assert found[0][1] < below * full + 1
    whole = halvings(widths, below, finer=finer, single=True)
    assert whole == (((low, halvings(widths, below)[0][1]),) if found else ())


def stream(hidden: int, fixed: int) -> nn.Module:
    """A stream of that many numbers that no width touches, and two layers beside it that one does."""
    return nn.Sequential(nn.Linear(4, fixed), nn.Linear(fixed, hidden), nn.ReLU(), nn.Linear(hidden, 3))


@tries(60)
@given(st.integers(1, 12), st.integers(2, 200), st.floats(0, 0.5))
def test_sizes_are_alike_where_most_parameters_are_touched_by_no_width(fixed, full, below):
    layout = Family(partial(stream, fixed=fixed), hidden=full).layout
    own = [point for low, top in halvings(layout.widths, below) for point in (low, top)]
    smallest, largest = (5 * fixed + size * (fixed + 1) + 3 * size + 3 for size in (min(own or [1]), max(own or [1])))
    expected = len(set(own)) > 1 and largest / smallest < math.sqrt(max(own) / min(own))
    assert are_alike(layout, below) is expected


def test_a_transformers_small_sizes_share_one_band():
    """Its residual stream has the same numbers at every size."""
    layout = models.family("vit", classes=10, size=28).layout
    small, large = (layout.params(path_widths(layout, point)) for point in (1, 15))
    assert large < 2 * small
    found = Stratified().for_rows(55_000, layout=layout)
    assert found.single_band
    assert found.bands(layout.widths) == ((1, 15),)
    drawn = {found.draw(np.random.default_rng(seed), layout.widths).cutoffs[-1]["hidden"] for seed in range(400)}
    assert drawn == set(range(1, 16))
    assert np.allclose(draws(found, layout.widths, 1)[0].spans, [(0, 0.1), (0.1, 0.5), (0.5, 1)])
    asked = Stratified(single_band=False).for_rows(55_000, layout=layout)
    assert np.allclose(draws(asked, layout.widths, 1)[0].spans[:2], [(0, 0.25), (0.25, 0.75)])
    assert asked.bands(layout.widths) == ((8, 15), (4, 7), (3, 3), (2, 2), (1, 1))


@pytest.mark.parametrize("name", ["mlp", "convnet"])
def test_other_networks_small_sizes_do_not(name):
    data = {"mlp": {"inputs": 64, "outputs": 10}, "convnet": {"classes": 10, "size": 28}}[name]
    layout = models.family(name, **data).layout
    assert Stratified().for_rows(55_000, layout=layout).single_band is False


def test_stratified_is_full_in_its_share_of_the_steps():
    widths = {"a": Width(10**6), "b": Width(10**5)}
    found = draws(Stratified(), widths, 3000)
    full = [d.cutoffs[0] == {"a": 10**6, "b": 10**5} for d in found]
    assert np.mean(full) == pytest.approx(FULL_SHARE, abs=0.03)
    assert not any(cutoff["a"] == 10**6 for d in found for cutoff in d.cutoffs[1:])


def test_stratified_shares_the_batch_unless_told_otherwise():
    shared = draws(Stratified(strata=4, widest_share=0.4), ONE, 1)[0]
    assert not shared.whole_batch
    assert np.allclose(shared.spans, [(0, 0.4), (0.4, 0.6), (0.6, 0.8), (0.8, 1.0)])
    wide = {"hidden": Width(20)}
    banded = draws(Stratified(strata=3, widest_share=0.5), wide, 1)[0]
    assert np.allclose(banded.spans, [(0, 0.375), (0.375, 0.5625), (0.5625, 0.75), (0.75, 1), (0.75, 1)])
    assert np.allclose(draws(Stratified(), wide, 1)[0].spans, [(0, 0.25), (0.25, 0.75), (0.75, 1), (0.75, 1)])
    assert np.allclose(draws(Stratified(strata=1), wide, 1)[0].spans, [(0, 0.75), (0.75, 1), (0.75, 1)])
    for chain in (True, False):
        for bands in (True, False):
            small = Stratified().for_rows(1000, chain=chain)
            assert draws(small, wide, 1, bands=bands)[0].whole_batch
    assert draws(Stratified(whole_batch=True), ONE, 1)[0].whole_batch
    assert draws(Stratified(strata=1), ONE, 1)[0].whole_batch


@pytest.mark.parametrize("settings", [{}, {"chain": True}, {"whole_batch": True}, {"strata": 1}])
def test_stratified_smooths_labels_as_it_is_set(settings):
    wide = {"hidden": Width(40)}
    for chosen, smoothing in ((Stratified(**settings), 0.05), (Stratified(smoothing=0.2, **settings), 0.2)):
        assert draws(chosen, wide, 1, bands=False)[0].smoothing[: chosen.strata] == (smoothing,) * chosen.strata
    assert draws(recipe("paper"), wide, 1)[0].smoothing == ()


def test_in_turn_a_step_is_of_shared_weights_or_of_bands():
    chosen, wide = Stratified(chain=True), {"hidden": Width(20)}
    shared, bands = (draws(chosen, wide, 50, bands=bands) for bands in (False, True))
    assert all(len(cuts.cutoffs) == 2 and cuts.cutoffs[1]["hidden"] > 2 for cuts in shared)
    assert all([cutoff["hidden"] for cutoff in cuts.cutoffs] == [2, 1] for cuts in bands)
    assert np.allclose(shared[0].spans, [(0, 1 / 3), (1 / 3, 1)])
    assert np.allclose(bands[0].spans, [(0, 0.5)] * 2)
    alone = dataclasses.replace(chosen, own_below=0.0)
    assert all(len(cuts.cutoffs) == 2 for bands in (False, True) for cuts in draws(alone, wide, 5, bands=bands))


@tries(60)
@given(st.integers(1, 200_000), st.sampled_from([None, 1, 40]), st.sampled_from([None, 1, 64, 10**6]))
def test_what_is_left_open_is_decided_by_the_size_of_the_data(n, epochs, batch_size):
    asked = Stratified(epochs=epochs, batch_size=batch_size)
    for kind, chosen in [("stratified", asked), *((name, recipe(name, batch_size=batch_size)) for name in RECIPES)]:
        found = chosen.for_rows(n, chain=n % 2 == 0)
        assert None not in found.to_json().values()
        assert found == found.for_rows(n), f"{kind} was decided"
        assert 1 <= found.batch_size <= n
        assert found.batch_size == min(n, batch_size or found.batch_size)
    found = asked.for_rows(n)
    steps = found.epochs * (n // found.batch_size)
    assert found.epochs == epochs if epochs else found.epochs in (12, 40) or (not batch_size and steps >= 320)
    assert found.lr == (3e-2 if found.whole_batch else 8e-3)


@pytest.mark.parametrize(
    ("n", "chain", "decided_on"),
    [
        (55_000, False, (False, 500, 12, 8e-3, 0.12)),
        (55_000, True, (False, 500, 20, 8e-3, 0.12)),
        (1_000, False, (True, 125, 40, 3e-2, 0.3)),
        (1_000, True, (True, 62, 40, 3e-2, 0.3)),
        (9_000, False, (False, 500, 18, 8e-3, 0.12)),  # 12 epochs would be 216 steps
        (100, True, (True, 32, 107, 3e-2, 0.3)),
    ],
)
def test_large_data_share_the_batch_and_small_data_do_not(n, chain, decided_on):
    found = Stratified().for_rows(n, chain=chain)
    assert (found.whole_batch, found.batch_size, found.epochs, found.lr, found.weight_decay) == decided_on
    assert found.chain is chain


def test_what_was_chosen_stays():
    assert Stratified(chain=False).for_rows(1_000, chain=True).chain is False
    assert Stratified(weight_decay=0.0).for_rows(1_000).weight_decay == 0.0
    own = Stratified(whole_batch=False, epochs=3, lr=0.1, weight_decay=0.2)
    decided_on = {"batch_size": 62, "chain": False, "single_band": False, "widest_share": 1 / 3}
    assert own.for_rows(1_000) == dataclasses.replace(own, **decided_on)
    assert Stratified(single_band=True, widest_share=0.3).for_rows(1_000).widest_share == 0.3
    with pytest.raises(TypeError, match="for_rows"):
        decided(Stratified().lr)


@pytest.mark.parametrize("between", [0, 1, 5])
def test_sandwich_is_full_some_between_and_the_lower_bound(between):
    for cuts in draws(Sandwich(between=between), TWO, 50):
        assert len(cuts.cutoffs) == between + 2
        assert cuts.cutoffs[0] == {"h1": 12, "h2": 20}
        assert cuts.cutoffs[-1] == {"h1": 3, "h2": 1}
        assert cuts.whole_batch
        assert [c["h2"] for c in cuts.cutoffs] == sorted((c["h2"] for c in cuts.cutoffs), reverse=True)


def test_sandwich_draws_every_width_between():
    middle = {d.cutoffs[1]["hidden"] for d in draws(Sandwich(between=1), ONE, 1000)}
    assert middle == set(range(3, 13))


def test_with_distillation_the_full_width_teaches():
    cuts = draws(Sandwich(distil=True), ONE, 1)[0]
    assert cuts.cutoffs[cuts.teacher] == {"hidden": 12}
    assert draws(Sandwich(), ONE, 1)[0].teacher is None


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_frozen_and_survives_json(name):
    chosen = recipe(name, epochs=3, lr=np.float32(0.25), batch_size=np.int64(7), alpha=1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        chosen.epochs = 4
    written = json.loads(json.dumps(chosen.to_json()))
    assert written["name"] == name
    assert recipe(**written) == chosen
    assert recipe(name) == RECIPES[name]()


def test_none_keeps_the_default():
    assert recipe("paper", epochs=None, p=None, batch_size=None) == Paper()


@pytest.mark.parametrize("name", ["Paper", "", None, 3, ["paper"], {"name": "paper"}])
def test_an_unknown_recipe_is_named_with_the_known_ones(name):
    with pytest.raises(UserError, match="is not known; choose one of stratified, paper, sandwich"):
        recipe(name)


def test_an_unknown_setting_is_named_with_the_known_ones():
    with pytest.raises(UserError, match=r"recipe 'paper' has no setting 'strata'; it has alpha, .*each_layer.* p,"):
        recipe("paper", strata=4)


WHOLE = ["epochs", "batch_size", "strata", "between"]
SHARES = ["lr", "warmup", "weight_decay", "alpha", "p"]
SHARES += ["widest_share", "own_below", "smoothing"]
FLAGS = ["each_layer", "whole_batch", "distil", "chain", "single_band"]
NEVER = ["", "3", "nan", [], [1], {}, b"1", 1j, float("nan"), float("inf"), -float("inf"), -1, 10**400]


def cases():
    for kind in RECIPES.values():
        for setting in kind.limits:
            wrong = list(NEVER)
            wrong += [True, 2.5, 3.0] if setting in WHOLE else [True, 11.5] if setting in SHARES else [0, 1, 0.5, "no"]
            for value in wrong:
                yield kind.name, setting, value


def test_every_setting_is_looked_at():
    for kind in RECIPES.values():
        assert set(kind.limits) == {field.name for field in dataclasses.fields(kind)}
        assert set(kind.limits) <= {*WHOLE, *SHARES, *FLAGS}


@pytest.mark.parametrize(("name", "setting", "value"), cases())
def test_odd_settings_are_one_clear_sentence(name, setting, value):
    with pytest.raises(UserError) as error:
        recipe(name, **{setting: value})
    message = str(error.value)
    assert message.startswith(f"{setting} is {value!r}; choose ")
    assert "\n" not in message


@pytest.mark.parametrize(
    ("setting", "value"), [("epochs", 0), ("batch_size", 0), ("lr", 0.0), ("strata", 0), ("strata", 65), ("p", 1.01)]
)
def test_the_ends_of_a_range_are_kept(setting, value):
    name = next(kind.name for kind in RECIPES.values() if setting in kind.limits)
    with pytest.raises(UserError, match=f"{setting} is .*; choose"):
        recipe(name, **{setting: value})
