"""What can't be trained is refused in one sentence, before a step is done and with nothing lost or left behind."""

from __future__ import annotations

import errno
import os
from unittest import mock

import pytest
from torch import nn

from core import Family, LayoutError, RunError, UserError, train
from core.train import loop
from core.utils import files
from tests.helpers.training import RECIPES, clusters, left_in, small_data, small_family, small_run, weights_of


def run_at(out, family=None, data=None, **settings):
    settings = {"recipe": RECIPES["paper"], "progress": False, **settings}
    return train(family or small_family(), small_data() if data is None else data, out=out, **settings)


def refused(kind: type[Exception], pattern: str, out, *args, **settings) -> None:
    """One sentence, no step, nothing left and nothing lost."""
    before = left_in(out.parent)
    no_step = mock.patch.object(loop, "train_step", side_effect=AssertionError("a step was done"))
    with no_step, pytest.raises(kind, match=pattern) as told:
        run_at(out, *args, **settings)
    assert len(str(told.value).splitlines()) == 1
    assert left_in(out.parent) == before


def two_layers(inputs: int, outputs: int, *more: nn.Module) -> Family:
    return Family(lambda h: nn.Sequential(nn.Linear(inputs, h), nn.ReLU(), nn.Linear(h, outputs), *more), h=6)


def test_outputs_that_are_not_the_labels(tmp_path):
    for outputs in (1, 2, 4):
        refused(UserError, rf"shape \(2, {outputs}\).*3 labels need .*\(2, 3\)", tmp_path / "a", two_layers(6, outputs))
    refused(UserError, r"shape \(2, 3, 1\)", tmp_path / "a", two_layers(6, 3, nn.Unflatten(1, (3, 1))))


@pytest.mark.parametrize(
    ("returned", "came"),
    [
        (lambda y: (y, y), "output is a tuple"),
        (lambda y: {"scores": y}, "output is a dict"),
        (lambda y: None, "output holds no floating-point tensor"),
        (lambda y: y.sum(), r"output has shape \(\)"),
    ],
    ids=["pair", "dict", "nothing", "one number"],
)
def test_output_that_is_no_tensor_of_scores(tmp_path, returned, came):
    class Odd(nn.Module):
        def __init__(self, hidden: int) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(6, hidden), nn.Linear(hidden, 3)

        def forward(self, x):
            return returned(self.last(self.first(x).relu()))

    refused(UserError, came, tmp_path / "a", Family(Odd, hidden=6))


def test_inputs_that_do_not_fit(tmp_path):
    refused(UserError, r"can't be run on examples of shape \(6,\)|example input", tmp_path / "a", two_layers(7, 3))
    refused(UserError, r"can't be run on examples of shape \(6,\)|example input", tmp_path / "a", images_family())


def images_family() -> Family:
    return Family(lambda h: nn.Sequential(nn.Conv2d(1, h, 3), nn.Flatten(), nn.Linear(16 * h, 3)), h=6)


def test_features_that_are_ordered(tmp_path):
    class Ordered(nn.Module):
        def __init__(self, hidden: int) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(6, hidden), nn.Linear(hidden, 3)

        def forward(self, x):
            return self.last(self.first(x).cumsum(-1))

    refused(LayoutError, "not unordered", tmp_path / "a", Family(Ordered, hidden=6))


