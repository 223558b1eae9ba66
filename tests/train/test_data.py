"""Examples of every form train; what a step sees, and what the progress bar says."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import torch
from torch import nn

from core import Family, Width, sweep, train
from core.data import from_arrays
from core.elastic.module import Elastic
from core.elastic.recipes.base import Cuts
from core.elastic.recipes.registry import recipe
from core.models import family as named_family
from core.models.mlp.net import Normalise
from core.tasks import losses
from core.train.optimizer import learning_rate, make_optimizer
from core.train.step import train_step
from tests.helpers.training import RECIPES, SETTINGS, clusters, small_data, small_family, small_run, told, weights_of


def images(dtype: str, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    x, y = clusters((5, 4), classes=classes, n=40 * classes)
    x = (x - x.min()) / (x.max() - x.min()) * 255
    return x.astype(dtype), y


def flat(inputs: int, outputs: int) -> Family:
    return Family(lambda h: nn.Sequential(nn.Flatten(), Normalise(inputs), nn.Linear(inputs, h), nn.ReLU(),
                                          nn.Linear(h, outputs)), h=16)  # fmt: skip


@pytest.mark.parametrize("classes", [2, 3, 7])
@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64", "int16"])
def test_images_of_any_type_and_number_of_classes(tmp_path, dtype, classes):
    x, y = images(dtype, classes)
    data = from_arrays(x, [f"kind {label}" for label in y])
    run = train(flat(20, classes), data, out=tmp_path / "a", recipe=recipe("stratified", epochs=12, lr=0.02),
                progress=False)  # fmt: skip
    table = sweep(run, latency=False, progress=False)
    assert table["accuracy"].iloc[-1] > 0.9
    assert run.record.labels == tuple(f"kind {k}" for k in range(classes))
    assert run.examples()["x"].dtype == (np.uint8 if dtype == "uint8" else np.float32)


def test_arrays_are_a_data_set(tmp_path):
    x, y = clusters()
    settings = {"recipe": RECIPES["paper"], "progress": False}
    given = train(small_family(), (x, y), out=tmp_path / "a", **settings)
    assert told(given) == told(train(small_family(), small_data(), out=tmp_path / "b", **settings))
    parts = [given.record.data[f"{part}_n"] for part in ("train", "validation", "test")]
    assert sum(parts) == len(x)
    assert min(parts) > 0


def test_the_normalisation_of_the_training_part_is_in_the_model(tmp_path):
    x, y = clusters()
    far = x * np.array([1, 10, 100, 1, 1, 1], np.float32) + 50
    run = train(flat(6, 3), (far, y), out=tmp_path / "a", recipe=RECIPES["sandwich"], progress=False)
    weights, part = run.weights(), run.dataset.train.x
    seen = part * weights["1.scale"] + weights["1.shift"]
    assert np.allclose(seen.mean(0), 0, atol=1e-3)
    assert np.allclose(seen.std(0), 1, atol=1e-3)


@pytest.mark.parametrize("order", ["transposed", "reversed", "read-only"])
def test_weights_and_examples_in_any_order_of_memory(tmp_path, order):
    """safetensors writes what lies in memory, so an array's order must be made plain first."""

    class Odd(nn.Module):
        def __init__(self, hidden: int) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(6, hidden), nn.Linear(hidden, 3)
            self.first.weight = nn.Parameter(torch.randn(6, hidden).t())  # strides of another order

        def forward(self, x):
            return self.last(self.first(x).relu())

    data = small_data()
    x = data.test.x
    x = {"transposed": np.asfortranarray(x), "reversed": x[::-1].copy()[::-1], "read-only": x.copy()}[order]
    x.flags.writeable = order != "read-only"
    object.__setattr__(data.test, "x", x)
    object.__setattr__(data.train, "x", data.train.x[::-1].copy()[::-1] if order == "reversed" else data.train.x)
    run = train(Family(Odd, hidden=8), data, out=tmp_path / "a", recipe=RECIPES["paper"], progress=False)
    again = sweep(run, latency=False, progress=False)
    full = Odd(8)
    full.load_state_dict({name: torch.from_numpy(value) for name, value in run.weights().items()})
    right = (full(torch.from_numpy(np.ascontiguousarray(x))).argmax(-1).numpy() == data.test.y).mean()
    assert again["accuracy"].iloc[-1] == pytest.approx(right, abs=1e-9)
    assert np.array_equal(run.examples()["x"], np.ascontiguousarray(x)[run.examples()["index"]])


@pytest.mark.parametrize("batch", [1, 2, 5, 1000])
@pytest.mark.parametrize("kind", ["stratified", "sandwich", "paper"])
def test_any_size_of_batch(tmp_path, kind, batch):
    """A batch of fewer rows than cutoffs leaves some without any; one above the data is all of it."""
    data = small_data(n=30)
    chosen = recipe(kind, epochs=1, batch_size=batch)
    run = train(small_family(), data, out=tmp_path / "a", recipe=chosen, progress=False)
    assert run.record.recipe["batch_size"] == min(batch, data.train.n)
    assert all(np.isfinite(value).all() for value in run.weights().values())


def test_batch_is_smaller_on_small_data():
    assert recipe("paper").for_rows(55_000).batch_size == 500
    for n in (20, 100, 700, 5_000):
        rows = recipe("paper").for_rows(n).batch_size
        assert 1 <= rows <= n
        assert n // rows >= min(16, n // 32)
    assert recipe("paper", batch_size=64).for_rows(55_000).batch_size == 64


