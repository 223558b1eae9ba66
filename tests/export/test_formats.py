"""Every format holds the trained model at every width."""

import hashlib
import io
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import load as load_safetensors

from core import Run
from core.export.formats import FORMATS, export, file_name, size_before
from core.export.onnx import _graphs
from core.export.program import run_onnx
from core.export.weights import small_state
from core.models.mlp.net import mlp

SAMPLES = Path(__file__).parents[2] / "sample_checkpoints"
TRAINED = ("digits", "image", "table")
CLOSE = 1e-5
MLP_SETTINGS = {"inputs", "outputs", "hidden", "layers", "lower", "each_layer"}


def widths_of(run: Run) -> list[int]:
    """Smallest, middle and full width."""
    full = max(run.layout.full.values())
    low = min(w.lower for w in run.layout.widths.values())
    return [low, (low + full) // 2, full]


def plain_model(run: Run, widths: dict[str, int], data: bytes) -> torch.nn.Module:
    """The plain class at the small size, loaded strictly."""
    settings = run.record.family["settings"]
    sizes = [*widths.values()] * (settings["layers"] // len(widths))
    model = mlp(settings["inputs"], settings["outputs"], sizes)
    model.load_state_dict(load_safetensors(data), strict=True)
    return model.eval()


def scores(run: Run, width: int, format: str, x: np.ndarray) -> np.ndarray:
    data = export(run, width, format).data
    if format == "onnx":
        return run_onnx(data, x)
    model = (
        plain_model(run, run.widths_at(width), data)
        if format == "safetensors"
        else torch.export.load(io.BytesIO(data)).module()
    )
    with torch.inference_mode():
        return model(torch.from_numpy(x)).numpy()


@pytest.mark.slow
@pytest.mark.parametrize("format", ["safetensors", "onnx", "pt2"])
@pytest.mark.parametrize("name", TRAINED)
def test_every_format_gives_the_model_and_its_recorded_predictions(run_of, measure, name, format):
    run = run_of(name)
    x = run.dataset.test.x.astype(np.float32)
    for width in widths_of(run):
        output = scores(run, width, format, x)
        assert measure.off(output, measure.reference(run, run.widths_at(width), x)) < CLOSE
        assert np.array_equal(output.argmax(1), run.predictions(width)[f"w{width}"])


PATHS = sorted(SAMPLES.glob("*/run.json"))
PLAIN = [path for path in PATHS if set(Run(path.parent).record.family["settings"]) <= MLP_SETTINGS]


@pytest.mark.slow
@pytest.mark.parametrize("path", PATHS, ids=lambda p: p.parent.name)
def test_sample_runs_export_what_the_sweep_recorded(path, measure):
    run = Run(path.parent)
    examples = run.examples()
    x = examples["x"].astype(np.float32)
    widths = run.metrics()["width"].tolist()
    low, middle, full = widths[0], widths[len(widths) // 2], widths[-1]
    for width in (low, middle, full):
        recorded = run.predicted(width)[examples["index"]]
        for format in (*(["safetensors"] if path in PLAIN else []), "onnx", *(["pt2"] if width == middle else [])):
            output = scores(run, width, format, x)
            if path in PLAIN:
                assert measure.off(output, measure.reference(run, run.widths_at(width), x)) < CLOSE, (width, format)
            if run.task.classes:  # rounding differs between processors, which may tip a close one
                assert (output.argmax(1) != recorded).mean() <= 0.01, (width, format)
            elif run.task.bounded:  # colours are stored as bytes
                assert np.abs(np.clip(output, 0, 1) - recorded).max() < 0.51 / 255 + 1e-3, (width, format)
            else:
                assert np.abs(output - recorded).max() < 1e-3 * np.abs(recorded).max(), (width, format)


def test_widths_by_name_need_not_lie_on_the_sweep(run_of, measure):
    run = run_of("table")
    widths = {"hidden1": 11, "hidden2": 1, "hidden3": 5}
    x = run.dataset.test.x
    made = export(run, widths, "onnx")
    assert made.name == "paper-w11x1x5.onnx"
    assert measure.off(run_onnx(made.data, x), measure.reference(run, widths, x)) < CLOSE
    assert export(run, {"hidden2": 1}, "onnx").name == "paper-w12x1x12.onnx"


def test_the_scale_is_in_the_weights(run_of):
    run = run_of("digits")
    raw, folded = run.slice(hidden=12), small_state(run, {"hidden": 12})
    changed = {name for name in raw if not np.array_equal(raw[name], folded[name])}
    alpha, weights = run.record.scale["alpha"], set(run.record.scale["weights"])
    assert changed == weights
    for name in weights:
        assert np.allclose(folded[name], raw[name] * np.float32((24 / 12) ** alpha))
    full = small_state(run, run.layout.full)
    assert all(np.array_equal(full[name], value) for name, value in run.weights().items())


def test_only_the_band_of_the_size_is_read(run_of):
    run = run_of("digits")
    scale = run.scale()
    assert len(scale.bands) > 3
    for width in range(1, 25):
        widths = run.widths_at(width)
        part, band = run.scale(widths), scale.band(widths)
        assert [(b.low, b.top) for b in part.bands] == ([(band.low, band.top)] if band else [])
        cut = run.slice(**widths)
        for name, value in scale.fold(cut, run.layout, widths).items():
            assert np.array_equal(part.fold(cut, run.layout, widths)[name], value), (width, name)


@pytest.mark.slow
@pytest.mark.parametrize("format", FORMATS)
def test_same_call_same_bytes(run_of, format):
    run = run_of("digits")
    for opened in (lambda: run, lambda: Run(run.path)):  # in memory with its family, and only read
        first = export(opened(), 7, format)
        _graphs.clear()
        assert first == export(opened(), 7, format)
    assert first.sha256 == hashlib.sha256(first.data).hexdigest()
    assert first.name == file_name(run, {"hidden": 7}, format) == f"stratified-w7{FORMATS[format].suffix}"


@pytest.mark.parametrize("name", TRAINED)
def test_weights_file_has_the_size_of_the_layout(run_of, name):
    run = run_of(name)
    for width in widths_of(run):
        assert len(export(run, width).data) == run.layout.file_bytes(run.widths_at(width))


@pytest.mark.parametrize("path", PATHS, ids=lambda p: p.parent.name)
def test_the_size_estimated_before_a_file_is_made(path):
    run = Run(path.parent)
    measured = run.metrics()["width"].tolist()
    width = measured[len(measured) // 2]
    for format in FORMATS if path in PLAIN else set(FORMATS) - {"pt2"}:  # which takes seconds of a large model
        estimate, roughly = size_before(run, run.widths_at(width), format)
        made = len(export(run, width, format).data)
        assert roughly or made == estimate
        assert abs(made / estimate - 1) < 0.35, format
        assert made < 1.05 * estimate or "most" not in roughly, format


@pytest.mark.slow
def test_a_small_file_holds_no_full_weights(run_of):
    run = run_of("digits")
    for format in ("onnx", "pt2"):
        small, full = (len(export(run, width, format).data) for width in (1, 24))
        spared = run.layout.file_bytes({"hidden": 24}) - run.layout.file_bytes({"hidden": 1})
        assert full - small > 0.95 * spared


@pytest.mark.slow
@pytest.mark.parametrize("format", ["onnx", "pt2"])
def test_any_batch_size(run_of, format):
    run = run_of("image")
    x = run.dataset.test.x
    data = export(run, 4, format).data
    if format == "onnx":
        run_batch = lambda part: run_onnx(data, part)  # noqa: E731
        (given,) = onnx.load_model_from_string(data).graph.input
        assert [d.dim_value for d in given.type.tensor_type.shape.dim] == [0, 3, 5, 4]
    else:
        module = torch.export.load(io.BytesIO(data)).module()
        run_batch = lambda part: module(torch.from_numpy(part)).detach().numpy()  # noqa: E731
    scores_of_all = run_batch(x)
    assert len(scores_of_all) > 7
    for n in (1, 7):
        assert np.allclose(run_batch(x[:n]), scores_of_all[:n], atol=1e-5)
