"""What is known is not computed again, what can't be trusted is, and a sweep that was stopped goes on."""

from __future__ import annotations

import shutil
import signal

import numpy as np
import pytest
from pandas.testing import assert_frame_equal
from torch import nn

from core import Family, Run, RunError, UserError, sweep
from core.sweep import evaluator
from core.sweep.evaluator import Evaluator
from core.utils.parquet import write_table
from core.utils.signals import Interrupted
from tests.helpers.training import RECIPES, clusters, left_in, small_data, small_family, small_run


def swept(run, **settings):
    return sweep(run, **{"latency": False, "progress": False, **settings})


@pytest.fixture
def computed(monkeypatch) -> list[list[int]]:
    """The widths of every evaluation."""
    found: list[list[int]] = []
    real = Evaluator.__post_init__
    monkeypatch.setattr(Evaluator, "__post_init__", lambda self: (found.append(list(self.widths)), real(self))[1])
    return found


def test_a_second_sweep_computes_nothing(run, monkeypatch):
    first = swept(run)
    stamps = run.stamp

    def explode(*_: object) -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr(Evaluator, "__post_init__", explode)
    assert_frame_equal(swept(run), first)
    again = Run(run.path)
    assert_frame_equal(swept(again, data=small_data(), family=small_family()), first)
    assert run.stamp == stamps


def test_widths_add_up(run, tmp_path, computed):
    shutil.copytree(run.path, tmp_path / "whole")
    whole = Run(tmp_path / "whole")
    swept(whole, data=small_data(), family=small_family())
    computed.clear()
    assert swept(run, widths=[5, 2, 5])["width"].tolist() == [2, 5]
    assert swept(run, widths=[2])["width"].tolist() == [2]
    assert swept(run, widths=range(4, 7))["width"].tolist() == [4, 5, 6]
    assert computed == [[2, 5, 8], [4, 6, 8]], "full size, 8, is what the others are compared with"
    table = swept(run)
    assert computed == [[2, 5, 8], [4, 6, 8], [1, 3, 7, 8]]
    exact = [name for name in table.columns if "loss" not in name]
    assert_frame_equal(table[exact], whole.metrics()[exact])
    assert np.allclose(table["loss"], whole.metrics()["loss"], rtol=1e-5)
    assert_frame_equal(run.predictions(), whole.predictions())


@pytest.mark.parametrize("widths", [[], [0], [9], [-1], [1, 9], [1.5], ["1"], [True], [None], [[1]], 3])
def test_widths_out_of_range(run, widths):
    with pytest.raises(UserError, match="whole numbers from 1 to 8"):
        swept(run, widths=widths)
    assert not run.has_metrics


def test_other_data_are_refused(run):
    x, y = clusters()
    for data in (small_data(seed=1), (x + 1, y), (x, (y + 1) % 3), (x[:-1], y[:-1])):
        with pytest.raises(UserError, match=r"part is not what run run was trained with .*give the data"):
            swept(run, data=data)
    with pytest.raises(UserError, match="give a Dataset"):
        swept(run, data="digits")
    assert not run.has_metrics
    assert len(swept(run, data=(x, y))) == 8


def test_other_weights_are_validated_anew(run, computed):
    first = swept(run)
    small_run(run.path, seed=5, overwrite=True)
    again = Run(run.path)
    assert not again.has_metrics
    second = swept(again, data=small_data(), family=small_family())
    assert computed == [list(range(1, 9))] * 2
    assert (
        second["accuracy"].tolist() != first["accuracy"].tolist() or second["loss"].tolist() != first["loss"].tolist()
    )
    # tables that another's weights left behind are no answer either
    small_run(run.path.with_name("other"), seed=6)
    other = Run(run.path.with_name("other"))
    for name in ("metrics.parquet", "predictions.parquet"):
        shutil.copy(run.path / name, other.path / name)
    assert swept(other, data=small_data(), family=small_family())["loss"].tolist() != second["loss"].tolist()


def test_weights_that_are_not_those_of_the_record(run):
    path = run.path / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
    with pytest.raises(RunError, match=r"does not hold the weights that run.json describes"):
        swept(run)
    assert not run.has_metrics


@pytest.mark.parametrize("name", ["metrics.parquet", "predictions.parquet"])
@pytest.mark.parametrize("how", ["gone", "empty", "cut short", "garbled", "another's"])
def test_a_damaged_table_is_made_again(run, tmp_path, name, how):
    first = swept(run), run.predictions()
    path = run.path / name
    data = path.read_bytes()
    if how == "another's":
        shutil.copy(run.path / ("predictions.parquet" if name.startswith("m") else "metrics.parquet"), path)
    elif how == "gone":
        path.unlink()
    else:
        middle = bytes(b ^ 0x55 for b in data[4:200])
        path.write_bytes({"empty": b"", "cut short": data[:-9], "garbled": data[:4] + middle + data[200:]}[how])
    with pytest.raises(RunError, match=r"make it (again )?with: python -m core sweep"):
        run.metrics() if name.startswith("m") else run.predictions()
    swept(run)  # as the message says
    assert_frame_equal(run.metrics(), first[0])
    assert_frame_equal(run.predictions(), first[1])


