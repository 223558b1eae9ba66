"""Polish and refit store a point beside a run that stays unchanged; the stored file is not trusted when read."""

from __future__ import annotations

import importlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import save_file
from torch import nn

from core import Family, Run, RunError, RunStore, UserError, sweep, train
from core.data import from_arrays
from core.elastic.recipes.registry import recipe
from core.export.formats import export, verify_export
from core.export.weights import small_state
from core.finetune.polish import polish
from core.finetune.refit import refit
from core.runs.file_names import POLISHED
from core.runs.polished import check as check_points
from core.runs.polished import read_predictions
from core.sweep.budget import AGAINST_FULL
from core.train.loop import Diverged
from core.utils.signals import Interrupted
from tests.helpers.training import clusters, small_data, small_family, small_run

WIDTH = 4
QUIET: dict[str, Any] = {"progress": False}


@pytest.fixture(scope="module")
def swept(tmp_path_factory) -> Path:
    return small_run(tmp_path_factory.mktemp("polish") / "run", swept=True).path


@pytest.fixture
def run(swept, tmp_path) -> Run:
    copy = Run(Path(shutil.copytree(swept, tmp_path / "run")))
    copy.family, copy.dataset = small_family(), small_data()
    return copy


def bytes_of(run: Run) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in run.path.iterdir()}


def scores(run: Run, width: int, x: np.ndarray) -> np.ndarray:
    """Scores of the polished state in the plain small model."""
    assert run.family is not None
    module = run.family.build(**run.widths_at(width))
    state = {name: torch.from_numpy(value) for name, value in run.polished_weights(width).items()}
    module.load_state_dict(state, strict=True)
    with torch.inference_mode():
        output: np.ndarray = module.eval()(torch.from_numpy(x).float()).numpy()
    return output


def test_a_point_of_its_own_and_the_run_stays_as_it_is(run):
    before, swept_row = bytes_of(run), run.metrics().set_index("width").loc[WIDTH]
    row = polish(run, WIDTH, 4, lr=0.02, **QUIET)
    after = bytes_of(run)
    assert {name: after[name] for name in before} == before
    assert set(after) - set(before) == {POLISHED}
    assert row["unpolished"] == pytest.approx(swept_row["accuracy"])
    assert row["validation_unpolished"] == pytest.approx(swept_row["validation_accuracy"])
    assert row["gain"] == pytest.approx(row["accuracy"] - row["unpolished"])
    assert row["params"] == swept_row["params"]
    assert row["macs"] == swept_row["macs"]
    again = Run(run.path)
    (stored,) = again.polished().to_dict("records")
    assert {key: stored[key] for key in row} == row
    assert set(run.metrics()) - set(AGAINST_FULL) <= set(stored)
    test = run.dataset.test
    assert float((scores(run, WIDTH, test.x).argmax(1) == test.y).mean()) == pytest.approx(row["accuracy"])


def test_seeded_and_replaced(run):
    first = polish(run, WIDTH, 2, **QUIET)
    refit(run, 6, **QUIET)
    other = polish(run, WIDTH, 2, seed=1, **QUIET)
    again = polish(run, WIDTH, 2, **QUIET)
    assert first["sha256"] == again["sha256"] != other["sha256"]
    assert run.polished()[["width", "method"]].to_numpy().tolist() == [[WIDTH, "polish"], [6, "refit"]]


def test_where_no_epoch_is_better_the_slice_is_kept_and_the_sentence_states_it(run):
    from core.runs.polished import sentence

    small = small_state(run, run.widths_at(WIDTH))
    spoiled = polish(run, WIDTH, 1, lr=30.0, batch_size=8, seed=3, **QUIET)
    assert spoiled["best_epoch"] == 0
    assert spoiled["gain"] == spoiled["validation_gain"] == 0
    assert all(np.array_equal(value, small[name]) for name, value in run.polished_weights(WIDTH).items())
    assert "none of them better: it stays as it was" in sentence(run.task, spoiled)
    better = polish(run, WIDTH, 4, lr=0.02, **QUIET)
    assert better["validation_gain"] >= 0
    assert ("stays as it was" in sentence(run.task, better)) == (better["best_epoch"] == 0)


