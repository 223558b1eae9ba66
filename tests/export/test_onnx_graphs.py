"""The ONNX graph in a model's spec equals the exporter's file at every width, and needs no torch."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from core import Run
from core.elastic.size_grid import path_range
from core.export.formats import export
from core.export.onnx import _export_graph
from core.export.onnx_builder import measured_onnx, plain_onnx
from core.export.program import example_inputs, run_module, run_onnx, small_module
from core.models import MODELS

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "sample_checkpoints"
KINDS = ("digits-paper", "diabetes", "fashion-convnet", "fashion-vit", "solids", "flower", "super-resolution")


def test_every_model_of_the_registry_has_a_graph():
    assert all(model.graph for model in MODELS.values())
    assert {Run(SAMPLES / name).record.family["name"] for name in KINDS} == MODELS.keys(), "and is looked at below"


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_a_graph_equals_the_exporters_file(name, measure):
    run = Run(SAMPLES / name)
    low, full = path_range(run.layout)
    x = example_inputs(run)
    for width in (low, (low + full) // 3, full):
        widths = run.widths_at(width)
        data = plain_onnx(run, widths)
        onnx.checker.check_model(onnx.load_model_from_string(data), full_check=True)
        module = small_module(run, widths)
        expected = run_module(module, x)
        assert measure.off(run_onnx(data, x), expected) < 1e-5
        assert np.abs(run_onnx(data, x[:1]) - expected[:1]).max() <= 1e-4 * np.ptp(expected), (
            "for any number of examples"
        )
    exported = run_onnx(_export_graph(module, run).SerializeToString(), x)
    assert measure.off(run_onnx(data, x), exported) < 1e-5


@pytest.mark.parametrize("name", KINDS)
def test_a_graph_that_reproduces_the_stored_predictions_is_exported(name):
    run = Run(SAMPLES / name)
    widths = run.widths_at(path_range(run.layout)[1])
    assert measured_onnx(run, widths) == plain_onnx(run, widths) == export(run, widths, "onnx").data


FRESH = """
import json, sys
from pathlib import Path
from core.export.formats import export
from core.export.program import example_inputs, run_onnx
from core.elastic.size_grid import path_range
from core.runs.run import Run
shapes = {}
for path in map(Path, sys.argv[1:]):
    run = Run(path)
    data = export(run, path_range(run.layout)[0] + 1, "onnx").data
    shapes[run.id] = run_onnx(data, example_inputs(run)).shape
print(json.dumps([sorted({"torch"} & set(sys.modules)), shapes]))
"""


@pytest.mark.slow
def test_no_torch_is_imported():
    done = subprocess.run(
        [sys.executable, "-c", FRESH, *(str(SAMPLES / name) for name in KINDS)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    heavy, shapes = json.loads(done.stdout)
    assert heavy == []
    assert all(shape[1] == len(Run(SAMPLES / name).record.labels) for name, shape in shapes.items())


SETTINGS = {
    "other patch": ("fashion-vit", {"head_dim": 7}),
    "no number": ("fashion-vit", {"head_dim": "8"}),
    "nothing": ("fashion-vit", {"head_dim": 0}),
    "deeper": ("fashion-vit", {"depth": 10**9}),
    "other size": ("fashion-convnet", {"size": 10**12}),
    "more stages": ("fashion-convnet", {"stages": 9}),
    "no patch": ("super-resolution", {"patch": None}),
}


@pytest.mark.parametrize("kind", SETTINGS)
def test_settings_that_do_not_belong_give_no_file(kind, tmp_path):
    name, changed = SETTINGS[kind]
    copy = Path(shutil.copytree(SAMPLES / name, tmp_path / name))
    record = json.loads((copy / "run.json").read_text())
    record["family"]["settings"].update(changed)
    (copy / "run.json").write_text(json.dumps(record))
    run = Run(copy)
    assert measured_onnx(run, run.widths_at(path_range(run.layout)[1])) is None


@pytest.mark.slow
def test_a_width_that_was_not_measured_and_weights_of_another_training_give_none(tmp_path):
    copy = Path(shutil.copytree(SAMPLES / "digits-paper", tmp_path / "digits"))
    shutil.copy(SAMPLES / "digits-stratified" / "predictions.parquet", copy)
    run = Run(copy)
    assert measured_onnx(run, run.widths_at(4)) is None
    (copy / "predictions.parquet").unlink()
    assert measured_onnx(Run(copy), run.widths_at(4)) is None
    assert export(Run(copy), 4, "onnx").data, "the exporter makes it then"
