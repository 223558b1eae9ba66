"""A run that can't be read is told with one sentence, and takes no other down."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file, save_file

from core import Run, RunError, UserError
from core.__main__ import main
from core.runs.store import BrokenRun
from core.utils import files
from core.utils.parquet import write_table
from tests.helpers.store import edit, read_all

REPOSITORY = Path(__file__).resolve().parents[2]


def drop_tensor(path: Path) -> None:
    state = load_file(path / "model.safetensors")
    del state["0.weight"]
    save_file(state, path / "model.safetensors")


BREAKS = {
    "newer schema": (lambda path: edit(path, lambda r: r.update(schema=2)), "schema 2, this version reads up to 1"),
    "weights with a tensor missing": (drop_tensor, "lacks tensor '0.weight'"),
    "run.json cut short": (
        lambda path: (path / "run.json").write_bytes((path / "run.json").read_bytes()[:-40]), "run.json is not JSON"
    ),
    "no run.json": (lambda path: (path / "run.json").unlink(), "holds no run.json"),
    "no weights": (lambda path: (path / "model.safetensors").unlink(), "model.safetensors is missing"),
    "weights cut short": (
        lambda path: os.truncate(path / "model.safetensors", 300), "model.safetensors is not a readable"
    ),
    "run.json of a list": (lambda path: (path / "run.json").write_text("[1]"), "has no schema version"),
    "run.json of another": (lambda path: (path / "run.json").write_text('{"name": "x"}'), "has no schema version"),
    "unknown task": (lambda path: edit(path, lambda r: r.update(task="poetry")), "task 'poetry' is not known"),
    "deeply nested": (lambda path: (path / "run.json").write_text('{"schema":' + "[" * 10**5), "is not JSON"),
    "not text": (lambda path: (path / "run.json").write_bytes(b"\xff\xfe\x00\xd8" * 9), "is not JSON"),
    "huge number": (lambda path: (path / "run.json").write_text('{"schema": 1' + "0" * 5000 + "}"), "run.json"),
    "a pipe": (
        lambda path: ((path / "run.json").unlink(), os.mkfifo(path / "run.json")), "run.json is no regular file"
    ),
    "a folder": (lambda path: ((path / "run.json").unlink(), (path / "run.json").mkdir()), "no regular file"),
    "weights that are a pipe": (
        lambda path: ((path / "model.safetensors").unlink(), os.mkfifo(path / "model.safetensors")), "no regular file"
    ),
}  # fmt: skip


@pytest.mark.parametrize("how", BREAKS)
def test_each_way_has_its_sentence(put, how):
    path = put("a")
    spoil, reason = BREAKS[how]
    spoil(path)
    with pytest.raises(RunError) as told:
        Run(path)
    assert reason in str(told.value)
    assert len(str(told.value).splitlines()) == 1


def test_good_and_broken_runs_side_by_side(store, put, capsys):
    """As on the command line: the good ones with their figures, the others with the reason."""
    for name in ("good-1", "good-2", "good-3"):
        put(name)
    for name, how in (("bad-1", "newer schema"), ("bad-2", "weights with a tensor missing"), ("bad-3", "no run.json")):
        BREAKS[how][0](put(name))
    (put("no-metrics") / "metrics.parquet").write_text("not a table")
    found = list(store.list())
    assert [run.id for run in found if isinstance(run, BrokenRun)] == ["bad-1", "bad-2", "bad-3"]
    good = [run for run in found if isinstance(run, Run)]
    assert [run.id for run in good] == ["good-1", "good-2", "good-3", "no-metrics"]
    assert all(len(run.metrics()) == 8 for run in good[:3])
    assert main(["list", str(store.folder)]) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    lines = shown.out.splitlines()
    assert len(lines) == 7
    assert ["can't be read" in line for line in lines] == [True] * 3 + [False] * 4
    assert "metrics.parquet is not a readable parquet file" in lines[-1]


@pytest.mark.parametrize("content", [b"", b"not a table", b"PAR1" + b"x" * 100 + b"PAR1"])
def test_metrics_that_are_no_table_on_the_command_line(put, content):
    """One line and status 2, in a process of its own."""
    path = put("a")
    (path / "metrics.parquet").write_bytes(content)
    done = subprocess.run(
        [sys.executable, "-m", "core", "show", str(path)], cwd=REPOSITORY, capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert "metrics.parquet is not a readable parquet file" in done.stderr
    assert f"python -m core sweep {path}" in done.stderr


def test_a_file_that_is_too_large_is_not_read(put, monkeypatch):
    path = put("a")
    with open(path / "run.json", "wb") as file:
        file.truncate(files.MAX_JSON_BYTES + 1)  # takes no room on the disk
    monkeypatch.setattr(Path, "read_bytes", None)
    with pytest.raises(RunError, match=r"run\.json has 8,388,609 bytes, more than the 8,388,608"):
        Run(path)


def test_a_table_that_is_too_large_is_not_read(put):
    run = Run(put("a"))
    os.truncate(run.path / "metrics.parquet", 2**32)
    with pytest.raises(RunError, match=r"4,294,967,296 bytes, more than the 2,147,483,648"):
        run.metrics()


def table_of(path: Path, change) -> None:
    frame = change(Run(path).metrics())
    write_table(path / "metrics.parquet", frame, {})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda f: f.drop(columns="bytes"), "lacks bytes"),
        (lambda f: f.drop(columns=["n", "accuracy"]), "lacks n, accuracy"),
        (lambda f: f.iloc[:0], "one row for each"),
        (lambda f: pd.concat([f.iloc[1:], f.iloc[1:2]]), "one row for each"),
        (lambda f: f.assign(width=f["width"] + 1), "widths from 1 to 8"),
        (lambda f: f.assign(width=f["width"] - 0.5), "widths from 1 to 8"),
        (lambda f: f.assign(width=f["width"].astype(str)), "other than numbers in column 'width'"),
        (lambda f: f.assign(accuracy=float("nan")), "other than numbers in column 'accuracy'"),
        (lambda f: f.assign(accuracy=None), "other than numbers in column 'accuracy'"),
        (lambda f: f.assign(params=[[1]] * len(f)), "other than numbers in column 'params'"),
        (lambda f: f.assign(n=True), "other than numbers in column 'n'"),
        (lambda f: f.assign(macs=pd.Timestamp("2020")), "other than numbers in column 'macs'"),
    ],
)
def test_tables_of_the_wrong_kind(put, change, reason):
    path = put("a")
    table_of(path, change)
    with pytest.raises(RunError, match=reason) as told:
        Run(path).metrics()
    assert str(told.value).endswith(f"make it again with: python -m core sweep {path}")


def test_rows_may_come_in_any_order(put):
    path = put("a")
    first = Run(path).metrics()
    table_of(path, lambda frame: frame.iloc[::-1])
    assert Run(path).metrics().equals(first)


def test_a_width_that_was_not_validated(put):
    with pytest.raises(RunError, match="lacks w99"):
        Run(put("a")).predictions(1, 99)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda e: e.pop("y"), "holds index, x"),
        (lambda e: e.update(extra=e["y"]), "holds extra, index, x, y"),
        (lambda e: e.update(y=e["y"][:-1]), "is not what run.json describes"),
        (lambda e: e.update(y=e["y"] + 3), "y is not one of 3 labels"),
        (lambda e: e.update(y=e["y"].astype("float32")), "y is not one of 3 labels"),
        (lambda e: e.update(x=e["x"][:, :5]), r"needed are n of float32 \(6,\)"),
        (lambda e: e.update(x=e["x"].astype("float64")), r"x is float64"),
        (lambda e: e.update(x=e["x"][0, 0]), "is not what run.json describes"),
    ],
)
def test_examples_of_the_wrong_kind(put, change, reason):
    path = put("a")
    state = load_file(path / "examples.safetensors")
    change(state)
    save_file({name: np.array(value) for name, value in state.items()}, path / "examples.safetensors")
    with pytest.raises(RunError, match=reason):
        Run(path).examples()


def test_a_recipe_of_another_version_is_still_a_run(put):
    """What a recipe did is in the weights and the scale, so its name need not be known."""
    path = put("a")
    edit(path, lambda plain: plain.update(recipe={"name": "of-tomorrow", "epochs": 3, "waves": [1, 2]}))
    assert read_all(path).record.recipe["name"] == "of-tomorrow"


def test_the_whole_run_can_be_read(put):
    assert read_all(put("a"))
    with pytest.raises(UserError, match="'third' does not exist"):
        Run(put("b")).slice(third=1)
