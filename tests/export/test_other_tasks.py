"""Numbers and pictures from end to end: trained, swept, sliced and loaded elsewhere with the same metrics."""

import importlib.util
import io
import json
import zipfile

import numpy as np
import pytest

from core import Run, sweep, train
from core.data import Dataset, InputFormat, Split, from_arrays, load
from core.elastic.recipes.registry import recipe
from core.export.formats import export
from core.export.model_card import model_card
from core.export.program import small_module
from core.models import family_for
from core.sweep.evaluator import Evaluator
from core.sweep.report import reply, run_line, size_table


def numbers() -> Dataset:
    """Two outputs in very different units, far from 0."""
    rng = np.random.default_rng(3)
    x = rng.normal(5, 2, (260, 4)).astype(np.float32)
    y = np.stack([1e4 + 3e3 * x[:, 0], 1e-3 * (x[:, 1] - x[:, 2])], axis=1)
    return from_arrays(x, y + rng.normal(0, [100, 1e-4], y.shape), task="regression", labels=["price", "yield"])


def picture() -> Dataset:
    """A smooth picture of 12 x 10 pixels."""
    rows, columns = (a.reshape(-1).astype(np.float32) for a in np.indices((12, 10)))
    x = np.stack([rows, columns], axis=1)
    y = np.stack([rows / 11, columns / 9, np.full(120, 0.2, np.float32)], axis=1).astype(np.float32)
    whole, some = Split(x=x, y=y), Split(x=x[::8], y=y[::8])
    about = InputFormat(kind="table", shape=(2,), dtype="float32", columns=("row", "column"), meaning="a place")
    return Dataset(
        name="smooth", task="image", train=whole, validation=some, test=whole, labels=("red", "green", "blue"),
        input=about, source="a smooth picture", picture=(12, 10),
    )  # fmt: skip


MADE = {"numbers": numbers, "diabetes": lambda: load("diabetes"), "picture": picture}
SMALL = {"numbers": {"hidden": 12}, "diabetes": {"hidden": 12}, "picture": {"hidden": 12, "waves": 8, "layers": 2}}


@pytest.fixture(scope="module", params=MADE)
def run(request, tmp_path_factory) -> Run:
    data, folder = MADE[request.param](), tmp_path_factory.mktemp("tasks") / request.param
    chosen = recipe("stratified", epochs=8, lr=5e-3)
    made = train(family_for(data, **SMALL[request.param]), data, out=folder, recipe=chosen, progress=False)
    sweep(made, latency=False, progress=False)
    return made


def predictions_of(run: Run, width: int, x: np.ndarray) -> np.ndarray:
    """Predictions of the plain small model, one example at a time in float32, without the sweep."""
    import torch

    module = small_module(run, run.widths_at(width))
    with torch.inference_mode():
        return np.concatenate([module(torch.from_numpy(row[None])).numpy() for row in x])


def test_figures_are_those_of_the_small_model(run):
    """RMSE, the explained share and PSNR by their textbook formulas, from the downloaded model's own answers."""
    data, table = run.dataset, run.metrics().set_index("width")
    for width in (1, 5, 12):
        for part, prefix in ((data.test, ""), (data.validation, "validation_")):
            actual = predictions_of(run, width, part.x).astype(np.float64)
            row, n = table.loc[width], part.n
            if run.task.bounded:
                each = np.mean((np.clip(actual, 0, 1) - part.y) ** 2, axis=1)
                expected = {"psnr": -10 * np.log10(each.mean())}
            else:
                each = np.mean((actual - part.y) ** 2, axis=1)
                spread = np.mean((part.y - part.y.astype(np.float64).mean(0)) ** 2)
                expected = {"rmse": np.sqrt(each.mean()), "r2": 1 - each.mean() / spread}
            half = 1.959964 * each.std(ddof=1) / np.sqrt(n)
            ends = np.array([each.mean() - half, each.mean() + half]).clip(1e-300)
            for name, value in expected.items():
                assert row[prefix + name] == pytest.approx(value, rel=1e-4), name
                assert row[f"{prefix}{name}_low"] < value < row[f"{prefix}{name}_high"]
            if not run.task.bounded:
                assert [row[f"{prefix}rmse_low"], row[f"{prefix}rmse_high"]] == pytest.approx(np.sqrt(ends), rel=1e-3)
            else:
                low, high = -10 * np.log10(ends[::-1])
                assert [row[f"{prefix}psnr_low"], row[f"{prefix}psnr_high"]] == pytest.approx([low, high], rel=1e-3)


