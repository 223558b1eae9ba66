"""The same seed gives the same bits; stopping and resuming changes none of them; nothing around it is changed."""

from __future__ import annotations

import random
import signal
from pathlib import Path

import numpy as np
import pytest
import torch

from core import train
from core.elastic.fast_mlp import elastic_mlp
from core.train import loop
from core.utils.signals import Interrupted
from tests.helpers.training import RECIPES, left_in, small_data, small_family, told, weights_of

FAMILIES = {"chain": small_family(), "dropout": small_family(dropout=True)}


def run_at(out: Path, kind: str, family: str = "chain", **settings):
    return train(FAMILIES[family], small_data(), out=out, recipe=RECIPES[kind], progress=False, **settings)


def stop_after(monkeypatch, calls: int) -> None:
    """Ctrl-C during the given step."""
    real, seen = loop.train_step, []

    def step(*args):
        seen.append(1)
        if len(seen) == calls:
            signal.raise_signal(signal.SIGINT)
        return real(*args)

    monkeypatch.setattr(loop, "train_step", step)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", RECIPES)
def test_seed_decides_every_bit(tmp_path, kind, family):
    runs = [run_at(tmp_path / str(k), kind, family, seed=seed) for k, seed in enumerate((5, 5, 6))]
    assert weights_of(runs[0]) == weights_of(runs[1])
    assert told(runs[0]) == told(runs[1])
    assert weights_of(runs[0]) != weights_of(runs[2])


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", RECIPES)
def test_resumed_equals_uninterrupted(tmp_path, monkeypatch, kind, family):
    monkeypatch.setattr(
        elastic_mlp, "MIN_RESTART_STEPS", 1
    )  # so that in few steps too all starts but one are dropped on the way
    whole = run_at(tmp_path / "whole", kind, family)
    steps_an_epoch = whole.record.data["train_n"] // 24
    chosen = round(elastic_mlp.RESTARTS_SHARE * 3 * steps_an_epoch)
    assert 1 < chosen < steps_an_epoch + 2
    # in an epoch, as the starts of bands come down to one, at an epoch's very end, at the very end of all
    for stop in sorted({1, chosen, chosen + 1, steps_an_epoch, steps_an_epoch + 2, 3 * steps_an_epoch}):
        out = tmp_path / f"stopped{stop}"
        with monkeypatch.context() as patch:
            stop_after(patch, stop)
            with pytest.raises(Interrupted, match=f"after {stop} of {3 * steps_an_epoch} steps.*--resume"):
                run_at(out, kind, family)
        assert not out.exists()
        resumed = run_at(out, kind, family, resume=True)
        assert weights_of(resumed) == weights_of(whole)
        assert told(resumed) == told(whole)
        assert not out.with_name(out.name + ".unfinished").exists()


def test_stopped_again_and_again(tmp_path, monkeypatch):
    monkeypatch.setattr(elastic_mlp, "MIN_RESTART_STEPS", 1)
    whole = run_at(tmp_path / "whole", "stratified", "dropout")
    stops = 0
    while True:
        with monkeypatch.context() as patch:
            stop_after(patch, 1 + stops % 3)
            try:
                resumed = run_at(tmp_path / "again", "stratified", "dropout", resume=True)
                break
            except Interrupted:
                stops += 1
    assert stops >= 5
    assert weights_of(resumed) == weights_of(whole)
    assert told(resumed) == told(whole)


def test_resume_with_nothing_to_resume_starts(tmp_path):
    assert weights_of(run_at(tmp_path / "a", "paper", resume=True)) == weights_of(run_at(tmp_path / "b", "paper"))


def test_resume_of_a_finished_run_only_opens_it(tmp_path, monkeypatch):
    first = run_at(tmp_path / "a", "paper")
    monkeypatch.setattr(loop, "train_step", None)  # a step would fail
    again = run_at(tmp_path / "a", "paper", resume=True)
    assert told(again) == told(first)
    assert again.family is FAMILIES["chain"]
    assert again.dataset is not None


def test_resume_and_overwrite_start_where_there_is_nothing_to_resume(tmp_path):
    whole = run_at(tmp_path / "whole", "paper", seed=2)
    run_at(tmp_path / "a", "paper", seed=1)
    assert weights_of(run_at(tmp_path / "a", "paper", seed=2, resume=True, overwrite=True)) == weights_of(whole)
    assert told(run_at(tmp_path / "a", "paper", seed=np.int64(2), resume=True)) == told(whole)


def test_weights_do_not_hang_on_when_checkpoints_are_written(tmp_path, monkeypatch):
    rarely = run_at(tmp_path / "rarely", "stratified", "dropout")
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    assert weights_of(run_at(tmp_path / "often", "stratified", "dropout")) == weights_of(rarely)
    assert left_in(tmp_path) == ["often", "rarely"]


def test_nothing_around_a_training_is_changed(tmp_path):
    torch.manual_seed(3)
    np.random.seed(3)
    random.seed(3)
    threads, handlers = torch.get_num_threads(), [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    default_type, grad = torch.get_default_dtype(), torch.is_grad_enabled()
    run_at(tmp_path / "a", "distil", "dropout")
    assert torch.rand(4).equal(torch.manual_seed(3) and torch.rand(4))
    after = np.random.rand(4)
    np.random.seed(3)
    assert np.array_equal(after, np.random.rand(4))
    drawn = random.random()
    random.seed(3)
    assert drawn == random.random()
    assert torch.get_num_threads() == threads
    assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)] == handlers
    assert (torch.get_default_dtype(), torch.is_grad_enabled()) == (default_type, grad)


def test_random_state_outside_does_not_matter(tmp_path):
    torch.manual_seed(1)
    first = run_at(tmp_path / "a", "stratified", "dropout")
    torch.manual_seed(2)
    torch.rand(10)
    assert weights_of(run_at(tmp_path / "b", "stratified", "dropout")) == weights_of(first)


def test_handlers_are_put_back_after_an_error(tmp_path, monkeypatch):
    handlers = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    stop_after(monkeypatch, 2)
    with pytest.raises(Interrupted):
        run_at(tmp_path / "a", "paper")
    assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)] == handlers


def test_training_outside_the_main_thread(tmp_path):
    """Signals reach the main thread alone, so another must not try to listen; the result is the same."""
    import threading

    found = []
    worker = threading.Thread(target=lambda: found.append(run_at(tmp_path / "a", "paper")))
    worker.start()
    worker.join()
    assert weights_of(found[0]) == weights_of(run_at(tmp_path / "b", "paper"))
