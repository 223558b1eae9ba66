"""From a trained model: its features by importance, its output unchanged, and a training that starts from there."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F

from core import Family, LayoutError, RunError, UserError, train
from core.data import load
from core.elastic.recipes.registry import recipe
from core.utils.fingerprint import fingerprint
from core.utils.signals import Interrupted
from tests.helpers.family import Attention, Gated, Recurrent, Residual, Tied, batch_normed, conv, mlp, randomise
from tests.helpers.training import small_data, small_family, told, weights_of

VECTORS = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
FAMILIES = {
    "mlp": (lambda: Family(lambda a, b: mlp([5, a, b, 3]), a=8, b=6), VECTORS),
    "residual": (lambda: Family(Residual, stream=6, inner=10), VECTORS),
    "conv": (lambda: Family(conv, channels=4), torch.randn(6, 1, 14, 14)),
    "batch norm": (lambda: Family(batch_normed, channels=5), torch.randn(6, 1, 9, 9)),
    "gate": (lambda: Family(Gated, hidden=6), VECTORS),
    "recurrent": (lambda: Family(Recurrent, hidden=6), torch.randn(6, 3, 5)),
    "tied": (lambda: Family(Tied, hidden=6), torch.randint(0, 7, (6, 4))),
}


@pytest.mark.parametrize("by", ["norm", "gradient"])
@pytest.mark.parametrize(("make", "x"), FAMILIES.values(), ids=FAMILIES)
def test_the_output_stays_and_the_order_is_by_importance(make, x, by):
    family = make()
    family.check(x)
    model = randomise(family.build())
    model.eval()
    before = model(x)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    targets = torch.arange(6) % 3 if before.dim() == 2 else torch.rand_like(before)
    batch = (x, targets) if by == "gradient" else None
    ordered = family.order(state, by, batch=batch)
    for name, value in model.state_dict().items():
        assert torch.equal(value, state[name])  # what was given is left alone
    model.load_state_dict(ordered)
    torch.testing.assert_close(model(x), before, rtol=1e-5, atol=1e-5 * float(before.detach().abs().max()))
    again = family.order(ordered, by, batch=batch)
    for name, value in again.items():
        torch.testing.assert_close(value, ordered[name])


def test_importance_by_hand():
    family = Family(lambda h: mlp([2, h, 1], bias=False), h=3)
    state = {
        "0.weight": torch.tensor([[1.0, 0.0], [0.0, 3.0], [2.0, 0.0]]),
        "2.weight": torch.tensor([[3.0, 1.0, 2.0]]),
    }
    # squares: 1 + 9, 9 + 1, 4 + 4; equals keep their order
    assert family.order(state)["2.weight"].tolist() == [[3.0, 1.0, 2.0]]
    # on x = (1, 0) the second feature is never active: it matters to no loss
    ordered = family.order(
        state, "gradient", batch=(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0]])), task="regression"
    )
    assert ordered["2.weight"].tolist() == [[2.0, 3.0, 1.0]]


@pytest.mark.parametrize("by", ["norm", "gradient"])
def test_narrow_slices_of_an_ordered_model_are_better(by):
    """Digits, a plain model trained as ever: mean accuracy over the narrower widths."""
    data = load("digits")
    torch.manual_seed(0)
    x, y = (torch.from_numpy(np.ascontiguousarray(part)) for part in (data.train.x, data.train.y))
    x = x.float().flatten(1) / 16
    family = Family(lambda hidden: mlp([64, hidden, 10]), hidden=64)
    model = family.build()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01, weight_decay=1e-4)
    for _ in range(60):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    test_x = torch.from_numpy(data.test.x).float().flatten(1) / 16

    def narrow(state) -> float:
        right = []
        for width in (4, 8, 16, 32):
            small = family.build(hidden=width)
            small.load_state_dict(family.slice(state, hidden=width))
            right.append((small(test_x).argmax(-1).numpy() == data.test.y).mean())
        return float(np.mean(right))

    ordered = family.order(model.state_dict(), by, batch=(x[:500], y[:500]))
    assert narrow(ordered) > narrow(model.state_dict()) + 0.05


REFUSED = {
    "no mapping": ([1], {}, "the weights are a list"),
    "strange name": ({"other": torch.zeros(1)}, {}, "the weights hold 'other'"),
    "wrong shape": (
        {"0.weight": torch.zeros(3, 5)},
        {},
        r"'0\.weight' of shape \(3, 5\), the full model needs \(8, 5\)",
    ),
    "no tensor": ({"0.weight": "x"}, {}, "a str under '0.weight'"),
    "not finite": ({"0.weight": torch.full((8, 5), torch.nan)}, {}, "not finite"),
    "whole numbers": ({"0.weight": torch.zeros(8, 5, dtype=torch.int64)}, {}, "of torch.int64"),
    "one lacking": ({"0.weight": torch.zeros(8, 5)}, {}, r"the weights lack '0\.bias'"),
    "unknown order": ({}, {"by": "size"}, "choose one of norm, gradient"),
    "no examples": ({}, {"by": "gradient"}, "needs examples"),
}


@pytest.mark.parametrize(("state", "how", "words"), REFUSED.values(), ids=REFUSED)
def test_weights_that_are_not_the_models_are_one_sentence(state, how, words):
    with pytest.raises(UserError, match=words) as error:
        Family(lambda h: mlp([5, h, 3]), h=8).order(state, **how)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("batch", "words"),
    [
        ((VECTORS, torch.arange(5)), "the same number of examples"),
        (VECTORS, "give inputs and targets"),
        ((torch.randn(3, 7), torch.arange(3)), "can't run on the example input"),
        ((VECTORS, torch.arange(6)), "has no gradient"),
    ],
)
def test_a_batch_that_does_not_fit_is_one_sentence(batch, words):
    family = Family(lambda h: mlp([5, h, 3]), h=8)
    with pytest.raises(UserError, match=words):
        family.order(family.build().state_dict(), "gradient", batch=batch)


def test_a_layout_that_nobody_has_checked_orders_nothing():
    family = Family(Attention, heads=3)
    state = family.build().state_dict()
    with pytest.raises(UserError, match="has not been checked"):
        family.order(state)
    with pytest.raises(LayoutError):
        Family(Attention, heads=3).declare("*").order(state, batch=(torch.randn(2, 4, 8), torch.zeros(2)))


FEW = recipe("stratified", epochs=2, batch_size=24, lr=1e-12)  # as good as no training at all


@pytest.mark.parametrize("order", [None, "norm", "gradient"])
def test_a_training_starts_from_given_weights(tmp_path, order):
    family, data = small_family(), small_data()
    torch.manual_seed(3)
    save_file(family.build().state_dict(), tmp_path / "trained.safetensors")
    start = load_file(tmp_path / "trained.safetensors")
    run = train(family, data, out=tmp_path / "run", recipe=FEW, progress=False, start=start, order=order)
    sha256 = fingerprint({name: value.numpy() for name, value in start.items()})
    assert json.loads((run.path / "run.json").read_text())["training"]["start"] == {"sha256": sha256, "order": order}
    given, trained = family.build(), family.build()
    given.load_state_dict(start)
    trained.load_state_dict({name: torch.from_numpy(value) for name, value in run.weights().items()})
    x = torch.from_numpy(data.test.x)
    torch.testing.assert_close(trained(x), given(x), rtol=1e-4, atol=1e-4)
    same = all(torch.allclose(trained.state_dict()[name], value) for name, value in start.items())
    assert same == (order is None)


def test_an_interrupted_training_from_weights_goes_on(tmp_path, monkeypatch):
    from core.train.loop import Training

    family, data = small_family(), small_data()
    start = nn.Module.state_dict(family.build())
    how = {"recipe": recipe("stratified", epochs=3, batch_size=24), "progress": False, "start": start, "order": "norm"}
    whole = train(family, data, out=tmp_path / "whole", **how)
    run_all = Training.run
    monkeypatch.setattr(Training, "run", lambda self, stopped: run_all(self, lambda: self.state.step >= 5))
    with pytest.raises(Interrupted, match="nothing is lost"):
        train(family, data, out=tmp_path / "run", **how)
    monkeypatch.undo()
    with pytest.raises(RunError, match="other settings, data or seed"):
        train(family, data, out=tmp_path / "run", resume=True, **{**how, "order": None})
    resumed = train(family, data, out=tmp_path / "run", resume=True, **how)
    assert weights_of(resumed) == weights_of(whole)
    assert told(resumed) == told(whole)
    with pytest.raises(RunError, match="finished run with another start"):
        train(family, data, out=tmp_path / "run", resume=True, **{**how, "start": None, "order": None})


def test_an_order_of_nothing_is_refused(tmp_path):
    with pytest.raises(UserError, match="no weights to order"):
        train(small_family(), small_data(), out=tmp_path / "run", order="norm", progress=False)
    assert not any(tmp_path.iterdir())
