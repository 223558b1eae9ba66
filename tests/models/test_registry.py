"""Models by name: settings from data, checks of settings, and the text that builds one size."""

import ast
import importlib.util

import numpy as np
import pytest
import torch
from torch import nn

from core import models
from core.data import Dataset, InputFormat, Split, from_arrays, load
from core.errors import UserError

SMALL = {
    "mlp": {"inputs": 6, "outputs": 3, "hidden": 8},
    "convnet": {"classes": 3, "size": 8, "channels": 3},
    "vit": {"classes": 3, "size": 8, "heads": 2, "hidden": 8, "dim": 8},
    "pointnet": {"classes": 3, "hidden": 8, "transform": 4, "features": 16},
    "coordinates": {"hidden": 8, "waves": 4},
    "liif": {"hidden": 8, "features": 4},
}
SHAPES = {"mlp": (6,), "convnet": (8, 8), "vit": (8, 8), "pointnet": (9, 3), "coordinates": (2,), "liif": (79,)}
every_model = pytest.mark.parametrize("name", SMALL)


def clouds() -> Dataset:
    rng = np.random.default_rng(0)
    parts = [Split(x=rng.normal(size=(6, 9, 3)).astype(np.float32), y=np.arange(6) % 2) for _ in range(3)]
    return Dataset(
        name="clouds", task="classification", train=parts[0], validation=parts[1], test=parts[2], labels=("a", "b"),
        input=InputFormat(kind="points", shape=(9, 3), dtype="float32"), source="clouds",
    )  # fmt: skip


def table(task: str = "classification") -> Dataset:
    rng = np.random.default_rng(0)
    return from_arrays(rng.normal(size=(40, 5)), np.arange(40) % 2, task=task)


def test_every_model_of_ours_is_tried_here():
    assert set(SMALL) <= set(models.MODELS)


@every_model
def test_every_size_is_built_by_its_text(name, tmp_path):
    """The source and the call, run alone, give a module that loads the slice and has the same scores."""
    family = models.family(name, **SMALL[name])
    torch.manual_seed(0)
    state, x = family.build().state_dict(), torch.rand(4, *SHAPES[name])
    assert family.check(x) < 1e-5
    for widths in (family.layout.full, dict.fromkeys(family.layout.widths, 1)):
        source = models.source(name, SMALL[name], widths)
        file = tmp_path / f"text_{name}_{sum(widths.values())}.py"
        file.write_text("\n".join([*source.imports, source.text, f"model = {source.call}"]), encoding="utf-8")
        spec = importlib.util.spec_from_file_location(file.stem, file)
        alone = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(alone)
        alone.model.load_state_dict(family.slice(state, **widths), strict=True)
        small = family.build(**widths)
        small.load_state_dict(family.slice(state, **widths), strict=True)
        with torch.no_grad():
            torch.testing.assert_close(alone.model.eval()(x), small.eval()(x))


@every_model
def test_a_setting_that_is_no_setting(name):
    settings = SMALL[name]
    with pytest.raises(UserError, match=f"model '{name}' has no setting 'evil'; it has "):
        models.family(name, **settings, evil=1)
    for setting in settings:
        for value in ("3); import os; (", -1, True, None, 10**12, [1]):
            with pytest.raises(UserError, match=setting):
                models.family(name, **{**settings, setting: value})
        if name not in ("coordinates", "liif") and setting in ("inputs", "outputs", "classes", "size"):
            with pytest.raises(UserError, match=rf"model '{name}' needs the setting '{setting}'"):
                models.family(name, **{key: value for key, value in settings.items() if key != setting})
    with pytest.raises(UserError, match="lower is 99"):
        models.family(name, **settings, lower=99)


@pytest.mark.parametrize(
    "rescale", ["x", [], [[1.0]], [[1.0, 2.0], [1.0]], [[1.0] * 3, [0.0] * 3], [[1.0] * 3, [float("nan")] * 3], 3]
)
def test_units_that_are_none(rescale):
    with pytest.raises(UserError, match="rescale needs the means and the deviations"):
        models.family("mlp", inputs=2, outputs=3, rescale=rescale)


def test_a_patch_divides_the_picture():
    with pytest.raises(UserError, match=r"patch is 3, which does not divide the picture's side of 8 pixels"):
        models.family("vit", classes=3, size=8, patch=3)
    with pytest.raises(UserError, match=r"patch is 4; choose one of 3, 5, 7, 9, 11"):
        models.family("liif", patch=4)
    for size in (5, 7, 8, 9, 28, 30, 31, 35):
        family = models.family("vit", classes=2, size=size, heads=2, hidden=4, dim=4, depth=1)
        assert family.build()(torch.zeros(1, size, size)).shape == (1, 2)


def test_data_choose_their_model():
    for data, name in ((clouds(), "pointnet"), (load("photo:flower"), "coordinates"), (load("digits"), "mlp")):
        assert models.suited(data) == name
        family = models.family_for(data)
        assert family.source["name"] == name
        x = torch.from_numpy(data.train.x[:2]).float()
        assert family.build()(x).shape == (2, data.classes)
    assert models.family_for(load("digits"), "vit", depth=1).source["settings"]["size"] == 8


@pytest.mark.parametrize(
    ("name", "data"),
    [("convnet", table()), ("vit", clouds()), ("pointnet", table()), ("coordinates", table("regression")),
     ("liif", clouds()), ("vit", table("regression"))],
)  # fmt: skip
def test_data_that_a_model_is_not_made_for(name, data):
    with pytest.raises(UserError, match=rf"model '{name}' can't learn {data.name}: it needs .*; choose --model"):
        models.family_for(data, name)


def test_all_settings_go_into_the_run():
    """So a run says how it was made whatever the defaults become; what is not set is left out."""
    settings = models.family_for(load("digits")).source["settings"]
    assert settings == {"inputs": 64, "outputs": 10, "hidden": 128, "layers": 2, "lower": 1, "each_layer": False}


def test_a_module_of_ones_own_that_bears_the_name_is_left_alone():
    class Normalise(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("scale", torch.full((3,), 7.0))
            self.register_buffer("shift", torch.zeros(3))

    own = Normalise()
    models.fit_inputs(own, np.ones(3, np.float32), np.ones(3, np.float32))
    assert own.scale.tolist() == [7.0] * 3


@pytest.mark.parametrize("name", ["mlp", "convnet", "vit", "coordinates", "liif"])
def test_inputs_are_fitted(name):
    module = models.family(name, **SMALL[name]).build()
    (part,) = (p for p in module.modules() if type(p).__name__ == "Normalise")
    size = part.scale.numel()
    mean, std = np.linspace(1, 2, size, dtype=np.float32), np.linspace(3, 4, size, dtype=np.float32)
    models.fit_inputs(module, mean, std)
    x = torch.from_numpy(mean + 2 * std)[None]
    torch.testing.assert_close(part(x), torch.full((1, size), 2.0), rtol=1e-4, atol=1e-4)


@every_model
def test_source_imports_nothing_of_this_project(name):
    source = models.source(name, SMALL[name], models.family(name, **SMALL[name]).layout.full)
    assert not [line for line in source.imports if "core" in line]
    assert isinstance(ast.parse(source.call, mode="eval").body, ast.Call)
