import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from core.data import SOURCES, load
from core.data.sources.mnist import FASHION_FOLDER
from core.data.sources.registry import loadable
from core.errors import UserError

ROOT = Path(__file__).parents[3]


@pytest.mark.slow
def test_importing_and_loading_needs_no_torch():
    code = "import sys, core.data; core.data.load('digits'); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
    code = "import sys, core.data; sys.exit(any(m in sys.modules for m in ('torch', 'sklearn', 'pandas')))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_digits():
    data = load("digits")
    parts = (data.train, data.validation, data.test)
    assert sum(part.n for part in parts) == 1797
    for part, share in zip(parts, (0.6, 0.2, 0.2), strict=True):
        assert part.n == pytest.approx(1797 * share, abs=5)
        assert np.bincount(part.y).min() > 0.09 * part.n
        assert part.x.dtype == np.uint8
        assert part.x.max() == data.input.high == 16
    assert (data.classes, data.features, data.input.shape) == (10, 64, (8, 8))
    assert load("digits").fingerprint == data.fingerprint


@pytest.mark.skipif(not FASHION_FOLDER.is_dir(), reason="Debian's package dataset-fashion-mnist is not installed")
def test_fashion_mnist():
    data = load("fashion-mnist")
    assert (data.train.n, data.validation.n, data.test.n) == (55_000, 5_000, 10_000)
    assert data.labels[9] == "Ankle boot"
    mean, std = data.statistics()
    assert mean[0, 0] == pytest.approx(72.9, abs=0.5)
    assert std[0, 0] == pytest.approx(90.0, abs=0.5)


def test_what_is_missing_has_its_sentence(tmp_path, monkeypatch):
    with pytest.raises(
        UserError, match=r"data 'cifar' is not known; choose one of .*digits, fashion-mnist, mnist, .*openml"
    ):
        load("cifar")
    with pytest.raises(UserError, match=r"train-images-idx3-ubyte, .*t10k-labels-idx1-ubyte.*with --data-dir"):
        load("mnist")
    with pytest.raises(UserError, match="gone does not exist; give the one with the mnist files"):
        load("mnist", data_dir=tmp_path / "gone")
    monkeypatch.setattr("core.data.sources.mnist.FASHION_FOLDER", tmp_path / "gone")
    with pytest.raises(UserError, match="apt install dataset-fashion-mnist"):
        load("fashion-mnist")


def test_every_name_has_a_description():
    assert all(source.meaning for source in SOURCES.values())
    assert all(loadable(name) for name in (*SOURCES, "openml:iris", "modelnet:somewhere"))
    assert not any(map(loadable, ("cifar", "openml", "digits:3", "photo:cat")))
    with pytest.raises(UserError, match="'openml:<name or id>' names no table"):
        load("openml:<name or id>")


@pytest.mark.parametrize("name", [name for name, source in SOURCES.items() if not source.reads_folder])
def test_a_folder_that_would_be_ignored_is_refused(name, tmp_path):
    with pytest.raises(UserError, match=r"is read from no folder, got .*; leave --data-dir out, or choose --data fash"):
        load(name, data_dir=tmp_path)