def test_predictions_are_stored(run):
    actual, expected = run.predicted(7), predictions_of(run, 7, run.dataset.test.x)
    scale = np.abs(run.dataset.test.y).max(0)
    if run.task.bounded:
        assert np.abs(actual - expected.clip(0, 1)).max() <= 0.5 / 255 + 1e-6
        assert run.record.data["picture"] == [12, 10]
    else:
        assert (np.abs(actual - expected) / scale).max() < 1e-4
        assert np.array_equal(run.targets(), run.dataset.test.y)


def test_the_plain_sweep_agrees(run):
    data = run.dataset
    scale = run.scale()
    for widths in ([1, 2, 11], [12]):
        evaluator = Evaluator(run.family, scale, run.weights(), widths, True, False, data.target_statistics()[1])
        scores = evaluator.start(data.test.n, data.classes)
        for _ in evaluator.advance(scores, data.test.x, data.test.y):
            pass
        for k, width in enumerate(widths):
            metric = run.task.metric
            each = run.task.score(scores.predictions[..., k], data.test.y)
            value = metric.measure(each, run.task.variance(data.test.y))[0]
            assert run.metrics().set_index("width").loc[width, metric.name] == pytest.approx(value, rel=1e-4)


def test_the_bundles_scripts_give_the_same_numbers(run, tmp_path):
    with zipfile.ZipFile(io.BytesIO(export(run, 5, "bundle").data)) as archive:
        archive.extractall(tmp_path)
    x = run.dataset.test.x
    expected = predictions_of(run, 5, x)
    expected = expected.clip(0, 1) if run.task.bounded else expected
    for script in ("load", "load_onnx"):
        spec = importlib.util.spec_from_file_location(f"{script}_of_{run.id}", tmp_path / f"{script}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        actual = module.predict(x)
        assert isinstance(actual, np.ndarray)
        assert actual.shape == run.dataset.test.y.shape
        assert (np.abs(actual - expected) / np.abs(expected).max(0)).max() < 1e-5
        assert module.labels == list(run.record.labels)
    figures = json.loads((tmp_path / "metrics.json").read_text(), parse_constant=pytest.fail)
    assert figures[run.task.metric.name] == run.metrics().set_index("width").loc[5, run.task.metric.name]
    config = json.loads((tmp_path / "config.json").read_text())
    assert all(label in config["output"] for label in run.record.labels)
    assert "score" not in config["output"]


def test_texts_name_the_tasks_own_metric(run):
    metric, table = run.task.metric, run.metrics()
    row = table.iloc[4]
    card = model_card(run, {"hidden": 5}, row.to_dict())
    told = [size_table(run, table), run_line(run), card, reply(run, table, max_kb=50).sentence]
    assert not [text for text in told if "ccuracy" in text or "by label" in text or "names one of its labels" in text]
    for judged in run.task.metrics:
        assert f"| {judged.label} | {judged.format(row[judged.name])} " in card
    assert ("used neither for training" in card) == (run.task.name == "regression")
    assert f" test {run.task.example}s" in told[0]
    # the worst figure that is enough is answered by the smallest size, a figure beyond all by none
    values = table[f"validation_{metric.name}"]
    worst, best = (values.min(), values.max()) if metric.higher_is_better else (values.max(), values.min())
    easy = reply(run, table, at_least=float(worst))
    assert easy.answer.fits
    assert easy.answer.width == table["width"].iloc[0]
    assert metric.limit in easy.sentence
    hard = reply(run, table, at_least=float(best + 1 if metric.higher_is_better else best / 2))
    assert not hard.answer.fits
    assert hard.sentence.startswith("No size here keeps ")
    assert hard.answer.width == table["width"].loc[values.idxmax() if metric.higher_is_better else values.idxmin()]


def test_numbers_of_any_unit_are_learned(tmp_path):
    """The last module restores units: without it no bias gets from 0 to 10,000."""
    data = numbers()
    run = train(
        family_for(data, hidden=16), data, out=tmp_path / "far", recipe=recipe("stratified", epochs=25), progress=False
    )
    full = sweep(run, latency=False, progress=False).iloc[-1]
    assert full["r2"] > 0.8
    last = run.weights()
    assert last["7.shift"] == pytest.approx(data.target_statistics()[0])
    assert last["7.scale"] == pytest.approx(data.target_statistics()[1])
