"""A polished model is exported in every format, and its card describes the polish."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load as load_safetensors

from core import Run, UserError
from core.__main__ import main
from core.export.formats import FORMATS, export
from core.export.program import run_onnx, small_module
from core.export.weights import small_state
from core.finetune.polish import polish
from core.finetune.refit import refit

WIDTH = 6


@pytest.fixture(scope="module")
def run(run_of, tmp_path_factory) -> Run:
    """A copy of the run on digits with one width polished and one refitted."""
    trained = run_of("digits")
    copy = Run(Path(shutil.copytree(trained.path, tmp_path_factory.mktemp("polished") / "digits")))
    copy.family, copy.dataset = trained.family, trained.dataset
    polish(copy, WIDTH, 2, lr=0.01, progress=False)
    refit(copy, 12, progress=False)
    return copy


@pytest.mark.parametrize("width", [WIDTH, 12])
def test_every_format_gives_the_polished_model(run, measure, width):
    x = run.dataset.test.x.astype(np.float32)
    with torch.inference_mode():
        expected = small_module(run.with_polished(width), run.widths_at(width))(torch.from_numpy(x)).numpy()
        plain = small_module(run, run.widths_at(width))(torch.from_numpy(x)).numpy()
    made = {name: export(run, width, name, polished=True) for name in FORMATS}
    assert {name: file.name for name, file in made.items()} == {
        name: f"digits-w{width}-polished{kind.suffix}" for name, kind in FORMATS.items()
    }
    state = load_safetensors(made["safetensors"].data)
    kept = run.polished_weights(width)
    assert state.keys() == kept.keys()
    assert all(np.array_equal(state[name], kept[name]) for name in kept)
    bundle = zipfile.ZipFile(io.BytesIO(made["bundle"].data))
    assert bundle.read("model.safetensors") == made["safetensors"].data
    for onnx in (made["onnx"].data, bundle.read("model.onnx")):
        assert measure.off(run_onnx(onnx, x), expected) < 1e-5
    with torch.inference_mode():
        program = torch.export.load(io.BytesIO(made["pt2"].data)).module()(torch.from_numpy(x)).numpy()
    assert measure.off(program, expected) < 1e-5
    row = run.polished().set_index("width").loc[width]
    assert float((expected.argmax(1) == run.dataset.test.y).mean()) == pytest.approx(row["accuracy"])
    assert measure.off(plain, expected) > 1e-3
    assert json.loads(bundle.read("metrics.json"))["accuracy"] == row["accuracy"]
    assert json.loads(bundle.read("config.json"))["polished"] is True


def test_the_slice_is_unchanged(run, run_of):
    before, after = (export(each, WIDTH).data for each in (run_of("digits"), run))
    assert before == after
    card = zipfile.ZipFile(io.BytesIO(export(run, WIDTH, "bundle").data)).read("model_card.md").decode()
    assert "with no retraining" in card
    other = run.with_polished(WIDTH)  # stands in at its own width alone
    assert all(np.array_equal(a, b) for a, b in zip(
        small_state(other, {"hidden": 9}).values(), small_state(run, {"hidden": 9}).values(), strict=True
    ))  # fmt: skip


def test_the_card_describes_the_polish(run):
    def card(width: int) -> str:
        data = export(run, width, "bundle", polished=True).data
        return zipfile.ZipFile(io.BytesIO(data)).read("model_card.md").decode()

    assert "then polished: trained by itself for 2 epochs more" in card(WIDTH)
    assert "its output layer alone was fitted anew" in card(12)
    assert not any("no retraining" in card(width) for width in (WIDTH, 12))


def test_widths_that_were_not_polished(run):
    with pytest.raises(UserError, match=r"no polished model at width 7; they are there at 6, 12; .*polish"):
        export(run, 7, polished=True)


@pytest.mark.slow
def test_from_the_command_line(run, tmp_path, capsys):
    copy = shutil.copytree(run.path, tmp_path / "digits")
    assert main(["polish", str(copy), "--width", "3", "--epochs", "1", "--quiet"]) == 0
    assert main(["refit", str(copy), "--width", "4", "--quiet"]) == 0
    told = capsys.readouterr()
    assert "width 3, polished for 1 epoch in" in told.out
    assert told.err == ""
    assert main(["show", str(copy)]) == 0
    shown = capsys.readouterr().out
    for width, how in ((3, "polished for 1 epoch"), (4, "output layer refitted"), (WIDTH, "polished for 2 epochs")):
        assert f"width {width}, {how}" in shown
    out = tmp_path / "small.safetensors"
    line = ["export", str(copy), "--width", "3", "--polished", "--format", "safetensors", "--out", str(out)]
    assert main(line) == 0
    assert out.read_bytes() == export(Run(copy), 3, polished=True).data
    assert main(["polish", str(copy), "--width", "99", "--quiet"]) == 2
    assert "1 to 24" in capsys.readouterr().err