@pytest.mark.parametrize("width", [1, 2, WIDTH, 8])
def test_refit_is_never_worse_on_validation_and_changes_the_last_layer_alone(run, width):
    row = refit(run, width, **QUIET)
    assert row["validation_gain"] >= 0
    plain = run.with_polished(width)
    old, new = small_state(run, run.widths_at(width)), small_state(plain, run.widths_at(width))
    assert {name for name in old if not np.array_equal(old[name], new[name])} <= {"4.weight", "4.bias"}


class Joined(nn.Module):
    """Convolution and normalisation over the batch."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, hidden, 3, padding=1), nn.BatchNorm2d(hidden)
        self.last = nn.Linear(hidden, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(torch.relu(self.norm(self.conv(x))).mean((2, 3)))


class Hot(Joined):
    """Its output is no linear layer's."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) * 1.5


@pytest.mark.parametrize("make", [polish, refit])
def test_convolution_with_statistics_of_its_own(tmp_path, make):
    data = from_arrays(*clusters(shape=(1, 4, 4)), kind="image")
    settings = recipe("stratified", epochs=2, batch_size=24)
    run = train(Family(Joined, hidden=6), data, out=tmp_path / "run", recipe=settings, progress=False)
    table = sweep(run, widths=[3], latency=False, progress=False)
    row = make(run, 3, **QUIET)
    assert row["unpolished"] == pytest.approx(table["accuracy"].iloc[0])
    assert float((scores(run, 3, data.test.x).argmax(1) == data.test.y).mean()) == pytest.approx(row["accuracy"])


