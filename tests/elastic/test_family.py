"""A family: the layout from a plain factory, and what each width of it is."""

import functools

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from core.elastic.family import Family
from core.elastic.layout import Segment, Width
from core.errors import LayoutError, UserError
from tests.helpers.family import (
    Attention,
    Concat,
    Recurrent,
    Residual,
    Tied,
    batch_normed,
    conv,
    mlp,
    normed,
    randomise,
    transformer,
)  # fmt: skip

FAMILIES = {
    "mlp": (Family(lambda hidden: mlp([5, hidden, hidden, 3]), hidden=8), torch.randn(2, 5)),
    "two widths": (Family(lambda h1, h2: mlp([5, h1, h2, 3]), h1=8, h2=Width(6, lower=2)), torch.randn(2, 5)),
    "layer norm": (Family(normed, hidden=8), torch.randn(2, 5)),
    "residual": (Family(Residual, stream=6, inner=10), torch.randn(2, 5)),
    "conv": (Family(conv, channels=4), torch.randn(2, 1, 14, 14)),
    "integer buffer": (Family(batch_normed, channels=4), torch.randn(2, 1, 9, 9)),
    "concat": (
        Family(functools.partial(Concat, raw=True), a=4, b=5).declare("out.*", order=("b", None, "a")),
        torch.randn(2, 5),
    ),
    "tied": (Family(Tied, hidden=6), torch.randint(0, 7, (2, 3))),
    "attention": (Family(transformer, heads=4).declare("*.qkv.*", blocks=3), torch.randn(2, 3, 8)),
    "recurrent": (Family(Recurrent, hidden=6).declare("lstm.*", blocks=4), torch.randn(2, 3, 5)),
}
each = pytest.mark.parametrize(("family", "x"), FAMILIES.values(), ids=FAMILIES)


