"""Normalisation over the batch: each width has statistics of its own, and a part that is not trained keeps its own."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from core import Family, Run, RunError, UserError, sweep, train
from core.data import load
from core.elastic.recipes.registry import recipe
from core.elastic.scale import Scale
from core.elastic.subnet import load as load_model
from core.export.formats import export
from core.sweep.bn_statistics import ensure
from core.utils.signals import Interrupted
from tests.helpers.architectures import examples

WIDTHS = [4, 8, 16, 64]


def normed(hidden: int) -> nn.Module:
    """No bias before a norm: its gradient is rounding alone, of which Adam makes a walk by chance."""
    return nn.Sequential(
        nn.Flatten(), nn.Linear(64, hidden, bias=False), nn.BatchNorm1d(hidden), nn.ReLU(),
        nn.Linear(hidden, hidden, bias=False), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Linear(hidden, 10),
    )  # fmt: skip


@pytest.fixture(scope="module")
def digits_run(tmp_path_factory) -> Run:
    torch.manual_seed(0)
    out = tmp_path_factory.mktemp("normed") / "run"
    shared = {"strata": 4, "own_below": 0.0, "widest_share": 0.4}  # one set of weights for all
    settings = recipe("stratified", epochs=8, lr=0.01, whole_batch=False, **shared)
    run = train(Family(normed, hidden=64), load("digits"), out=out, recipe=settings, progress=False)
    sweep(run, widths=WIDTHS, progress=False, latency=False)
    return run


@pytest.fixture
def copied(digits_run, tmp_path) -> Run:
    """The same run, to be written to."""
    run = Run(Path(shutil.copytree(digits_run.path, tmp_path / "run")))
    run.family, run.dataset = digits_run.family, digits_run.dataset
    return run


def test_one_statistic_for_all_widths_would_be_wrong(digits_run):
    """On digits the full width's would cost 2 points of accuracy at 8 and 16 of 64 features, and change the scores by
    more than a third of their size."""
    x, y = torch.from_numpy(digits_run.dataset.test.x).float(), digits_run.dataset.test.y
    scale, weights = digits_run.scale(), digits_run.weights()
    for width in (8, 16):
        widths = digits_run.widths_at(width)
        with torch.no_grad():
            own = load_model(digits_run.family, scale, weights, widths, digits_run.statistics(widths))(x)
            shared = load_model(digits_run.family, scale, weights, widths)(x)
        right = [(scores.argmax(-1).numpy() == y).mean() for scores in (own, shared)]
        assert right[0] - right[1] > 0.02
        assert (own - shared).norm() / own.norm() > 1 / 3


def test_a_widths_statistics_are_its_own_means_on_training_examples(digits_run):
    """By hand, from the layer before: nothing of core's estimation."""
    widths = digits_run.widths_at(8)
    found = digits_run.statistics(widths)
    small = load_model(digits_run.family, digits_run.scale(), digits_run.weights(), widths).state_dict()
    x = digits_run.dataset.train.x.reshape(digits_run.dataset.train.n, -1).astype(np.float64)
    before = x @ small["1.weight"].double().numpy().T
    np.testing.assert_allclose(found["2.running_mean"], before.mean(0), rtol=0.02, atol=0.02 * before.std())
    np.testing.assert_allclose(found["2.running_var"], before.var(0), rtol=0.05)


def test_a_width_without_statistics_says_which_there_are(copied):
    with pytest.raises(RunError, match=r"no batch statistics at \{'hidden': 5\}; they are there at 4, 8, 16, 64"):
        export(copied, 5)
    assert export(copied, 8).data
    sweep(copied, widths=[*WIDTHS, 5], progress=False, latency=False)
    assert export(copied, 5).data


def test_an_interrupted_estimation_goes_on(copied):
    """What is known is on disk, and nothing is estimated twice; the numbers are those of an uninterrupted one."""
    family, data = copied.family, copied.dataset
    whole = ensure(copied, family, data, [20, 24, 28], progress=False, stopped=lambda: False)
    kept = {width: part for width, part in copied.width_statistics().items() if width not in whole}
    copied.write_width_statistics(kept)
    asked = iter([False, True])
    with pytest.raises(Interrupted, match="nothing is lost"):
        ensure(copied, family, data, [20, 24, 28], progress=False, stopped=lambda: next(asked))
    assert copied.width_statistics().keys() == {*kept, 20, 24}
    marked = copied.width_statistics()
    marked[20] = {name: value + 1 for name, value in marked[20].items()}
    copied.write_width_statistics(marked)
    resumed = ensure(copied, family, data, [20, 24, 28], progress=False, stopped=lambda: False)
    for width, name in ((w, n) for w in (24, 28) for n in whole[w]):
        np.testing.assert_array_equal(resumed[width][name], whole[width][name])
    np.testing.assert_array_equal(resumed[20]["2.running_mean"], whole[20]["2.running_mean"] + 1)  # not done again


class Backbone(nn.Module):
    """A part that is not trained, with statistics of its own, and an elastic head."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU())
        for value in self.backbone.parameters():
            value.requires_grad_(False)
        self.head = nn.Sequential(nn.Linear(8, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Linear(hidden, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.backbone(x).mean((2, 3)))


def test_a_frozen_backbone_keeps_its_statistics(tmp_path):
    family, data = Family(Backbone, hidden=8), examples(1, 6, 6)
    given = family.build()
    with torch.no_grad():
        for _ in range(3):
            given(3 + 2 * torch.randn(16, 1, 6, 6))  # statistics of other data than it will be trained on
    start = {name: value.clone() for name, value in given.state_dict().items()}
    settings = recipe("stratified", epochs=2, batch_size=32, lr=0.01)
    run = train(family, data, out=tmp_path / "run", recipe=settings, progress=False, start=start)
    sweep(run, progress=False, latency=False)
    weights = run.weights()
    for name, value in start.items():
        same = np.array_equal(weights[name], value.numpy())
        assert same == name.startswith("backbone."), name
    assert set(run.record.statistics) == {f"head.1.{k}" for k in ("running_mean", "running_var", "num_batches_tracked")}
    for width in (2, 8):
        widths = run.widths_at(width)
        assert all(name.startswith("head.") for name in run.statistics(widths))
        model = load_model(family, Scale(), weights, widths, run.statistics(widths))
        x = torch.from_numpy(run.dataset.test.x)
        with torch.no_grad():
            h = F.batch_norm(
                F.conv2d(x, start["backbone.0.weight"], start["backbone.0.bias"]), start["backbone.1.running_mean"],
                start["backbone.1.running_var"], start["backbone.1.weight"], start["backbone.1.bias"],
            )  # fmt: skip
            torch.testing.assert_close(model(x), model.head(F.relu(h).mean((2, 3))), rtol=1e-4, atol=1e-5)


def test_one_example_can_not_be_normalised(tmp_path):
    """Four cutoffs share a batch of four."""
    how = {"out": tmp_path / "run", "progress": False}
    shared = recipe("stratified", epochs=1, batch_size=4, strata=4, widest_share=0.4, whole_batch=False)
    with pytest.raises(UserError, match=r"leaves 1 example .* a batch size of at least 8, or whole_batch"):
        train(Family(normed, hidden=8), load("digits"), recipe=shared, **how)
    assert not any(tmp_path.iterdir())
    whole = recipe("stratified", epochs=1, batch_size=4, whole_batch=True)
    small = (np.arange(80 * 64, dtype=np.float32).reshape(80, 64) % 17, np.arange(80) % 10)
    assert train(Family(normed, hidden=8), small, recipe=whole, **how).weights()
