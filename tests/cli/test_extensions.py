"""Whatever a person adds by one file and its line works on the command line like the project's own."""

import importlib.util
import sys
from types import ModuleType

import numpy as np
import pytest

from core import Run
from core.data import SOURCES, from_arrays
from core.data.sources.registry import Source
from core.elastic.recipes.registry import RECIPES
from core.tasks.registry import TASKS

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

HALVES = '''
from dataclasses import dataclass
from typing import ClassVar

from core.elastic.recipes.base import Cuts, Recipe


@dataclass(frozen=True, kw_only=True)
class Halves(Recipe):
    """Full width and half of it, or another share, both on the whole batch."""

    name: ClassVar[str] = "halves"
    limits = Recipe.limits | {"share": (float, 0.1, 0.9)}
    epochs: int = 2
    share: float = 0.5

    def draw(self, rng, widths, step=0) -> Cuts:
        full = {name: width.full for name, width in widths.items()}
        return Cuts((full, {name: max(1, int(self.share * n)) for name, n in full.items()}), whole_batch=True)
'''

ERRORS = """
from dataclasses import replace

from core.tasks.classification import ACCURACY, CLASSIFICATION

ERROR = replace(ACCURACY, name="error", label="Error", higher_is_better=False, of=lambda mean, variance: 1 - mean,
                meaning="How many of a hundred examples the model gets wrong.")
COUNTED = replace(CLASSIFICATION, name="counted", metrics=(ERROR,))
"""


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


def test_a_recipe_is_one_file_and_its_line(core, refused, outside, monkeypatch, tmp_path):
    monkeypatch.setitem(RECIPES, "halves", outside("halves", HALVES).Halves)
    asked = ("--recipe", "halves", "--set", "share=0.25", "--hidden", 4, "--epochs", 1, "--quiet")
    answer = core("train", *asked, "--out", tmp_path / "run")
    assert (answer.status, answer.err) == (0, "")
    recipe = Run(tmp_path / "run").record.recipe
    assert (recipe["name"], recipe["share"], recipe["epochs"]) == ("halves", 0.25, 1)
    told = refused("train", "--recipe", "halves", "--set", "share=2", "--out", tmp_path / "other")
    assert "share is 2; choose 0.1 to 0.9" in told


def test_a_task_with_its_metric_is_one_file_and_its_line(core, outside, monkeypatch, tmp_path):
    monkeypatch.setitem(TASKS, "counted", outside("counted", ERRORS).COUNTED)

    def points():
        x = np.random.default_rng(0).normal(size=(300, 2)).astype(np.float32)
        return from_arrays(x, (x[:, 0] > 0).astype(int), name="points", task="counted")

    monkeypatch.setitem(SOURCES, "points", Source(points, "points on either side of a line"))
    out = tmp_path / "run"
    answer = core("train", "--data", "points", "--hidden", 4, "--epochs", 5, "--quiet", "--out", out)
    assert (answer.status, answer.err) == (0, "")
    assert answer.out.startswith("run: error on 45 test examples")
    table = Run(out).metrics()
    right = Run(out).predictions(4)["w4"] == points().test.y
    assert table.set_index("width").loc[4, "error"] == pytest.approx(1 - right.mean())
    assert "at most 50.0 %" in core("show", out, "--at-least", 0.5).out
