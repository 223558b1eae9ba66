"""A loss or weights that are no longer finite stop the training; the last good state is kept, and of use."""

from __future__ import annotations

import re

import pytest
import torch

from core import UserError, train
from core.__main__ import main
from core.elastic.recipes.registry import recipe
from core.train import loop
from tests.helpers.training import RECIPES, SETTINGS, left_in, small_data, small_family, told, weights_of


def spoil(monkeypatch, step: int, *, loss: bool) -> None:
    """At the given step the loss, or a weight behind a finite loss, is no number."""
    real, seen = loop.train_step, []

    def spoilt(model, *args):
        result = real(model, *args)
        seen.append(1)
        if len(seen) != step:
            return result
        if loss:
            return result * torch.nan
        with torch.no_grad():
            next(model.parameters())[0, 0] = torch.inf
        return result

    monkeypatch.setattr(loop, "train_step", spoilt)


def run_at(out, **settings):
    # a GPU is asked for its loss now and then, so that it notices some steps later
    settings = {"recipe": RECIPES["stratified"], "progress": False, "device": "cpu", **settings}
    return train(small_family(), small_data(), out=out, **settings)


@pytest.mark.parametrize("often", [True, False])
@pytest.mark.parametrize(("loss", "what"), [(True, "the loss is nan"), (False, "the loss is nan|the weights are no")])
@pytest.mark.parametrize("step", [1, 7, 12])
def test_stops_and_keeps_the_last_good_state(tmp_path, monkeypatch, loss, what, step, often):
    whole = run_at(tmp_path / "whole")
    if often:
        monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    with monkeypatch.context() as patch:
        spoil(patch, step, loss=loss)
        with pytest.raises(UserError, match=f"({what}) .*with learning rate 0.02.*--lr 0.005") as stop:
            run_at(tmp_path / "run")
    noticed = int(re.search(r"at step (\d+)", str(stop.value))[1])
    # every second step is the bands', and a cutoff of one feature may not see a weight
    assert noticed == step if loss else step <= noticed <= step + 6
    assert left_in(tmp_path) == ["run.unfinished", "whole"]
    resumed = run_at(tmp_path / "run", resume=True)  # what was kept is good: it leads to the same weights
    assert weights_of(resumed) == weights_of(whole)


def test_a_smaller_rate_goes_on_from_it(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    with monkeypatch.context() as patch:
        spoil(patch, 6, loss=True)
        with pytest.raises(UserError, match="--resume and a smaller rate"):
            run_at(tmp_path / "run")
    slower = recipe("stratified", whole_batch=False, own_below=0.5, **{**SETTINGS, "lr": 0.005})
    for wrong in (
        {"recipe": recipe("stratified", epochs=3, batch_size=24, lr=0.03, whole_batch=False, own_below=0.5)},
        {"seed": 1},
    ):
        with pytest.raises(UserError, match="other settings, data or seed"):
            run_at(tmp_path / "run", resume=True, **wrong)
    run = run_at(tmp_path / "run", resume=True, recipe=slower)
    assert run.record.recipe["lr"] == 0.005
    assert run.record.training["rates"] == [{"until_step": 5, "lr": 0.02}]
    assert [entry["epoch"] for entry in run.record.training["history"]] == [1, 2, 3]
    again = run_at(tmp_path / "run", resume=True, recipe=slower)
    assert told(again) == told(run)


def test_without_divergence_the_rate_stays(tmp_path, monkeypatch):
    import signal

    from core.utils.signals import Interrupted

    with monkeypatch.context() as patch:
        real = loop.train_step
        patch.setattr(loop, "train_step", lambda *a: (signal.raise_signal(signal.SIGINT), real(*a))[1])
        with pytest.raises(Interrupted):
            run_at(tmp_path / "run")
    with pytest.raises(UserError, match="other settings, data or seed"):
        run_at(tmp_path / "run", resume=True, recipe=recipe("stratified", epochs=3, batch_size=24, lr=0.002))


@pytest.mark.slow
def test_the_message_is_true_on_the_command_line(tmp_path, capsys):
    """A rate that can't work, then what the message says, word by word, until it does."""
    line = f"train --quiet --data digits --hidden 16 --layers 40 --recipe paper --epochs 1 --out {tmp_path / 'run'}"
    asked = ["--lr", "10"]
    statuses = []
    for _ in range(10):
        status = main([*line.split(), *asked])
        error = capsys.readouterr().err
        statuses.append(status)
        if status == 0:
            break
        assert len(error.splitlines()) == 1
        smaller = re.search(r"go on from it with (--resume) and a smaller rate, such as (--lr) ([0-9.e-]+),", error)
        assert smaller, error
        asked = [*smaller.groups()]
    assert statuses == [2] * (len(statuses) - 1) + [0]
    assert len(statuses) > 1
    assert left_in(tmp_path) == ["run"]


def test_starting_again_is_true_as_well(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        spoil(patch, 6, loss=True)
        with pytest.raises(UserError, match="or start again with --overwrite"):
            run_at(tmp_path / "run")
    with pytest.raises(UserError, match=r"--resume.*--overwrite"):
        run_at(tmp_path / "run")
    slower = recipe("stratified", whole_batch=False, own_below=0.5, **{**SETTINGS, "lr": 0.005})
    assert "rates" not in run_at(tmp_path / "run", overwrite=True, recipe=slower).record.training
