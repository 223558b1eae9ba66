"""A layout is plain data: width errors, slices, orders, sizes of files."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save as save_arrays
from safetensors.torch import save as save_tensors

from core.elastic.family import Family
from core.elastic.layout import DTYPES, Layout, Segment, Tensor, Width
from core.errors import LayoutError, UserError
from tests.helpers.family import Concat, Residual, Tied, batch_normed, conv, mlp, normed, randomise
from tests.helpers.properties import tries

FAMILIES = {
    "mlp": Family(lambda hidden: mlp([5, hidden, hidden, 3]), hidden=8),
    "two widths": Family(lambda h1, h2: mlp([5, h1, h2, 3]), h1=8, h2=Width(6, lower=2)),
    "layer norm": Family(normed, hidden=8),
    "residual": Family(Residual, stream=6, inner=10),
    "conv": Family(conv, channels=4),
    "integer buffer": Family(batch_normed, channels=4),
    "concat": Family(lambda a, b: Concat(a, b, raw=True), a=4, b=5).declare("out.*", order=("b", None, "a")),
    "tied": Family(Tied, hidden=6),
}
each_family = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)


def sizes(family: Family) -> list[dict[str, int]]:
    limits = family.layout.widths
    return [{n: w.lower + (w.full - w.lower) * k // 3 for n, w in limits.items()} for k in range(4)]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0, "below its lower bound 2; choose 2 to 8"),
        (1, "below its lower bound 2"),
        (-3, "below its lower bound"),
        (9, "above this run's full width 8; choose 2 to 8"),
        (10**30, "above this run's full width"),
        *[(value, "not a whole number; choose 2 to 8") for value in (1.5, 4.0, True, np.True_, "8", None, [4], b"4")],
    ],
)
def test_a_width_that_can_not_be_is_one_clear_sentence(value, words):
    family = Family(lambda hidden: mlp([5, hidden, 3]), hidden=Width(8, lower=2))
    for ask in (family.build, family.params, family.sibling, lambda hidden: family.slice({}, hidden=hidden)):
        with pytest.raises(UserError, match=r"^width 'hidden' is ") as error:
            ask(hidden=value)
        assert words in str(error.value)
        assert "\n" not in str(error.value)


def test_an_unknown_width_is_named_with_the_known_ones():
    family = FAMILIES["two widths"]
    with pytest.raises(UserError, match="width 'h3' does not exist; this family has 'h1', 'h2'"):
        family.params(h3=3)
    with pytest.raises(UserError, match="'h3' does not exist"):
        family.permute({}, h3=[0])


@pytest.mark.parametrize("kind", [np.int8, np.int64, np.uint16, torch.tensor])
def test_whole_numbers_of_other_libraries_are_widths(kind):
    family = FAMILIES["mlp"]
    checked = family.layout.check_widths({"hidden": kind(4)})
    assert checked == {"hidden": 4}
    assert type(checked["hidden"]) is int


@pytest.mark.parametrize(
    "limits", [(0,), (-1,), (1.0,), (True,), ("8",), (None,), (8, 9), (8, 0), (8, 2.5), (8, True), (2**60,)]
)
def test_a_range_of_widths_that_can_not_be_is_refused(limits):
    with pytest.raises(UserError, match="1 <= lower <= full"):
        Width(*limits)


def test_a_width_holds_plain_integers():
    width = Width(np.int64(8), np.uint8(2))
    assert json.dumps([width.full, width.lower]) == "[8, 2]"


@each_family
def test_slices_of_arrays_and_tensors_agree(family):
    state = randomise(family.build()).state_dict()
    arrays = {name: value.numpy() for name, value in state.items()}
    for widths in sizes(family):
        tensors, cut = family.slice(state, **widths), family.slice(arrays, **widths)
        for name, shape in family.layout.shapes(widths).items():
            assert tensors[name].shape == cut[name].shape == shape
            np.testing.assert_array_equal(tensors[name].numpy(), cut[name])


@each_family
def test_slicing_changes_nothing_and_full_width_is_everything(family):
    state = randomise(family.build()).state_dict()
    before = {name: value.clone() for name, value in state.items()}
    for widths in sizes(family):
        family.slice(state, **widths)
    whole = family.slice(state)
    for name, value in state.items():
        assert torch.equal(value, before[name])
        assert torch.equal(whole[name], value)
        assert whole[name].data_ptr() == value.data_ptr()


def test_slices_of_one_run_are_views_and_those_of_several_are_not():
    family = Family(lambda a, b: Concat(a, b), a=4, b=5).declare("out.*", order=("b", "a"))
    state = family.build().state_dict()
    cut = family.slice(state, a=2, b=3)
    memory = {name: value.untyped_storage().data_ptr() == state[name].untyped_storage().data_ptr()
              for name, value in cut.items()}  # fmt: skip
    assert memory == {name: name != "out.weight" for name in cut}
    # the rear part alone leaves two runs: b whole, then a's leading features
    torch.testing.assert_close(family.slice(state, a=2)["out.weight"], state["out.weight"][:, :7])
    torch.testing.assert_close(family.slice(state, b=2)["out.weight"], state["out.weight"][:, [0, 1, 5, 6, 7, 8]])


def test_a_slice_carries_gradients_into_the_full_weights():
    family = Family(lambda a, b: Concat(a, b), a=4, b=5).declare("out.*", order=("b", "a"))
    state = family.build().state_dict(keep_vars=True)
    family.slice(state, a=2, b=3)["out.weight"].sum().backward()
    used = state["out.weight"].grad[0]
    assert used.tolist() == [1, 1, 1, 0, 0, 1, 1, 0, 0]


def test_what_is_not_of_the_family_is_refused():
    family = FAMILIES["mlp"]
    state = family.build().state_dict()
    with pytest.raises(LayoutError, match="'stranger' is not in this family's layout"):
        family.slice({**state, "stranger": torch.zeros(1)})
    with pytest.raises(LayoutError, match=r"'0\.bias' has shape \(7,\), this family's full width needs \(8,\)"):
        family.slice({**state, "0.bias": torch.zeros(7)}, hidden=2)
    with pytest.raises(LayoutError, match=r"'0\.bias' is a list, not an array"):
        family.slice({**state, "0.bias": [0.0] * 8}, hidden=2)


@each_family
def test_an_order_and_its_inverse_cancel(family):
    state = randomise(family.build()).state_dict()
    rng = np.random.default_rng(0)
    orders = {name: rng.permutation(w.full) for name, w in family.layout.widths.items()}
    back = {name: np.argsort(order) for name, order in orders.items()}
    moved = family.permute(state, **orders)
    assert any(not torch.equal(moved[name], state[name]) for name in state)
    for name, value in family.permute(moved, **back).items():
        assert torch.equal(value, state[name])
    for name, value in family.permute({n: v.numpy() for n, v in state.items()}, **orders).items():
        np.testing.assert_array_equal(value, moved[name].numpy())


def test_permuting_takes_features_from_where_the_order_says():
    family = FAMILIES["conv"]
    state = family.build().state_dict()
    moved = family.permute(state, channels=torch.tensor([2, 0, 3, 1]))
    assert torch.equal(moved["0.bias"], state["0.bias"][[2, 0, 3, 1]])
    assert torch.equal(moved["4.weight"][:, :49], state["4.weight"][:, 98:147])


@pytest.mark.parametrize(
    "order",
    [[0, 1, 2], [0, 1, 2, 2], [0, 1, 2, 4], [-1, 0, 1, 2], [0.0, 1.0, 2.0, 3.0], [[0, 1, 2, 3]], [[0], [1, 2], 3, 3],
     ["0", "1", "2", "3"], [True, False, 2, 3], None, "0123", 3, []],
)  # fmt: skip
def test_what_is_no_order_is_refused(order):
    if order == [True, False, 2, 3]:
        order = np.array([True, False, True, False])
    with pytest.raises(UserError, match="the order of width 'channels' must hold each of 0 to 3 once"):
        FAMILIES["conv"].permute({}, channels=order)


@each_family
def test_the_size_of_a_file_is_known_without_writing_it(family):
    state = {name: value.numpy() for name, value in randomise(family.build()).state_dict().items()}
    for widths in sizes(family):
        cut = {name: np.ascontiguousarray(v).reshape(v.shape) for name, v in family.slice(state, **widths).items()}
        assert family.layout.file_bytes(widths) == len(save_arrays(cut, {"format": "pt"}))


names = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=12).filter(
    lambda n: n != "__metadata__"
)
entries = st.tuples(st.sampled_from(list(DTYPES)), st.lists(st.integers(0, 40), max_size=3))


@tries(60)
@given(st.dictionaries(names, entries, min_size=1, max_size=12))
def test_the_size_of_any_file_is_known(tensors):
    layout = Layout(
        {"w": Width(2)},
        {n: Tensor(tuple(shape), dtype, "parameter", (None,) * len(shape)) for n, (dtype, shape) in tensors.items()},
    )
    written = {n: torch.zeros(shape, dtype=getattr(torch, dtype)) for n, (dtype, shape) in tensors.items()}
    assert layout.file_bytes({"w": 1}) == len(save_tensors(written, {"format": "pt"}))


def test_counts_beyond_64_bits_do_not_wrap_around():
    layout = Layout(
        {"w": Width(2**40)}, {"t": Tensor((2**40, 2**40), "float32", "parameter", ((Segment("w", 1),),) * 2)}
    )
    assert layout.params({"w": 2**40}) == 2**80
    assert layout.file_bytes({"w": 2**40}) > 2**82


def test_leading_parts_are_remembered_within_bounds():
    layout = Layout({"w": Width(5000)}, {"t": Tensor((10_000,), "float32", "parameter", ((Segment("w", 1),) * 2,))})
    value = np.arange(10_000)
    for width in range(1, 5000):
        cut = layout.slice_tensor("t", value, {"w": width})
        assert cut[0] == 0
        assert cut[width] == 5000
    assert len(layout._index_cache) <= 4200
