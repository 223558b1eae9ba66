"""Other models and other tasks by the command line: the data choose, and every text is the task's own."""

import json

import pytest

from core import Run
from core.data.sources.solids import write_solids

QUICK = ("--epochs", 1, "--quiet")
POINTS = ("--hidden", 3, "--model-set", "features=8", "--model-set", "transform=2")


@pytest.fixture(scope="module")
def diabetes(core, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "diabetes"
    answer = core("train", "--data", "diabetes", "--hidden", 6, "--epochs", 4, "--quiet", "--out", folder)
    assert answer.status == 0, answer.err
    return folder, answer.out


def test_the_default_command_for_numbers(core, diabetes):
    folder, table = diabetes
    assert table.startswith("diabetes: typical error on 88 test examples (95 % interval)")
    assert "explained share" in table.splitlines()[1]
    assert "accuracy" not in table
    assert core("sweep", folder, "--quiet").out.startswith("6 widths validated on 88 test examples")
    errors = Run(folder).metrics()["validation_rmse"]
    for option in ("--at-least", "--min-accuracy"):
        told = core("show", folder, option, float(errors.min())).out.splitlines()[-1]
        assert told.startswith("Smallest model that keeps a typical error of at most ")
        assert f": {errors.idxmin() + 1} units, " in told
    assert core("show", folder, "--at-least", 0.001).out.splitlines()[-1].startswith("No size here keeps a typical ")


def test_a_photograph(core, tmp_path):
    out = tmp_path / "flower"
    small = ("--hidden", 4, "--layers", 1, "--model-set", "waves=4")
    answer = core("train", "--data", "photo:flower", *small, *QUICK, "--out", out)
    assert answer.status == 0, answer.err
    assert answer.out.startswith("flower: picture quality on 16,960 test pixels")
    assert " dB" in answer.out
    assert Run(out).record.family["name"] == "coordinates"
    assert Run(out).record.family["settings"]["waves"] == 4
    assert "at least 5.0 dB" in core("show", out, "--at-least", 5).out
    assert core("export", out, "--width", 2, "--out", tmp_path).status == 0
    assert "picture quality" in core("list", tmp_path).out


@pytest.mark.slow
def test_clouds(core, tmp_path):
    write_solids(tmp_path / "meshes", train=4, test=1)
    out = tmp_path / "runs" / "own"
    answer = core("train", "--data", f"modelnet:{tmp_path / 'meshes'}", *POINTS, *QUICK, "--out", out)
    assert answer.status == 0, answer.err
    assert Run(out).record.family["name"] == "pointnet"
    assert str(tmp_path) not in (out / "run.json").read_text()
    assert core("sweep", out, "--data-dir", tmp_path / "meshes", "--quiet").status == 0
    assert "modelnet is not on this machine" in core("sweep", out).err


@pytest.mark.slow
@pytest.mark.parametrize(("model", "width"), [("convnet", {"channels": 2}), ("vit", {"heads": 2, "hidden": 2})])
def test_pictures_by_other_models(core, tmp_path, model, width):
    more = ("--model-set", "heads=2", "--model-set", "dim=8") if model == "vit" else ("--model-set", "stages=2")
    out = tmp_path / model
    answer = core("train", "--model", model, "--hidden", 2, *more, *QUICK, "--out", out)
    assert answer.status == 0, answer.err
    assert Run(out).layout.full == width
    assert answer.out.startswith(f"{model}: accuracy on 359 test examples")
    assert core("export", out, "--width", 1, "--out", tmp_path).status == 0


@pytest.mark.slow
def test_a_models_own_recipe_gives_way(core, tmp_path):
    out = tmp_path / "paper"
    small = ("--model", "convnet", "--hidden", 4, "--model-set", "stages=2", "--quiet")
    assert core("train", *small, "--recipe", "paper", "--epochs", 1, "--out", out).status == 0
    recipe = json.loads((out / "run.json").read_text())["recipe"]
    assert (recipe["lr"], recipe["alpha"]) == (1e-3, 1.0)
    assert core("train", *small, "--lr", 0.002, "--epochs", 1, "--out", out, "--overwrite").status == 0
    assert json.loads((out / "run.json").read_text())["recipe"]["lr"] == 0.002


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--model", "magic"), "model 'magic' is not known; choose one of mlp, convnet, vit, pointnet, coordinates, "),
        (("--model", "pointnet"), "model 'pointnet' can't learn digits: it needs clouds of points"),
        (("--model", "vit", "--layers", 3), "model 'vit' has no setting 'layers'; it has classes, size, heads"),
        (("--model", "vit", "--model-set", "patch=3"), "patch is 3, which does not divide the picture's side of 8"),
        (("--model-set", "nonsense"), "--model-set needs a setting of the model as name=value, got 'nonsense'"),
        (("--hidden", 8, "--model-set", "hidden=9"), "hidden is set twice; give it once"),
        (("--data", "modelnet"), "modelnet is not on this machine; give its folder"),
        (("--data", "diabetes", "--model", "convnet"), "model 'convnet' can't learn diabetes"),
        (("--data", "photo:cat"), "data 'photo:cat' is not known; choose one of "),
    ],
)
def test_mistakes(refused, tmp_path, arguments, told):
    assert told in refused("train", *arguments, *QUICK, "--out", tmp_path / "new")
    assert list(tmp_path.iterdir()) == []