def sizes(family: Family) -> list[dict[str, int]]:
    limits = family.layout.widths
    return [{n: w.lower + (w.full - w.lower) * k // 3 for n, w in limits.items()} for k in range(4)]


def axes(family: Family, name: str) -> tuple:
    return family.layout.tensors[name].axes


def test_layout_of_an_mlp():
    family = FAMILIES["two widths"][0]
    h1, h2 = (Segment("h1", 1),), (Segment("h2", 1),)
    assert axes(family, "0.weight") == (h1, None)
    assert axes(family, "2.weight") == (h2, h1)
    assert axes(family, "4.weight") == (None, h2)
    assert axes(family, "4.bias") == (None,)


def test_layout_of_flattened_maps_has_49_rows_a_channel():
    assert axes(FAMILIES["conv"][0], "4.weight") == (None, (Segment("channels", 49),))


def test_layout_of_a_residual_stream():
    family = FAMILIES["residual"][0]
    assert axes(family, "norm.weight") == ((Segment("stream", 1),),)
    assert axes(family, "up.weight") == ((Segment("inner", 1),), (Segment("stream", 1),))


def test_layout_of_a_concat_as_declared():
    parts = axes(FAMILIES["concat"][0], "out.weight")[1]
    assert parts == (Segment("b", 1), Segment(None, 2), Segment("a", 1))


def test_layout_of_fused_projections_as_declared():
    assert axes(FAMILIES["attention"][0], "2.qkv.weight") == ((Segment("heads", 4),) * 3, None)
    # one declaration for the module leaves alone what it does not divide
    assert axes(FAMILIES["recurrent"][0], "lstm.weight_hh_l0") == ((Segment("hidden", 1),) * 4, (Segment("hidden", 1),))


@each
def test_every_width_loads_into_what_the_factory_builds(family, x):
    state = randomise(family.build()).state_dict()
    for widths in sizes(family):
        small = family.build(**widths)
        small.load_state_dict(family.slice(state, **widths), strict=True)
        assert small(x).isfinite().all()


@each
def test_counts_are_those_of_a_model_that_is_really_built(family, x):
    for widths in sizes(family):
        assert family.params(**widths) == sum(p.numel() for p in family.build(**widths).parameters())


def test_macs_are_the_products_of_the_layers():
    mlp_family, residual, convolution = (FAMILIES[name] for name in ("two widths", "residual", "conv"))
    one = {name: x[:1] for name, (_, x) in FAMILIES.items()}
    assert mlp_family[0].macs(one["mlp"], h1=3, h2=2) == 5 * 3 + 3 * 2 + 2 * 3
    assert residual[0].macs(one["residual"], stream=2) == 5 * 2 + 2 * (2 * 10) + 2 * 3
    assert convolution[0].macs(one["conv"], channels=3) == 14 * 14 * 9 * 3 + 49 * 3 * 3
    assert convolution[0].macs(convolution[1], channels=3) == 2 * convolution[0].macs(one["conv"], channels=3)


def test_counting_builds_no_weights_and_leaves_inputs_and_random_numbers_alone():
    class Big(nn.Module):
        def __init__(self, hidden: int) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(1000, hidden), nn.Linear(hidden, 1000)  # 8 TB at full width

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.b(F.relu(self.a(x.mul_(2))))

    family, x = Family(Big, hidden=10**9), torch.ones(1, 1000)
    before = torch.get_rng_state()
    assert family.params(hidden=10**9) == 2 * 10**12 + 10**9 + 1000
    assert family.macs(x, hidden=10**6) == 2 * 10**9
    assert torch.equal(x, torch.ones(1, 1000))
    assert torch.equal(before, torch.get_rng_state())


def test_a_model_that_looks_at_its_numbers_is_counted_too():
    class Looks(nn.Module):
        def __init__(self, hidden: int) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(5, hidden), nn.Linear(hidden, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.b(self.a(x if x.sum() > 0 else -x))

    family = Family(Looks, hidden=8)
    assert family.macs(torch.ones(1, 5), hidden=2) == 16
    with pytest.raises(UserError, match="can't run on the example input"):
        family.macs(torch.ones(1, 4))


def test_a_factory_may_look_at_numbers_as_it_builds():
    def build(hidden: int) -> nn.Module:
        slope = torch.linspace(0, 1, 5)[1].item()  # no number to be had on the meta device
        tied = Tied(hidden)
        return nn.Sequential(tied, nn.LeakyReLU(slope))

    family = Family(build, hidden=6)
    before = torch.get_rng_state()
    assert family.layout.tensors["0.out.weight"].kind == "tied"
    assert all(value.is_meta for value in family.sibling(hidden=2).state_dict().values())
    assert torch.equal(before, torch.get_rng_state())


def test_a_sibling_has_no_weights_but_all_that_no_state_dict_brings():
    class Keeps(nn.Module):
        def __init__(self, hidden: int) -> None:
            super().__init__()
            self.register_buffer("mean", torch.full((5,), 2.0), persistent=False)
            self.factor = torch.tensor(3.0)
            self.a, self.b = nn.Linear(5, hidden), nn.Linear(hidden, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.b(self.a((x - self.mean) * self.factor).relu())

    family, x = Family(Keeps, hidden=8), torch.randn(2, 5)
    state = family.slice(family.build().state_dict(), hidden=3)
    sibling = family.sibling(hidden=3)
    assert sibling is family.sibling(hidden=np.int8(3))
    assert all(value.is_meta for value in sibling.state_dict().values())
    small = family.build(hidden=3)
    small.load_state_dict(state)
    torch.testing.assert_close(torch.func.functional_call(sibling, state, (x,)), small(x))


@pytest.mark.parametrize("name", ["state", "build", "seed", "layout"])
def test_a_width_may_have_any_name(name):
    family = Family(lambda **widths: mlp([5, widths[name], 3]), **{name: 8})
    state = family.build(**{name: 8}).state_dict()
    assert family.slice(state, **{name: 2})["0.bias"].shape == (2,)
    assert torch.equal(family.permute(state, **{name: range(7, -1, -1)})["0.bias"], state["0.bias"].flip(0))


@pytest.mark.parametrize("size", [0, 1, -4, 2.0, True, "8", None, Width(1)])
def test_a_full_width_that_leaves_nothing_to_drop_is_refused(size):
    with pytest.raises(UserError, match=r"width 'hidden' is .* at full size; it must be a whole number of at least 2"):
        Family(lambda hidden: mlp([5, hidden, 3]), hidden=size)


def test_a_family_without_widths_is_refused():
    with pytest.raises(UserError, match="needs at least one width"):
        Family(lambda: mlp([5, 4, 3]))


def square(h: int) -> nn.Module:
    return nn.Sequential(nn.Linear(5, h * h), nn.Linear(h * h, 3))


def narrow_ends_differently(h: int) -> nn.Module:
    return nn.Sequential(nn.Linear(5, h), nn.Linear(h, 3), *[nn.Linear(3, 3)] * (h < 4))


def stops_growing(h: int) -> nn.Module:
    return mlp([5, h, min(h, 4), 3])


@pytest.mark.parametrize(
    ("build", "error", "words"),
    [
        (lambda width: mlp([5, width, 3]), UserError, "can't be called with h=8 by name"),
        (lambda h: mlp([5, h + "a", 3]), UserError, "the factory fails at h=8 (TypeError: unsupported operand"),
        (lambda h: None, UserError, "gives a NoneType at h=8; it must return an nn.Module"),
        (lambda h: nn.Sequential(nn.Linear(5, h), nn.GroupNorm(4, h)), UserError, "fails at h=7 (ValueError: num_chan"),
        (lambda h: mlp([5, 4, 3]), LayoutError, "no parameter changes with width 'h'"),
        (square, LayoutError, "dimension 0 of '0.weight' has 64 entries but grows by 15 a feature of width 'h'"),
        (lambda h: mlp([5, h // 2, 3]), LayoutError, "as a square or a quotient does"),
        (lambda h: mlp([5, 20 - h, 3]), LayoutError, "shrinks from 13 to 12 when width 'h' grows from 7 to 8"),
        (stops_growing, LayoutError, "tensor '2.weight' is not of shape (4, 1) at h=1"),
        (lambda h: mlp([5, *[h] * (1 + h // 8), 3]), LayoutError, "is not there at every 'h'"),
        (narrow_ends_differently, LayoutError, "'2.weight' is there at h=1, but not at full width"),
        (lambda h: nn.Linear(5, h, dtype=torch.complex128), LayoutError, "is of complex128, which no safetensors"),
        (lambda h: nn.LazyLinear(h), LayoutError, "tensor 'weight' has no shape before a first batch"),
    ],
)
def test_a_factory_that_makes_no_family_is_refused_in_one_sentence(build, error, words):
    with pytest.raises(error) as raised:
        _ = Family(build, h=8).layout
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


def test_declarations_that_fit_nothing_are_refused():
    with pytest.raises(LayoutError, match=r"declare\('\*\.kqv\.\*', blocks=3\) fits no dimension.*0\.qkv\.weight"):
        _ = Family(transformer, heads=4).declare("*.kqv.*", blocks=3).layout
    with pytest.raises(LayoutError, match=r"dimension 0 of '0\.qkv\.weight', 12 for each 'heads'"):
        _ = Family(transformer, heads=4).declare("0.qkv.*", blocks=5).layout
    with pytest.raises(UserError, match="blocks is 0; it must be a whole number"):
        Family(Attention, heads=4).declare("qkv.*", blocks=0)


def test_the_later_of_two_declarations_holds():
    family = Family(transformer, heads=4).declare("*", blocks=4, dim=0).declare("2.qkv.*", blocks=3)
    assert axes(family, "0.qkv.bias") == ((Segment("heads", 3),) * 4,)
    assert axes(family, "2.qkv.bias") == ((Segment("heads", 4),) * 3,)


class Projected(nn.Module):
    """A projection only where sizes differ, as every residual net has it: at h=11 a tensor is missing."""

    def __init__(self, h: int, at: int = 11) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(11, h), nn.Linear(h, 3)
        self.beside = nn.Identity() if h == at else nn.Linear(11, h, bias=False)


def test_a_tensor_that_one_size_lacks_is_noticed():
    with pytest.raises(LayoutError, match=r"'beside\.weight' is not there at h=11; a width may only resize"):
        _ = Family(Projected, h=16).layout


def test_names_and_shapes_are_compared_whenever_a_module_is_built():
    """Whatever the size: five coincides with nothing, so that only building it shows the missing tensor."""
    family = Family(lambda h: Projected(h, at=5), h=16)
    assert family.sibling(h=6) is not None
    for build in (family.sibling, family.new_sibling, family.build):
        with pytest.raises(LayoutError, match=r"'beside\.weight' is not there at h=5"):
            build(h=5)
