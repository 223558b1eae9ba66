"""A model from outside the package: a folder with its net and its spec, and one line in `MODELS`."""

from __future__ import annotations

import dataclasses
import importlib
import sys

import numpy as np
import pytest
import torch

from core import Run, sweep, train
from core.data import from_arrays
from core.elastic.recipes.registry import recipe
from core.export.formats import export, verify_export
from core.export.onnx_builder import measured_onnx
from core.export.program import example_inputs, run_module, run_onnx, small_module
from core.models import MODELS, Model, family_for

NET = '''"""One hidden layer whose features are gated by their own sine."""

import torch
from torch import nn


class Normalise(nn.Module):
    """`x * scale + shift`."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.register_buffer("scale", torch.ones(features))
        self.register_buffer("shift", torch.zeros(features))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.scale + self.shift


class Waves(nn.Module):
    """`h * sin(h)` between two linear layers."""

    def __init__(self, inputs: int, outputs: int, hidden: int) -> None:
        super().__init__()
        self.normalise = Normalise(inputs)
        self.first, self.last = nn.Linear(inputs, hidden), nn.Linear(hidden, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.first(self.normalise(x.flatten(1)))
        return self.last(h * torch.sin(h))
'''

SPEC = '''"""Waves: settings, and what a registry needs of them."""

from core.elastic.family import Family
from core.elastic.width import Width
from core.models.base import Model, call_text, whole
from core.models.onnx_graph import INPUT


def family(*, inputs, outputs, hidden=8):
    whole("hidden", hidden, 2, 1024)

    def build(hidden):
        from waves_of_mine.net import Waves

        return Waves(inputs, outputs, hidden)

    return Family(build, hidden=Width(hidden, 1))


def graph(g, settings):
    h = g.linear(g.scaled(g.op("Flatten", INPUT), "normalise"), "first")
    return g.linear(g.op("Mul", h, g.op("Sin", h)), "last")


MODEL = Model(
    family=family,
    net="waves_of_mine.net",
    call=lambda settings, widths: call_text(
        "Waves", inputs=settings["inputs"], outputs=settings["outputs"], hidden=int(widths["hidden"])
    ),
    fit=lambda data: {"inputs": data.features, "outputs": data.classes},
    graph=graph,
    meaning="a layer of waves",
    recipe={"lr": 0.02},
)
'''


@pytest.fixture
def spec(tmp_path, monkeypatch) -> Model:
    folder = tmp_path / "waves_of_mine"
    folder.mkdir()
    for name, text in (("__init__", ""), ("net", NET), ("spec", SPEC)):
        (folder / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield importlib.import_module("waves_of_mine.spec").MODEL
    for name in [name for name in sys.modules if name.startswith("waves_of_mine")]:
        del sys.modules[name]


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    y = np.arange(150) % 3
    return from_arrays((rng.normal(0, 2, (3, 6))[y] + rng.normal(0, 1, (150, 6))).astype(np.float32), y)


def test_a_model_from_outside_is_trained_swept_and_exported(spec, data, tmp_path, monkeypatch):
    monkeypatch.setitem(MODELS, "waves", spec)
    built = family_for(data, "waves")
    trained = train(built, data, out=tmp_path / "run", recipe=recipe("stratified", epochs=4, lr=0.02), progress=False)
    sweep(trained, latency=False, progress=False)
    run = Run(trained.path)  # as after a restart: the family comes from the registry
    assert run.record.family == {"name": "waves", "settings": {"inputs": 6, "outputs": 3, "hidden": 8}}
    assert run.weights()["normalise.scale"] == pytest.approx(1 / data.train.x.std(0), rel=1e-3)
    x = example_inputs(run)
    for width in (1, 5, 8):
        widths = run.widths_at(width)
        file = export(Run(run.path), width, "onnx").data
        assert file == measured_onnx(run, widths), "from the graph in its spec"
        torch.testing.assert_close(run_onnx(file, x), run_module(small_module(run, widths), x), rtol=1e-4, atol=1e-4)
        assert verify_export(run, width, "bundle", export(run, width, "bundle").data).examples == len(x)


def test_a_model_without_a_graph_is_exported_by_torch(spec, data, tmp_path, monkeypatch):
    monkeypatch.setitem(MODELS, "waves", dataclasses.replace(spec, graph=None))
    chosen = recipe("stratified", epochs=1)
    run = Run(train(family_for(data, "waves"), data, out=tmp_path / "run", recipe=chosen, progress=False).path)
    assert measured_onnx(run, {"hidden": 5}) is None
    x = example_inputs(run)
    scores = run_onnx(export(run, 5, "onnx").data, x)
    torch.testing.assert_close(scores, run_module(small_module(run, {"hidden": 5}), x), rtol=1e-4, atol=1e-4)
