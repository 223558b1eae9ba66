"""Whatever a person adds by one file and its line works on the command line like the project's own."""

import importlib.util
import sys
from types import ModuleType

import pytest

from core import Run
from core.data import SOURCES
from core.data.sources.registry import Source

STRIPES = '''
import numpy as np

from core.data import Dataset, from_arrays


def stripes(folder) -> Dataset:
    """Bright rows or bright columns, as many pictures as the file `count` in the folder says."""
    count = int((folder / "count").read_text())
    x = np.random.default_rng(0).integers(0, 100, (count, 6, 6), np.uint8)
    y = np.arange(count) % 2
    x[y == 0, ::2] += 100
    x[y == 1, :, ::2] += 100
    return from_arrays(x, y, labels=["rows", "columns"], name="stripes", kind="image")
'''


@pytest.fixture
def outside(tmp_path, monkeypatch):
    """Import a file that lies outside the package."""

    def imported(name: str, text: str) -> ModuleType:
        (tmp_path / f"{name}.py").write_text(text)
        spec = importlib.util.spec_from_file_location(name, tmp_path / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        return module

    return imported


def test_a_data_set_is_one_file_and_its_line(core, refused, outside, monkeypatch, tmp_path):
    module = outside("stripes", STRIPES)
    monkeypatch.setitem(SOURCES, "stripes", Source(module.stripes, "pictures of stripes", True))
    (tmp_path / "files").mkdir()
    (tmp_path / "files/count").write_text("200")
    asked = ("--data", "stripes", "--data-dir", tmp_path / "files", "--hidden", 4, "--epochs", 2, "--quiet")
    answer = core("train", *asked, "--out", tmp_path / "runs/stripes")
    assert (answer.status, answer.err) == (0, "")
    assert answer.out.startswith("stripes: accuracy on 30 test examples")
    record = Run(tmp_path / "runs/stripes").record
    assert (record.data["name"], record.data["train_n"], record.labels) == ("stripes", 140, ("rows", "columns"))
    assert core("sweep", tmp_path / "runs/stripes", "--data-dir", tmp_path / "files", "--quiet").status == 0
    assert "openml:<name or id>, stripes" in refused("train", "--data", "dots", "--out", tmp_path / "dots")