@pytest.mark.parametrize("make", [polish, refit])
def test_numbers(tmp_path, make):
    x = np.random.default_rng(0).normal(size=(200, 6)).astype(np.float32)
    data = from_arrays(x, (x[:, :2] * [3.0, 50.0] + 7).astype(np.float32), task="regression")
    run = train(
        small_family(outputs=2), data, out=tmp_path / "run", recipe=recipe(epochs=2, name="stratified"), **QUIET
    )
    table = sweep(run, latency=False, progress=False).set_index("width")
    row = make(run, WIDTH, **QUIET)
    assert row["unpolished"] == pytest.approx(table.loc[WIDTH, "rmse"], rel=1e-4)
    assert row["validation_gain"] <= 0  # lower is better
    error = scores(run, WIDTH, data.test.x) - data.test.y
    assert float(np.sqrt(np.square(error).mean())) == pytest.approx(row["rmse"], rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("task", ["classification", "regression", "image"])
def test_its_predictions_are_stored_and_verify_its_file(run, tmp_path, task):
    if task != "classification":
        x = np.random.default_rng(0).normal(size=(200, 6)).astype(np.float32)
        y = (np.tanh(x[:, :3]) / 3 + (0.5 if task == "image" else 7)).astype(np.float32)
        data = from_arrays(x, y, task=task)
        how = recipe("stratified", epochs=2)
        run = train(small_family(outputs=3), data, out=tmp_path / task, recipe=how, **QUIET)
        sweep(run, latency=False, progress=False)
    row = polish(run, WIDTH, 2, lr=0.05, **QUIET)
    test, kept = run.dataset.test, read_predictions(run.path, run.record, WIDTH)
    expected = scores(run, WIDTH, test.x)
    if task == "classification":
        assert kept.tolist() == expected.argmax(1).tolist()
    else:
        assert np.abs(kept - (expected.clip(0, 1) if task == "image" else expected)).max() < 0.5 / 255 + 1e-5
    metric = run.task.metric
    value = metric.measure(run.task.score(kept, test.y), run.task.variance(test.y))[0]
    assert value == pytest.approx(row[metric.name], rel=1e-2 if task == "image" else 1e-5)
    alone = run.with_polished(WIDTH)
    program, slice_ = (export(run, WIDTH, "onnx", polished=which).data for which in (True, False))
    assert verify_export(alone, WIDTH, "onnx", program).examples == len(run.examples()["x"])
    for other, data in ((alone, slice_), (run, program)):
        with pytest.raises(RunError, match="otherwise than it was measured to"):
            verify_export(other, WIDTH, "onnx", data)
    with pytest.raises(RunError, match="the weights read again"):
        verify_export(alone, WIDTH, "safetensors", export(run, WIDTH).data)


def test_no_output_layer_to_refit(tmp_path):
    data = from_arrays(*clusters(shape=(1, 4, 4)), kind="image")
    run = train(Family(Hot, hidden=4), data, out=tmp_path / "run", recipe=recipe("stratified", epochs=1), **QUIET)
    with pytest.raises(UserError, match="one linear layer"):
        refit(run, 2, **QUIET)


def test_stopped_leaves_the_run_as_it_was(run, monkeypatch):
    polish(run, 6, 1, **QUIET)
    before = bytes_of(run)
    module = importlib.import_module("core.finetune.polish")
    real, steps = module._step, []

    def stopping(*given: Any) -> float:
        steps.append(1)
        if len(steps) == 3:
            import signal

            signal.raise_signal(signal.SIGINT)
        return real(*given)

    monkeypatch.setattr(module, "_step", stopping)
    with pytest.raises(Interrupted, match="as it was"):
        polish(run, WIDTH, 3, **QUIET)
    assert len(steps) == 3
    assert bytes_of(run) == before


def test_refusals(run):
    before = bytes_of(run)
    for settings in ({"epochs": 0}, {"lr": 0.0}, {"lr": float("nan")}, {"batch_size": 0}, {"weight_decay": -1.0},
                     {"smoothing": 1.0}):  # fmt: skip
        with pytest.raises(UserError, match="choose"):
            polish(run, WIDTH, **settings, **QUIET)
    with pytest.raises(UserError, match="from 1 to 8"):
        polish(run, 9, **QUIET)
    with pytest.raises(UserError, match="trained"):
        polish(run, WIDTH, data=small_data(seed=1), **QUIET)
    with pytest.raises(Diverged, match="smaller rate"):
        polish(run, WIDTH, lr=1e30, **QUIET)
    with pytest.raises(UserError, match="none yet"):
        run.polished_weights(WIDTH)
    assert run.polished().empty
    assert bytes_of(run) == before


def test_it_travels_with_the_run(run, tmp_path):
    polish(run, WIDTH, 1, **QUIET)
    store = RunStore(tmp_path / "store")
    copy = store.import_run(run.path, "copy")
    assert bytes_of(copy) == bytes_of(run)
    assert store.import_run(run.path, "copy", overwrite=True).polished()["width"].tolist() == [WIDTH]


def tampered(run: Run, change: Any) -> None:
    path = run.path / POLISHED
    with safe_open(path, framework="numpy") as file:
        note, tensors = dict(file.metadata()), {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    rows = json.loads(note["rows"])
    rows = change(rows, tensors) or rows
    save_file(tensors, path, {"rows": rows if isinstance(rows, str) else json.dumps(rows)})


HOSTILE = {
    "no json": lambda rows, tensors: "[",
    "deep json": lambda rows, tensors: "[" * 100_000,
    "no list": lambda rows, tensors: {"a": 1},
    "twice": lambda rows, tensors: rows * 2,
    "width out of range": lambda rows, tensors: rows[0].update(width=10**9),
    "width is a path": lambda rows, tensors: rows[0].update(width="../4"),
    "no number": lambda rows, tensors: rows[0].update(accuracy="<b>"),
    "not finite": lambda rows, tensors: rows[0].update(gain=float("nan")),
    "unknown method": lambda rows, tensors: rows[0].update(method="magic"),
    "other run": lambda rows, tensors: rows[0].update(run_sha256="0"),
    "one tensor more": lambda rows, tensors: tensors.update({"4/more": np.zeros(2)}),
    "other shape": lambda rows, tensors: tensors.update({"4/4.bias": np.zeros(5, np.float32)}),
    "other type": lambda rows, tensors: tensors.update({"4/4.bias": np.zeros(3)}),
    "answers that are none": lambda rows, tensors: tensors["predictions/4"].fill(9),
    "too few answers": lambda rows, tensors: tensors.update({"predictions/4": tensors["predictions/4"][1:].copy()}),
    "no answers": lambda rows, tensors: tensors.__delitem__("predictions/4"),
    "other numbers": lambda rows, tensors: tensors.update({"4/4.bias": np.ones(3, np.float32)}),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_files_are_refused_and_replaced(run, kind):
    polish(run, WIDTH, 1, **QUIET)
    tampered(run, HOSTILE[kind])
    with pytest.raises(RunError, match="remove the file"):
        check_points(run.path, run.record)
    polish(run, WIDTH, 1, **QUIET)
    assert run.polished()["width"].tolist() == [WIDTH]