def test_a_table_that_lacks_a_column_is_made_again(run):
    first, note = swept(run), run.note("metrics.parquet")
    for column in first.columns:
        write_table(run.path / "metrics.parquet", first.drop(columns=column), note)
        assert_frame_equal(swept(run), first)


def stop_at(monkeypatch, block: int) -> None:
    real, seen = evaluator._judge, []

    def judge(*args):
        seen.append(1)
        if len(seen) == block:
            signal.raise_signal(signal.SIGINT)
        return real(*args)

    monkeypatch.setattr(evaluator, "_judge", judge)


@pytest.mark.parametrize("block", [1, 5, 6, 7, 12])
def test_stopped_and_continued(run, tmp_path, monkeypatch, block):
    monkeypatch.setattr(evaluator, "CHUNK_ROWS", 4)
    shutil.copytree(run.path, tmp_path / "whole")
    whole = swept(Run(tmp_path / "whole"), data=small_data(), family=small_family())
    rows = run.record.data["validation_n"] + run.record.data["test_n"]
    assert rows == 48
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as patch:
        stop_at(patch, block)
        with pytest.raises(Interrupted, match=f"after {4 * block} of 48 examples; .* python -m core sweep"):
            swept(run)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers
    assert not run.has_metrics
    blocks = []
    real = evaluator._judge
    monkeypatch.setattr(evaluator, "_judge", lambda *a: (blocks.append(1), real(*a))[1])
    assert_frame_equal(swept(run), whole, check_exact=True)
    assert len(blocks) == 12 - block
    assert_frame_equal(run.predictions(), Run(tmp_path / "whole").predictions(), check_exact=True)
    assert left_in(run.path) == left_in(tmp_path / "whole")


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "other widths", "other weights"])
def test_a_damaged_partial_sweep_is_done_again(run, tmp_path, monkeypatch, damage):
    monkeypatch.setattr(evaluator, "CHUNK_ROWS", 4)
    shutil.copytree(run.path, tmp_path / "whole")
    whole = swept(Run(tmp_path / "whole"), data=small_data(), family=small_family())
    with monkeypatch.context() as patch:
        stop_at(patch, 9)
        with pytest.raises(Interrupted):
            swept(run, widths=[1, 2, 3] if damage == "other widths" else None)
    path = run.path / "sweep.partial.safetensors"
    data = path.read_bytes()
    spoilt = {"cut": [data[:-1]], "empty": [b""]}.get(damage, [data])
    if damage == "flip":  # wherever it is, it must neither crash nor show in the result
        spoilt = [data[:k] + bytes([data[k] ^ 4]) + data[k + 1 :] for k in range(9, len(data), len(data) // 40)]
    if damage == "other weights":
        run = small_run(tmp_path / "other", seed=3)
        shutil.copytree(run.path, tmp_path / "whole2")
        whole = swept(Run(tmp_path / "whole2"), data=small_data(), family=small_family())
    for content in spoilt:
        (run.path / "sweep.partial.safetensors").write_bytes(content)
        (run.path / "metrics.parquet").unlink(missing_ok=True)
        assert_frame_equal(swept(run), whole, check_exact=True)
        assert not (run.path / "sweep.partial.safetensors").exists()


def test_after_a_restart(run):
    """Without the factory in memory it has to be given, and be the right one."""
    again = Run(run.path)
    with pytest.raises(UserError, match=r"factory of your own; call sweep\(run, data, family=...\)"):
        swept(again, data=small_data())
    with pytest.raises(UserError, match=r"validated on its data, as in sweep\(run, data\)"):
        swept(again, family=small_family())
    with pytest.raises(RunError, match="its layout differs"):
        swept(again, data=small_data(), family=small_family(hidden=9))

    def another(first: int, second: int) -> nn.Module:
        return nn.Sequential(
            nn.Linear(6, first), nn.Sigmoid(), nn.Linear(first, second), nn.Tanh(), nn.Linear(second, 3)
        )

    with pytest.raises(RunError, match="its scores are not; check its factory's activations"):
        swept(again, data=small_data(), family=Family(another, first=8, second=8))
    assert not again.has_metrics
    assert len(swept(again, data=small_data(), family=small_family())) == 8
    assert len(swept(str(run.path), data=clusters(), family=small_family())) == 8


def test_an_unknown_model(run):
    import json

    plain = json.loads((run.path / "run.json").read_text())
    for family in ({"name": "cnn", "settings": {}}, {"name": "mlp", "settings": {"hidden": "x"}}):
        (run.path / "run.json").write_text(json.dumps({**plain, "family": family}))
        with pytest.raises(UserError, match=r"not known|does not take|hidden|inputs"):
            swept(Run(run.path), data=small_data())


def test_disk_that_is_full(run, monkeypatch):
    import errno
    import os

    def fsync(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = left_in(run.path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        with pytest.raises(RunError, match=r"predictions\.parquet can't be written: No space left on device"):
            swept(run)
    assert left_in(run.path) == before
    assert len(swept(run)) == 8


def test_recipes_are_all_swept(tmp_path):
    for kind in RECIPES:
        table = swept(small_run(tmp_path / kind.replace(" ", "-"), kind))
        assert table["accuracy"].between(0, 1).all()