def test_learning_rate_warms_up_and_falls():
    for total in (1, 2, 20, 1000):
        for warmup in (0.0, 0.05, 0.9):
            chosen = recipe("paper", lr=0.1, warmup=warmup)
            rates = [learning_rate(chosen, step, total) for step in range(total)]
            top = int(np.argmax(rates))
            assert max(rates) <= 0.1 + 1e-12
            assert min(rates) > 0
            assert rates[: top + 1] == sorted(rates[: top + 1])
            assert rates[top:] == sorted(rates[top:], reverse=True)
    assert rates[round(0.9 * total)] == pytest.approx(0.1)


def test_each_cutoff_reaches_its_own_weights():
    """A step at cutoff c changes the leading c features and no others."""
    family = small_family()
    for cut in (1, 3, 8):
        torch.manual_seed(0)
        model = Elastic(family, 0.5)
        before = {name: value.clone() for name, value in model.named_parameters()}
        optimizer = make_optimizer(model, recipe("paper"))
        cuts = Cuts(({"first": cut, "second": 8},), whole_batch=True)
        x, y = torch.randn(16, 6), torch.randint(0, 3, (16,))
        train_step(model, optimizer, x, y, cuts, losses.loss_function("classification"))
        changed = (dict(model.named_parameters())["full.0.bias"] != before["full.0.bias"]).nonzero().flatten().tolist()
        assert set(changed) <= set(range(cut))
        assert changed


@pytest.mark.parametrize("kind", ["stratified", "paper"])
def test_layers_ahead_of_the_elastic_ones_are_trained_too(tmp_path, kind):
    """Where they are a chain's, whose inputs are else computed once for the whole training."""

    def build(hidden: int) -> torch.nn.Module:
        parts = torch.nn.Linear(6, 4), torch.nn.Tanh(), torch.nn.Linear(4, hidden), torch.nn.ReLU()
        return torch.nn.Sequential(*parts, torch.nn.Linear(hidden, 3))

    def trained(epochs: int):
        settings = {"epochs": epochs, "batch_size": 24, "lr": 0.01}
        out = tmp_path / str(epochs)
        return train(Family(build, hidden=16), small_data(), out=out, recipe=recipe(kind, **settings), progress=False)

    short, long = (trained(epochs).weights()["0.weight"] for epochs in (1, 40))
    assert np.abs(short - long).max() > 0.05


def test_weight_decay_spares_vectors():
    optimizer = make_optimizer(Elastic(small_family(), 0.0), recipe("paper", weight_decay=0.2))
    assert {g["weight_decay"] for g in optimizer.param_groups if all(p.dim() > 1 for p in g["params"])} == {0.2}
    assert {g["weight_decay"] for g in optimizer.param_groups if all(p.dim() == 1 for p in g["params"])} == {0.0}


def test_progress_shows_loss_and_three_accuracies(tmp_path, capsys):
    settings = {"recipe": recipe("stratified", **SETTINGS | {"epochs": 26}), "out": tmp_path / "a"}
    run = train(small_family(), small_data(), **settings)
    shown = capsys.readouterr().err
    assert re.search(r"loss \d\.\d+ · full [\d.]+ % · 1/4 [\d.]+ % · 1/16 [\d.]+ %", shown)
    history = run.record.training["history"]
    assert [entry["epoch"] for entry in history] == list(range(1, 27))
    assert all("loss" in entry for entry in history)
    seen = [entry["epoch"] for entry in history if {"1/16", "1/4", "full"} <= entry.keys()]
    assert seen == [12, 24, 26], "of four steps an epoch: after some fifty of them, and at the end"
    train(small_family(), small_data(), progress=False, **{**settings, "out": tmp_path / "b"})
    assert capsys.readouterr().err == ""


def test_a_run_says_how_it_was_made(tmp_path):
    run = small_run(tmp_path / "a", "distil", seed=11)
    plain = json.loads((run.path / "run.json").read_text())
    assert plain["training"]["seed"] == 11
    assert plain["recipe"] == {**RECIPES["distil"].to_json(), "batch_size": 24}
    assert plain["training"]["device"] in ("cpu", "cuda")
    assert plain["versions"]["torch"] == torch.__version__
    assert plain["family"] == {"name": None, "settings": {}}
    named = named_family("mlp", inputs=6, outputs=3, hidden=8, layers=1)
    other = train(named, small_data(), out=tmp_path / "b", recipe=RECIPES["paper"], progress=False)
    assert other.record.family == {"name": "mlp", "settings": {"inputs": 6, "outputs": 3, "hidden": 8, "layers": 1}}


def test_lower_bound_is_kept(tmp_path):
    family = Family(lambda h: nn.Sequential(nn.Linear(6, h), nn.ReLU(), nn.Linear(h, 3)), h=Width(8, 3))
    run = train(family, small_data(), out=tmp_path / "a", recipe=RECIPES["stratified"], progress=False)
    assert sweep(run, latency=False, progress=False)["width"].tolist() == [3, 4, 5, 6, 7, 8]
    assert weights_of(run)


@pytest.mark.parametrize("place", ["before", "between"])
@pytest.mark.parametrize("norm", [False, True])
def test_every_cutoff_sees_the_examples_as_they_are(norm, place):
    """A model may write over what it reads: a cutoff's output is the same whatever ran before it on the same rows."""

    def build(hidden: int) -> nn.Module:
        own = nn.LeakyReLU(0.5, inplace=True)
        return nn.Sequential(
            *([own] if place == "before" else []), nn.Linear(6, hidden), *([nn.LayerNorm(hidden)] if norm else []),
            *([own] if place == "between" else [nn.ReLU()]), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 3)
        )  # fmt: skip

    model = Elastic(Family(build, hidden=8), 0.0)
    x = torch.from_numpy(clusters()[0])
    before = x.clone()
    first, *others = model(x, Cuts(({"hidden": 5},) * 3, whole_batch=True))
    assert all(torch.allclose(other, first, atol=1e-6) for other in others)
    assert torch.equal(x, before)
