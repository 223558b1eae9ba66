"""A layout in run.json: whole after a round trip, refused in one sentence when damaged."""

import copy
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.elastic.family import Family
from core.elastic.layout import Width
from core.errors import LayoutError
from core.runs.layout_json import read_layout
from tests.helpers.family import Concat, Tied, batch_normed, conv, mlp
from tests.helpers.properties import tries

FAMILIES = (
    Family(lambda h1, h2: mlp([5, h1, h2, 3]), h1=8, h2=Width(6, lower=2)),
    Family(conv, channels=4),
    Family(batch_normed, channels=4),
    Family(lambda a, b: Concat(a, b, raw=True), a=4, b=5).declare("out.*", order=("b", None, "a")),
    Family(Tied, hidden=6),
)
VALID = [family.layout.to_json() for family in FAMILIES]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_round_trip_through_json_loses_nothing(family):
    read = read_layout(json.loads(json.dumps(family.layout.to_json())))
    assert read == family.layout
    assert read.to_json() == family.layout.to_json()


def test_numbers_of_numpy_are_written_as_json_can():
    family = Family(lambda hidden: mlp([5, hidden, 3]), hidden=np.int64(8))
    assert read_layout(json.loads(json.dumps(family.layout.to_json()))) == family.layout


def changed(path, value):
    data = copy.deepcopy(VALID[0])
    at = data
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return data


BIAS = ("tensors", "0.bias")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (None, "lacks 'widths'"),
        ([], "lacks 'widths'"),
        ({"widths": {}, "tensors": {}}, "at least one width"),
        (changed(["tensors"], {}), "at least one width and one tensor"),
        (changed(["widths"], [["h1", 8]]), "'widths' of the layout is"),
        (changed(["widths", "h1"], 8), "width 'h1' lacks 'full'"),
        (changed(["widths", "h1", "full"], 0), "'full' of width 'h1' holds 0"),
        (changed(["widths", "h1", "full"], True), "'full' of width 'h1' holds True"),
        (changed(["widths", "h1", "full"], 8.0), "'full' of width 'h1' is 8.0"),
        (changed(["widths", "h1", "lower"], 9), "lower bound 9, above its full size 8"),
        (changed([*BIAS, "shape"], [8, 1]), "tensor '0.bias' has shape [8, 1], which its axes don't add up to"),
        (changed([*BIAS, "shape"], [-8]), "the shape of tensor '0.bias' holds -8"),
        (changed([*BIAS, "shape"], [math.nan]), "the shape of tensor '0.bias' holds nan"),
        (changed([*BIAS, "shape"], [math.inf]), "holds inf"),
        (changed([*BIAS, "shape"], "8"), "'shape' of tensor '0.bias' is '8'"),
        (changed([*BIAS, "shape"], [10**40]), "the shape of tensor '0.bias' holds 1000"),
        (changed([*BIAS, "shape"], [10**5000]), "holds a huge int"),
        (changed([*BIAS, "dtype"], "string"), "tensor '0.bias' has 'string', not one of"),
        (changed([*BIAS, "dtype"], None), "'dtype' of tensor '0.bias' is None"),
        (changed([*BIAS, "kind"], "Parameter"), "tensor '0.bias' has 'Parameter', not one of parameter, buffer, tied"),
        (changed([*BIAS, "axes"], []), "which its axes don't add up to"),
        (changed([*BIAS, "axes"], [None, None]), "which its axes don't add up to"),
        (changed([*BIAS, "axes"], [[]]), "an axis of tensor '0.bias' is []"),
        (changed([*BIAS, "axes"], ["h1"]), "an axis of tensor '0.bias' is 'h1'"),
        (changed([*BIAS, "axes"], [[["h1"]]]), "not pairs of a width and a size"),
        (changed([*BIAS, "axes"], [[["h9", 1]]]), "names width 'h9', which the layout lacks"),
        (changed([*BIAS, "axes"], [[[["h1"], 1]]]), "names width ['h1']"),
        (changed([*BIAS, "axes"], [[["h1", -1]]]), "an axis of tensor '0.bias' holds -1"),
        (changed([*BIAS, "axes"], [[["h1", 1.0]]]), "holds 1.0"),
        (changed([*BIAS, "axes"], [[["h1", "1"]]]), "holds '1'"),
        (changed([*BIAS, "axes"], [[["h1", 2]]]), "which its axes don't add up to"),
        (changed(["tensors", "half a pair \ud800"], VALID[0]["tensors"]["0.bias"]), "can't be a name"),
    ],
)
def test_damage_is_named(data, words):
    with pytest.raises(LayoutError) as error:
        read_layout(data)
    assert words in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 500


def places(data, path=()):
    """Every place in plain data, as a path of keys."""
    yield path
    for key, value in data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ():
        yield from places(value, (*path, key))


junk = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-3, 60), st.integers(), st.floats(), st.text(max_size=5),
        st.sampled_from(["h1", "channels", "float32", "buffer", "tied", 2**63, 10**400, -(2**63)]),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)  # fmt: skip


@st.composite
def damaged(draw):
    data = copy.deepcopy(draw(st.sampled_from(VALID)))
    for _ in range(draw(st.integers(1, 2))):
        path = draw(st.sampled_from([p for p in places(data) if p]))
        at = data
        for key in path[:-1]:
            at = at[key]
        how = draw(st.sampled_from(["replace", "remove", "repeat", "rename"]))
        if how == "replace" or (how == "rename" and not isinstance(at, dict)):
            at[path[-1]] = draw(junk)
        elif how == "remove":
            del at[path[-1]]
        elif how == "rename":
            at[draw(st.text(max_size=5))] = at.pop(path[-1])
        elif isinstance(at, list):
            at.insert(path[-1], copy.deepcopy(at[path[-1]]))
    return data


@pytest.mark.slow
@tries(400)
@given(damaged())
def test_damaged_data_are_refused_or_make_a_layout_that_works(data):
    """Never another exception, then or later: a store must list the run, and say why it can't be read."""
    try:
        layout = read_layout(data)
    except LayoutError:
        return
    assert read_layout(layout.to_json()) == layout
    least = layout.check_widths({name: width.lower for name, width in layout.widths.items()})
    for widths in (layout.full, least):
        assert layout.params(widths) >= 0
        assert layout.file_bytes(widths) > 0
    if all(math.prod(tensor.shape) < 10**5 for tensor in layout.tensors.values()):
        state = {name: np.zeros(tensor.shape) for name, tensor in layout.tensors.items()}
        assert {n: a.shape for n, a in layout.slice(state, least).items()} == layout.shapes(least)
