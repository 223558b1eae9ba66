"""metrics.parquet and predictions.parquet say what every small model, built by itself, says."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import nn

from core import Family, Run, Width, sweep, train
from core.data import Dataset, InputFormat, Split, from_arrays
from core.elastic.recipes.registry import recipe
from core.elastic.size_grid import path_widths
from core.export.formats import export
from core.export.program import small_module
from core.sweep.tables import against_last
from core.tasks.statistics import wilson_interval
from tests.helpers.properties import tries
from tests.helpers.training import RECIPES, clusters, small_data


class Residual(nn.Module):
    def __init__(self, hidden: int, side: int) -> None:
        super().__init__()
        self.first, self.side, self.last = nn.Linear(6, hidden), nn.Linear(6, side), nn.Linear(hidden + side, 3)
        self.norm, self.middle = nn.LayerNorm(hidden), nn.Linear(hidden, hidden)

    def forward(self, x):
        h = self.first(x).relu()
        return self.last(torch.cat([self.norm(h + self.middle(h)), self.side(x).tanh()], 1))


def chain(first: int, second: int) -> nn.Module:
    return nn.Sequential(nn.Linear(6, first), nn.ReLU(), nn.Linear(first, second), nn.GELU(), nn.Linear(second, 3))


FAMILIES = {
    "chain": lambda: Family(chain, first=10, second=Width(7, 2)),
    "no chain": lambda: Family(Residual, hidden=9, side=Width(4, 2)),
}


@pytest.fixture(scope="module", params=FAMILIES)
def swept(request, tmp_path_factory):
    out = tmp_path_factory.mktemp("table") / "run"
    run = train(FAMILIES[request.param](), small_data(), out=out, recipe=RECIPES["paper"], progress=False)
    return run, sweep(run, latency=False, progress=False)


def scores_of(run: Run, widths: dict[str, int], part: Split) -> np.ndarray:
    with torch.no_grad():
        return small_module(run, widths)(torch.from_numpy(part.x)).numpy()


def test_figures_are_those_of_each_small_model(swept):
    run, table = swept
    data = run.dataset
    assert table["width"].tolist() == sorted(set(table["width"]))
    for row in table.to_dict("records"):
        widths = path_widths(run.layout, row["width"])
        assert {name: row[f"width_{name}"] for name in widths} == widths
        module = small_module(run, widths)
        assert row["params"] == sum(p.numel() for p in module.parameters())
        assert row["bytes"] == len(export(run, widths, "safetensors").data)
        assert row["macs"] == sum(m.weight.numel() for m in module.modules() if isinstance(m, nn.Linear))
        for prefix, part in (("", data.test), ("validation_", data.validation)):
            scores = scores_of(run, widths, part)
            right = scores.argmax(1) == part.y
            assert row[f"{prefix}n"] == part.n
            assert row[f"{prefix}accuracy"] == pytest.approx(right.mean(), abs=1e-12)
            interval = row[f"{prefix}accuracy_low"], row[f"{prefix}accuracy_high"]
            assert interval == pytest.approx(wilson_interval(int(right.sum()), part.n), abs=1e-12)
            loss = nn.functional.cross_entropy(torch.from_numpy(scores), torch.from_numpy(part.y))
            assert row[f"{prefix}loss"] == pytest.approx(float(loss), rel=1e-4)
        flags = [scores_of(run, at, data.validation).argmax(1) == data.validation.y for at in (widths, run.layout.full)]
        difference = flags[0].astype(float) - flags[1]
        assert row["validation_difference"] == pytest.approx(difference.mean(), abs=1e-12)
        error = difference.std(ddof=1) / np.sqrt(len(difference))
        assert row["validation_difference_error"] == pytest.approx(error, abs=1e-12)
        right = scores_of(run, widths, data.test).argmax(1) == data.test.y
        wanted = [right[data.test.y == k].mean() for k in range(3)]
        assert row["per_class_accuracy"] == pytest.approx(wanted, abs=1e-12)


def test_predictions_are_in_the_order_of_the_test_part(swept):
    run, table = swept
    frame = run.predictions()
    assert frame.columns.tolist() == ["label", *(f"w{width}" for width in table["width"])]
    assert np.array_equal(frame["label"], run.dataset.test.y)
    for width in (int(table["width"].iloc[0]), int(table["width"].iloc[-1])):
        predicted = scores_of(run, path_widths(run.layout, width), run.dataset.test).argmax(1)
        assert np.array_equal(run.predictions(width)[f"w{width}"], predicted)
    assert run.predictions(width).columns.tolist() == ["label", f"w{width}"]


def test_plain_gives_the_same_table(swept, tmp_path):
    run, table = swept
    other = train(run.family, run.dataset, out=tmp_path / "run", recipe=RECIPES["paper"], progress=False)
    assert other.record.weights_sha256 == run.record.weights_sha256
    plain = sweep(other, plain=True, latency=False, progress=False)
    for name in table.columns:
        if "loss" in name:
            assert np.allclose(plain[name], table[name], rtol=1e-4)
        elif name == "per_class_accuracy":
            assert np.array_equal(np.stack(plain[name]), np.stack(table[name]))
        else:
            assert plain[name].tolist() == table[name].tolist()
    assert other.predictions().equals(run.predictions())


def test_a_class_without_a_test_example_is_not_a_number(tmp_path):
    x, y = clusters(n=90)
    data = from_arrays(x[y >= 0], y, test_arrays=(x[y != 1][:12], y[y != 1][:12]))
    run = train(FAMILIES["chain"](), data, out=tmp_path / "run", recipe=RECIPES["paper"], progress=False)
    by_class = np.stack(sweep(run, latency=False, progress=False)["per_class_accuracy"])
    assert np.isnan(by_class[:, 1]).all()
    assert np.isfinite(by_class[:, [0, 2]]).all()
    assert run.class_counts().tolist() == [6, 0, 6], "and its count tells why"


def test_more_classes_than_a_byte_holds(tmp_path):
    classes = 300
    x = np.eye(classes, dtype=np.float32)
    split = Split(x=x, y=np.arange(classes))
    data = Dataset(
        name="many", task="classification", train=split, validation=split, test=split, source="",
        labels=tuple(map(str, range(classes))), input=InputFormat(kind="array", shape=(classes,), dtype="float32"),
    )  # fmt: skip
    family = Family(lambda h: nn.Sequential(nn.Linear(classes, h), nn.ReLU(), nn.Linear(h, classes)), h=40)
    chosen = recipe("sandwich", epochs=40, lr=0.05, batch_size=100)
    run = train(family, data, out=tmp_path / "run", recipe=chosen, progress=False)
    table = sweep(run, widths=[20, 40], latency=False, progress=False)
    predicted = run.predictions(40)
    assert predicted["w40"].max() > 255
    assert predicted["label"].tolist() == list(range(classes))
    assert table["accuracy"].iloc[-1] == pytest.approx((predicted["w40"] == predicted["label"]).mean())


class Shared(nn.Module):
    """The same layer twice: one parameter under two names."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.first, self.middle, self.last = nn.Linear(6, hidden), nn.Linear(hidden, hidden), nn.Linear(hidden, 3)
        self.again = self.middle

    def forward(self, x):
        return self.last(self.again(self.middle(self.first(x).relu()).relu()).relu())


