"""The sizes of a width: every one, in steps, or a list; and everything downstream keeps to them."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import nn

from core import Family, UserError, sweep, train
from core.elastic.recipes.registry import RECIPES, recipe
from core.elastic.size_grid import halvings, narrowed, points, widths_at
from core.elastic.width import Width
from core.export.formats import export
from core.runs.layout_json import read_layout
from tests.helpers.architectures import examples

SIZES = {
    "all": (Width(5), [1, 2, 3, 4, 5], 1),
    "from a lower bound": (Width(5, lower=3), [3, 4, 5], 1),
    "in steps": (Width(32, step=8), [8, 16, 24, 32], 8),
    "in steps from a bound": (Width(4096, lower=3800, step=128), [3840, 3968, 4096], 128),
    "not of the step": (Width(10, lower=2, step=4), [2, 6, 10], 2),
    "a list": (Width(values=(96, 64, 64, 128)), [64, 96, 128], 32),
}


@pytest.mark.parametrize(("width", "sizes", "unit"), SIZES.values(), ids=SIZES)
def test_a_width_has_its_sizes(width, sizes, unit):
    assert list(width.sizes) == sizes
    assert (width.lower, width.full, width.unit) == (sizes[0], sizes[-1], unit)
    for size in range(1, sizes[-1] + 9):
        assert width.at_least(size) == next((n for n in sizes if n >= size), sizes[-1])
    assert width.within(sizes[1], sizes[-1]) is not None
    assert list(width.within(sizes[1], sizes[-1]).sizes) == sizes[1:]


@pytest.mark.parametrize(
    "settings",
    [{"full": 8, "step": 0}, {"full": 8, "step": 1.5}, {"values": (0, 4)}, {"values": ("a",)},
     {"values": (4, 8), "step": 2}, {"full": 9, "values": (4, 8)}, {"values": tuple(range(1, 1500))}, {}],
)  # fmt: skip
def test_sizes_that_can_not_be_are_refused(settings):
    with pytest.raises(UserError, match=r"a width needs|a list of sizes must be"):
        Width(**settings)


@pytest.mark.parametrize("width", [Width(32, step=8), Width(values=(8, 24, 32))])
def test_a_size_between_is_refused_with_those_there_are(width):
    family = Family(grouped, channels=width)
    with pytest.raises(UserError, match=r"width 'channels' is 12, which is none of its sizes; choose .*8"):
        family.build(channels=12)


def grouped(channels: int) -> nn.Module:
    """Groups of eight channels: the factory fails at any other size."""
    return nn.Sequential(
        nn.Conv2d(1, channels, 3), nn.GroupNorm(channels // 8, channels), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.Linear(channels, 3),
    )  # fmt: skip


def test_the_error_suggests_the_step():
    def build(channels: int) -> nn.Module:
        if channels % 8:
            raise ValueError("headline of a validator:\n    channels must divide by 8")
        return grouped(channels)

    with pytest.raises(UserError, match=r"ValueError: channels must divide by 8.*channels=Width\(32, step=8\)"):
        _ = Family(build, channels=32).layout


def test_a_factory_that_rounds_is_not_called_one_that_ignores_its_width():
    def build(percent: int) -> nn.Module:
        return nn.Sequential(nn.Linear(5, 8 * (percent // 8)), nn.Linear(8 * (percent // 8), 3))

    with pytest.raises(UserError, match=r"between percent=99 and percent=100, but some do .*the factory rounds"):
        _ = Family(build, percent=Width(100, lower=8)).layout
    with pytest.raises(UserError, match=r"no parameter changes with width 'h'; does the factory use it"):
        _ = Family(lambda h: nn.Linear(5, 3), h=8).layout


@pytest.mark.parametrize("width", [Width(64, lower=16, step=16), Width(values=(16, 48, 64)), Width(64)])
def test_points_and_bands_and_draws_are_sizes(width):
    family = Family(lambda a, b: nn.Sequential(nn.Linear(5, a), nn.Linear(a, b), nn.Linear(b, 3)), a=width, b=Width(6))
    assert list(points(family.layout)) == list(width.sizes)
    for point in points(family.layout):
        assert family.layout.check_widths(widths_at(family.layout.widths, point))["a"] == point
    for low, top in halvings(family.layout.widths, 0.5):
        assert low in width.sizes
        assert top in width.sizes
        assert set(narrowed(family.layout, low, top).widths["a"].sizes) <= set(width.sizes)
    rng = np.random.default_rng(0)
    for name in RECIPES:
        chosen = recipe(name).for_rows(1000, layout=family.layout)
        for step in range(20):
            for cutoff in chosen.draw(rng, family.layout.widths, step).cutoffs:
                assert family.layout.check_widths(cutoff) == cutoff


@pytest.mark.parametrize("width", [Width(32, step=8), Width(values=(8, 24, 32))])
def test_a_layout_keeps_its_sizes_on_disk_and_old_ones_are_read(width):
    layout = Family(grouped, channels=width).layout
    data = json.loads(json.dumps(layout.to_json()))
    assert read_layout(data) == layout
    data["widths"]["channels"] = {"full": 32, "lower": 8}  # as runs were written before
    assert read_layout(data).widths["channels"] == Width(32, 8)


@pytest.mark.parametrize(
    "broken", [{"step": 0}, {"step": 5}, {"step": "8"}, {"values": 8}, {"values": [8, 33]}, {"values": [0]}]
)
def test_damaged_sizes_are_refused(broken):
    data = Family(grouped, channels=Width(32, lower=8, step=8)).layout.to_json()
    data["widths"]["channels"] = {"full": 32, "lower": 8, **broken}
    with pytest.raises(UserError, match="the layout is damaged"):
        read_layout(data)


def test_a_family_in_steps_trains_sweeps_exports_and_orders(tmp_path):
    x, y = examples(1, 6, 6)
    family = Family(grouped, channels=Width(32, step=8))
    assert family.check(torch.from_numpy(x[:3])) < 1e-5
    run = train(
        family, (x, y), out=tmp_path / "run", recipe=recipe("stratified", epochs=1, batch_size=32), progress=False
    )
    assert sweep(run, progress=False, latency=False)["width"].tolist() == [8, 16, 24, 32]
    for format in ("safetensors", "onnx"):
        assert export(run, 16, format, family=family).data
    with pytest.raises(UserError, match="none of its sizes"):
        export(run, 12)
    with pytest.raises(UserError, match="from 8 to 32 in steps of 8"):
        sweep(run, widths=[12], progress=False)
    model = family.build().eval()
    before = model(torch.from_numpy(x[:3]))
    model.load_state_dict(family.order(model.state_dict()))  # groups of eight stay together
    torch.testing.assert_close(model(torch.from_numpy(x[:3])), before)