@pytest.mark.parametrize(
    ("settings", "pattern"),
    [
        ({"device": "tpu"}, "'tpu'.*auto, cpu or cuda"),
        ({"device": ""}, "auto, cpu or cuda"),
        ({"recipe": "dropout"}, "'dropout' is not known"),
        ({"recipe": {"name": "paper"}}, "give a recipe or its name"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": 1.5}, "seed is 1.5"),
        ({"seed": True}, "seed is True"),
        ({"data": "digits"}, "data are a str"),
        ({"data": clusters()[0]}, "data are a ndarray"),
        ({"data": (clusters()[0],)}, "data are a tuple"),
        ({"data": (clusters()[0], clusters()[1][:-1])}, "159 labels"),
    ],
)
def test_settings(tmp_path, settings, pattern):
    refused(UserError, pattern, tmp_path / "a", **settings)


def test_cuda_where_there_is_none(tmp_path, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    refused(UserError, "torch sees no GPU", tmp_path / "a", device="cuda")


@pytest.mark.parametrize("name", ["..", ".hidden", "a b", "a\nb", "é", "x" * 101, "-rf", "run.unfinished"])
def test_names_that_a_run_cannot_have(tmp_path, name):
    refused(UserError, "can't name a run", tmp_path / name)


class TestWhatLiesThereAlready:
    def test_a_run_and_an_unfinished_one(self, tmp_path, monkeypatch):
        run = small_run(tmp_path / "a", "paper")
        weights = weights_of(run)
        refused(RunError, "a exists in .*--overwrite", tmp_path / "a")
        refused(RunError, "another seed", tmp_path / "a", seed=9, resume=True)
        refused(RunError, "another recipe", tmp_path / "a", recipe=RECIPES["distil"], resume=True)
        refused(RunError, "another data", tmp_path / "a", data=small_data(seed=4), resume=True)
        refused(RunError, "another model", tmp_path / "a", small_family(dropout=True), resume=True)
        assert weights_of(run) == weights

        def step(*_: object) -> None:
            raise OSError("the power fails")

        with monkeypatch.context() as patch:
            patch.setattr(loop, "train_step", step)
            with pytest.raises(OSError, match="power"):
                run_at(tmp_path / "b")
        refused(RunError, "unfinished training of b .*--resume", tmp_path / "b")
        refused(RunError, "other settings, data or seed", tmp_path / "b", seed=1, resume=True)
        assert run_at(tmp_path / "b", seed=1, overwrite=True).record.training["seed"] == 1
        assert left_in(tmp_path) == ["a", "b"]

    def test_overwriting_takes_only_runs(self, tmp_path):
        small_run(tmp_path / "store" / "a", "paper")
        (tmp_path / "letters").mkdir()
        (tmp_path / "letters" / "to-mother.txt").write_text("dear")
        (tmp_path / "file").write_text("mine")
        os.symlink(tmp_path / "letters", tmp_path / "link")
        refused(RunError, "holds 'a', which is no part of a run", tmp_path / "store", overwrite=True)
        refused(RunError, "holds 'to-mother.txt', which is no part", tmp_path / "letters", overwrite=True)
        refused(RunError, "no folder of a run", tmp_path / "file", overwrite=True)
        refused(RunError, "no folder of a run", tmp_path / "link", overwrite=True)
        assert left_in(tmp_path / "store") == ["a"]
        assert left_in(tmp_path / "letters") == ["to-mother.txt"]

    def test_damaged_checkpoint(self, tmp_path):
        def stopped(content: bytes | None) -> None:
            folder = tmp_path / "a.unfinished"
            folder.mkdir(exist_ok=True)
            (folder / "checkpoint.safetensors").write_bytes(content)

        stopped(b"")
        refused(RunError, "can't be read.*--overwrite", tmp_path / "a", resume=True)
        stopped((8).to_bytes(8, "little") + b'{"a":{}}' + b"x" * 50)
        refused(RunError, "can't be read.*--overwrite", tmp_path / "a", resume=True)
        assert weights_of(run_at(tmp_path / "a", overwrite=True)) == weights_of(run_at(tmp_path / "b"))


def test_store_that_is_a_file(tmp_path):
    (tmp_path / "store").write_text("mine")
    for name in ("store/a", "store/deep/a"):
        with pytest.raises(RunError, match=r"store .* is not a folder|can't be written"):
            run_at(tmp_path / name)
    assert (tmp_path / "store").read_text() == "mine"


@pytest.mark.skipif(os.geteuid() == 0 if hasattr(os, "geteuid") else True, reason="root may write anywhere")
def test_folder_that_may_not_be_written(tmp_path):
    tmp_path.chmod(0o500)
    try:
        refused(RunError, "can't be written", tmp_path / "a")
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.parametrize("which", ["checkpoint", "run"])
def test_disk_that_is_full(tmp_path, monkeypatch, which):
    """One sentence, no half file; once there is room, the training goes on to what it would have been."""
    whole = run_at(tmp_path / "whole")
    name = "write_bytes" if which == "checkpoint" else "write_new"
    real, calls = getattr(files, name), []

    def write(path, data):
        calls.append(path)
        if len(calls) == 2:
            with open(path, "wb") as file:
                file.write(data[:100])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(path, data)

    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    with monkeypatch.context() as patch:
        if which == "checkpoint":
            patch.setattr("os.fsync", _full_after(5))
        else:
            patch.setattr(files, name, write)
        with pytest.raises(RunError, match="can't be written: No space left on device; make room") as told:
            run_at(tmp_path / "a")
    assert len(str(told.value).splitlines()) == 1
    assert left_in(tmp_path) == ["a.unfinished", "whole"]
    assert left_in(tmp_path / "a.unfinished") == ["checkpoint.safetensors"]
    assert weights_of(run_at(tmp_path / "a", resume=True)) == weights_of(whole)


def _full_after(calls: int):
    real, seen = os.fsync, []

    def fsync(handle: int) -> None:
        seen.append(handle)
        if len(seen) > calls:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(handle)

    return fsync
