"""What a GPU does is what a CPU does. Skipped where there is none."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from core import Run, models, sweep, train
from core.data import from_arrays
from core.elastic.fast_mlp.elastic_mlp import ElasticMLP
from core.elastic.recipes.registry import recipe
from core.export.formats import export
from core.export.program import run_onnx
from core.finetune.polish import polish
from core.tasks.losses import loss_function, soft_targets
from core.train.optimizer import make_optimizer
from core.train.step import train_step
from core.utils.signals import Interrupted
from tests.helpers.training import RECIPES, clusters, small_data, small_family

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")


@pytest.mark.parametrize("step", [0, 1])
@pytest.mark.parametrize("kind", RECIPES)
def test_a_step_is_the_same(kind, step):
    x, y = clusters(n=48)
    chosen, widths = RECIPES[kind].for_rows(len(x), chain=True), small_family().layout.widths
    cuts = chosen.draw(np.random.default_rng(1), widths, step)
    losses, states = [], []
    for where in ("cpu", "cuda"):
        torch.manual_seed(0)
        model = ElasticMLP(small_family(), chosen.alpha, chosen.bands(widths))
        model = model.double().to(where)
        optimizer = make_optimizer(model, chosen)
        inputs, wanted = torch.from_numpy(x).double().to(where), torch.from_numpy(y).to(where)
        loss_of = loss_function("classification", torch.ones(1).to(where))
        loss = train_step(model, optimizer, inputs, wanted, cuts, loss_of, soft_targets("classification"))
        losses.append(float(loss))
        states.append({name: value.detach().cpu() for name, value in model.state_dict().items()})
    assert losses[0] == pytest.approx(losses[1], abs=1e-9)
    for name, value in states[0].items():
        torch.testing.assert_close(states[1][name], value, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("model", ["mlp", "convnet"])
def test_a_run_from_a_gpu_is_like_any_other(tmp_path, model):
    x, y = clusters(shape=(8, 8), n=400)
    data = from_arrays(x, y)
    family = models.family_for(data, model, **({"hidden": 16} if model == "mlp" else {"channels": 4, "stages": 2}))
    chosen = recipe("stratified", epochs=6, batch_size=60, lr=0.01)
    run = train(family, data, out=tmp_path / "gpu", recipe=chosen, device="cuda", progress=False)
    assert run.record.training["device"] == "cuda"
    table = sweep(run, data, latency=False, progress=False)
    assert table["accuracy"].iloc[-1] > 0.9  # it has learned what is easily told apart
    full = int(table["width"].iloc[-1])
    made = export(Run(run.path), full, "onnx")
    again = run_onnx(made.data, data.test.x.astype(np.float32)).argmax(1)
    assert (again == data.test.y).mean() == pytest.approx(float(table["accuracy"].iloc[-1]))
    assert polish(run, full // 2, 1, data=data, progress=False)["width"] == full // 2


def test_resumed_is_uninterrupted(tmp_path, monkeypatch):
    long = recipe("stratified", epochs=8, batch_size=24, lr=0.02)
    whole = train(small_family(), small_data(), out=tmp_path / "whole", recipe=long, device="cuda", progress=False)
    from core.train import loop

    asked = iter([False] * 9 + [True])
    true_run = loop.Training.run
    monkeypatch.setattr(loop.Training, "run", lambda self, stopped: true_run(self, lambda: next(asked, False)))
    with pytest.raises(Interrupted):
        train(small_family(), small_data(), out=tmp_path / "cut", recipe=long, device="cuda", progress=False)
    monkeypatch.setattr(loop.Training, "run", true_run)
    cut = train(
        small_family(), small_data(), out=tmp_path / "cut", recipe=long, device="cuda", progress=False, resume=True
    )
    found = load_file(cut.path / "model.safetensors")
    for name, value in load_file(whole.path / "model.safetensors").items():
        np.testing.assert_allclose(found[name], value, rtol=1e-5, atol=1e-6)
