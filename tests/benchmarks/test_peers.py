"""The other methods draw what their papers' formulas say, and a mask is a slice."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from core.elastic.layout import Width
from core.models import family

FULL = 32
WIDTHS = {"hidden": Width(FULL)}
DRAWS = 4000


def drawn(recipe, widths=WIDTHS) -> list[dict[str, int]]:
    rng = np.random.default_rng(0)
    return [cutoff for _ in range(DRAWS) for cutoff in recipe.draw(rng, widths).cutoffs]


def assert_frequencies(found: list[int], wanted: dict[int, float]) -> None:
    """Every value as often as it should be, within five standard deviations; no other value at all."""
    counts = Counter(found)
    assert counts.keys() <= wanted.keys()
    for value, p in wanted.items():
        assert abs(counts[value] - len(found) * p) <= 5 * math.sqrt(len(found) * p * (1 - p)) + 1, value


def test_nested_dropout_is_geometric_and_cut_off_at_full_width():
    from peers.recipes import Nested

    r = 1 - 1 / (0.25 * FULL)
    wanted = {b: (1 - r) * r ** (b - 1) for b in range(1, FULL)}
    wanted[FULL] = r ** (FULL - 1)  # all that lies beyond
    assert sum(wanted.values()) == pytest.approx(1)
    assert_frequencies([c["hidden"] for c in drawn(Nested(mean_share=0.25, groups=2))], wanted)


@pytest.mark.parametrize("sizes", [4, 5])
def test_ordered_dropout_draws_one_of_k_shares_alike(sizes):
    from peers.recipes import Ordered

    wanted = {math.ceil(FULL * k / sizes): 1 / sizes for k in range(1, sizes + 1)}
    assert_frequencies([c["hidden"] for c in drawn(Ordered(sizes=sizes))], wanted)


def test_matformer_draws_one_of_four_fixed_sizes_alike():
    from peers.recipes import MatFormer

    wanted = {FULL // 2**k: 1 / 4 for k in range(4)}
    assert_frequencies([c["hidden"] for c in drawn(MatFormer())], wanted)


def test_every_peer_keeps_the_same_share_of_every_width():
    from peers.recipes import MatFormer, Nested, Ordered

    widths = {"heads": Width(8), "hidden": Width(64, 2)}
    for recipe in (Nested(), Ordered(sizes=16), MatFormer()):
        for cutoff in drawn(recipe, widths)[:500]:
            assert 1 <= cutoff["heads"] <= 8
            assert 2 <= cutoff["hidden"] <= 64
            assert cutoff["heads"] == math.ceil(cutoff["hidden"] / 8)


def test_slimmable_is_the_sandwich_rule_with_the_full_width_as_teacher():
    from peers.recipes import SLIMMABLE

    cuts = SLIMMABLE.draw(np.random.default_rng(0), WIDTHS)
    sizes = [c["hidden"] for c in cuts.cutoffs]
    assert (len(sizes), sizes[0], sizes[-1], cuts.teacher, cuts.whole_batch) == (4, FULL, 1, 0, True)


@pytest.mark.parametrize("rows", [5, FULL, 100])
def test_triangular_loss_is_the_mean_of_the_losses_of_slices(rows):
    from peers.triangular import Triangular, cutoffs

    mlp = family("mlp", inputs=6, outputs=3, hidden=FULL, layers=2)
    stack = mlp.build()
    x, y = torch.randn(rows, 6), torch.arange(rows) % 3
    loss = F.cross_entropy(Triangular(stack, FULL).train()(x), y)
    each = []
    for k, cut in enumerate(cutoffs(rows, FULL).tolist()):
        small = mlp.build(hidden=cut)
        small.load_state_dict(mlp.slice(stack.state_dict(), hidden=cut))
        each.append(F.cross_entropy(small(x[k : k + 1]), y[k : k + 1]))
    assert torch.allclose(loss, torch.stack(each).mean(), atol=1e-6)


@pytest.mark.parametrize("rows", [7, FULL, 2 * FULL, 500])
def test_a_triangle_spreads_evenly_up_to_full_width(rows):
    from peers.triangular import cutoffs

    found = cutoffs(rows, FULL)
    counts = torch.bincount(found, minlength=FULL + 1)[1:]
    assert found.max() == FULL
    assert found.min() >= 1
    assert counts.max() - counts.min() <= 1


def test_in_evaluation_the_triangle_is_not_there():
    from peers.triangular import Triangular

    stack = family("mlp", inputs=6, outputs=3, hidden=FULL, layers=2).build()
    x = torch.randn(4, 6)
    assert torch.equal(Triangular(stack, FULL).eval()(x), stack(x))
