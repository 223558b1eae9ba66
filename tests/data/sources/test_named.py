"""The named data of the paper's experiments: what they are, where they are kept, and what they say of themselves."""

import shutil

import numpy as np
import pytest

from core import data
from core.data import load
from core.data.sources.solids import cache_folder, write_solids
from core.errors import RunError, UserError


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr("core.data.sources.solids.COUNTS", {"train": 4, "test": 2})


def test_a_photograph_is_learned_by_heart_and_says_so():
    flower, china = load("photo:flower"), load("photo:china")
    height, width = flower.picture
    assert (height, width, flower.test.n) == (106, 160, 106 * 160)
    assert flower.labels == ("red", "green", "blue")
    assert np.array_equal(flower.train.x, flower.test.x)
    assert np.array_equal(flower.test.x.reshape(height, width, 2)[7, 9], [7, 9])
    colours = {tuple(place): colour for place, colour in zip(flower.test.x, flower.test.y, strict=True)}
    assert flower.validation.n == flower.test.n // 8
    assert all(np.array_equal(colours[tuple(p)], c) for p, c in zip(*vars(flower.validation).values(), strict=True))
    assert "every pixel is trained on" in flower.source
    assert load("photo:flower").fingerprint == flower.fingerprint != china.fingerprint


def test_numbers_are_told_in_their_units():
    found = load("diabetes")
    assert (found.task, found.train.n + found.validation.n + found.test.n) == ("regression", 442)
    assert found.input.columns[:3] == ("age", "sex", "bmi")
    assert 25 <= found.train.y.min() < found.train.y.max() <= 346
    assert found.train.y.shape[1:] == (1,) == (len(found.labels),)


def test_solids_are_made_once_where_they_may_be(tmp_path, few, monkeypatch):
    first = load("solids", data_dir=tmp_path)
    assert first.input.kind == "points"
    assert first.train.x.shape[1:] == (128, 3)
    assert (first.train.n + first.validation.n, first.test.n, first.classes) == (40, 20, 10)
    (folder,) = tmp_path.iterdir()
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.off")}
    assert load("solids", data_dir=tmp_path).fingerprint == first.fingerprint
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.off")} == before
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert load("solids").fingerprint == first.fingerprint
    assert (tmp_path / "cache" / "structural-dropout" / folder.name).is_dir()
    for other in ("", "relative/folder"):  # as the XDG base directory specification has it
        monkeypatch.setenv("XDG_CACHE_HOME", other)
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
        assert cache_folder() == tmp_path / "home" / ".cache" / "structural-dropout"


def test_a_cache_that_is_none(tmp_path, few):
    (tmp_path / "file").write_text("mine")
    with pytest.raises((UserError, RunError), match="file"):
        load("solids", data_dir=tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


def test_clouds_are_turned_in_training_alone(tmp_path, few):
    found = load("solids", data_dir=tmp_path)
    batch = found.train.x[:5]
    turned = found.augment(batch, np.random.default_rng(0))
    assert turned.shape == batch.shape
    assert not np.allclose(turned[:, :, :2], batch[:, :, :2], atol=0.01)
    np.testing.assert_allclose(turned[..., 2], batch[..., 2], rtol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(turned, axis=-1), np.linalg.norm(batch, axis=-1), rtol=1e-5)


def test_modelnets_folders_by_either_way_and_whatever_they_are_called(tmp_path):
    write_solids(tmp_path / "a", train=4, test=1)
    shutil.copytree(tmp_path / "a", tmp_path / "elsewhere")
    first, other = load(f"modelnet:{tmp_path / 'a'}"), load("modelnet", data_dir=tmp_path / "elsewhere")
    assert first.fingerprint == other.fingerprint
    assert first.name == "modelnet"
    assert str(tmp_path) not in first.source  # it goes into the run, and from there to strangers
    with pytest.raises(UserError, match=r"modelnet:<folder> or with --data-dir"):
        load("modelnet")
    with pytest.raises(UserError, match="modelnet needs one folder"):
        load("modelnet:", data_dir=None)
    with pytest.raises(UserError, match="modelnet needs one folder"):
        load(f"modelnet:{tmp_path}", data_dir=tmp_path)
    with pytest.raises(UserError, match="can't be read"):
        load(f"modelnet:{tmp_path / 'gone'}")


@pytest.mark.parametrize("shape", [(3,), (5, 2), (2, 5, 3)])
def test_points_that_are_none(shape):
    with pytest.raises(UserError, match=r"give \(points, 3\)"):
        data.InputFormat(kind="points", shape=shape, dtype="float32")
