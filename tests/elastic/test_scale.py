"""The recipe's scale: folded into the weights, it is what kept features are multiplied by."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from core.elastic.family import Family
from core.elastic.layout import Width
from core.elastic.scale import Scale
from core.errors import RunError
from tests.helpers.family import Concat, mlp
from tests.helpers.properties import tries

FAMILY = Family(lambda h1, h2: mlp([5, h1, h2, 3]), h1=8, h2=Width(6, lower=2))
LAYOUT = FAMILY.layout
WEIGHTS = ("2.weight", "4.weight")


def test_factors_are_the_papers_at_alpha_one():
    """(full / c) ** alpha (arXiv 2205.06906, section 3: alpha 1)."""
    assert Scale(1.0, WEIGHTS).factors(LAYOUT, {"h1": 2, "h2": 3}) == {"2.weight": 4.0, "4.weight": 2.0}
    assert Scale(0.5, WEIGHTS).factors(LAYOUT, {"h1": 2, "h2": 6}) == {"2.weight": 2.0}
    assert Scale(0.0, WEIGHTS).factors(LAYOUT, {"h1": 2, "h2": 3}) == {}
    assert Scale().factors(LAYOUT, {"h1": 2, "h2": 3}) == {}


@tries(30)
@given(st.integers(1, 8), st.integers(2, 6), st.floats(0, 2))
def test_folding_is_multiplying_the_features_on_their_way_in(h1, h2, alpha):
    full = FAMILY.build().double()
    widths = {"h1": h1, "h2": h2}
    small = FAMILY.build(**widths).double()
    state = FAMILY.slice(full.state_dict(), **widths)
    before = {name: value.clone() for name, value in state.items()}
    small.load_state_dict(Scale(alpha, WEIGHTS).fold(state, LAYOUT, widths), strict=True)
    plain = FAMILY.build(**widths).double()
    plain.load_state_dict(state)
    x = torch.randn(4, 5, dtype=torch.float64)
    hidden = plain[:2](x) * (8 / h1) ** alpha
    hidden = plain[2:4](hidden) * (6 / h2) ** alpha
    torch.testing.assert_close(small(x), plain[4](hidden))
    for name, value in state.items():
        assert torch.equal(value, before[name])


def test_full_width_is_unchanged_and_not_copied():
    state = FAMILY.build().state_dict()
    folded = Scale(1.0, WEIGHTS).fold(state, LAYOUT, LAYOUT.full)
    assert all(folded[name] is state[name] for name in state)


def test_arrays_keep_their_type():
    state = {name: value.numpy() for name, value in FAMILY.slice(FAMILY.build().state_dict(), h1=2).items()}
    folded = Scale(0.3, WEIGHTS).fold(state, LAYOUT, {"h1": 2, "h2": 6})
    assert {a.dtype for a in folded.values()} == {np.dtype("float32")}
    np.testing.assert_allclose(folded["2.weight"], state["2.weight"] * 4**0.3, rtol=1e-6)


def test_a_round_trip_through_json_loses_nothing():
    scale = Scale(0.25, WEIGHTS)
    assert Scale.from_json(json.loads(json.dumps(scale.to_json())), LAYOUT) == scale
    assert Scale.from_json(json.loads(json.dumps(Scale().to_json())), LAYOUT) == Scale()


@pytest.mark.parametrize(
    "data",
    [
        None, [], "scale", {}, {"alpha": 1.0}, {"weights": []},
        *[{"alpha": a, "weights": []} for a in ("1", None, True, float("nan"), float("inf"), -0.1, 2.5, 10**400, [1])],
        *[{"alpha": 1.0, "weights": w} for w in ("2.weight", None, 3, {"2.weight": 1}, ["9.weight"], ["2.bias"], [3])],
        *[{"alpha": 1.0, "weights": w} for w in ([["2.weight"]], [None], [{}])],
    ],
)  # fmt: skip
def test_a_damaged_scale_is_one_clear_sentence(data):
    with pytest.raises(RunError, match=r"^the run's scale .*; restore run\.json$"):
        Scale.from_json(data, LAYOUT)


def test_a_weight_that_several_widths_feed_has_no_one_factor():
    concat = Family(Concat, a=4, b=5).declare("out.*", order=("b", "a"))
    with pytest.raises(RunError, match=r"names 'out\.weight'"):
        Scale.from_json({"alpha": 1.0, "weights": ["out.weight"]}, concat.layout)


@tries(100)
@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.sampled_from([*WEIGHTS, "alpha", "weights"]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.fixed_dictionaries({"alpha": inner, "weights": inner})
            | st.dictionaries(st.sampled_from(["alpha", "weights"]), inner)
        ),
        max_leaves=6,
    )
)
def test_whatever_is_in_the_file_there_is_no_other_error(data):
    try:
        scale = Scale.from_json(data, LAYOUT)
    except RunError:
        return
    assert Scale.from_json(scale.to_json(), LAYOUT) == scale
    assert all(np.isfinite(f) for f in scale.factors(LAYOUT, {"h1": 1, "h2": 2}).values())