@given(hnp.arrays(np.float64, st.tuples(st.integers(1, 40), st.integers(1, 6)), elements=st.floats(0, 9)))
@tries(60)
def test_the_paired_difference_is_that_of_the_same_examples(scores):
    means, errors = against_last(scores)
    difference = scores - scores[:, -1:]
    assert means == pytest.approx(difference.mean(0), abs=1e-12)
    assert means[-1] == errors[-1] == 0
    if len(scores) > 1:
        assert errors == pytest.approx(difference.std(0, ddof=1) / np.sqrt(len(scores)), abs=1e-12)
    else:
        assert errors == pytest.approx(np.abs(difference[0]))


@pytest.mark.parametrize("kind", ["stratified", "distil"])
def test_shared_layers(tmp_path, kind):
    run = train(Family(Shared, hidden=6), small_data(), out=tmp_path / "run", recipe=RECIPES[kind], progress=False)
    weights = run.weights()
    assert np.array_equal(weights["middle.weight"], weights["again.weight"])
    table = sweep(run, latency=False, progress=False)
    small = Shared(4)
    small.load_state_dict({name: torch.from_numpy(value) for name, value in run.slice(hidden=4).items()})
    assert table["params"].iloc[3] == sum(p.numel() for p in small.parameters())
    with torch.no_grad():
        right = (small(torch.from_numpy(run.dataset.test.x)).argmax(-1).numpy() == run.dataset.test.y).mean()
    assert table["accuracy"].iloc[3] == pytest.approx(right)


def test_wide_families_get_a_log_spaced_subset(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.import_module("core.sweep.sweep"), "WIDTHS_OF_OTHERS", 6)
    family = Family(lambda h: Residual(h, 2), h=64)
    run = train(family, small_data(), out=tmp_path / "run", recipe=RECIPES["paper"], progress=False)
    table = sweep(run, latency=False, progress=False)
    widths = table["width"].to_numpy()
    assert (widths[0], widths[-1]) == (1, 64)
    assert 4 <= len(widths) <= 6
    assert np.diff(np.log(widths)).max() < 2 * np.log(64) / 5
