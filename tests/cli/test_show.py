"""What `show` and `list` say, and that it is true of the table they read."""

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from core import Run, UserError
from core.sweep.report import reply, run_line, size_table
from core.utils.formatting import printable

SAMPLES = Path(__file__).parents[2] / "sample_checkpoints"


@pytest.fixture(scope="module")
def metrics():
    return Run(SAMPLES / "digits-stratified").metrics()


def answer(core, *budget: object) -> str:
    found = core("show", SAMPLES / "digits-stratified", *budget)
    assert (found.status, found.err) == (0, "")
    return found.out.splitlines()[-1]


def said(row: pd.Series) -> str:
    return f"{row['width']:,} units, {row['params']:,} parameters, "


def test_most_accurate_under_a_size(core, metrics):
    small = metrics[metrics["bytes"] <= 20_000]
    wanted = small.loc[small["validation_accuracy"].idxmax()]
    assert answer(core, "--max-kb", 20).startswith(f"Best model that stays under 20 kB: {said(wanted)}")


def test_smallest_that_keeps_an_accuracy(core, metrics):
    wanted = metrics[metrics["validation_accuracy"] >= 0.9].iloc[0]
    found = answer(core, "--min-accuracy", 0.9)
    assert found.startswith(f"Smallest model that keeps at least 90.0 %: {said(wanted)}")
    assert f"{100 * wanted['accuracy']:.1f} % on 359 test examples (95 % interval " in found
    assert ("it falls short of 90.0 %" in found) == (wanted["accuracy"] < 0.9)


def test_both(core, metrics):
    wanted = metrics[metrics["validation_accuracy"] >= 0.8].iloc[0]
    found = answer(core, "--max-kb", 50, "--min-accuracy", 0.8)
    assert found.startswith(f"Smallest model that keeps at least 80.0 % and stays under 50 kB: {said(wanted)}")


def test_what_no_size_can(core, metrics):
    found = answer(core, "--max-kb", 0.5)
    assert found.startswith("No size here stays under 0.5 kB. The closest is 1 unit, ")
    best = metrics.loc[metrics["validation_accuracy"].idxmax()]
    found = answer(core, "--min-accuracy", 0.9999)
    assert found.startswith(f"No size here keeps at least 99.99 %. The closest is {said(best)}")
    found = answer(core, "--max-kb", 2, "--min-accuracy", 1)
    assert found.startswith("No size here keeps at least 100.0 % and stays under 2 kB. The closest is 2 units, ")


def test_full_size_is_named_so(core, metrics):
    run = Run(SAMPLES / "digits-stratified")
    only = metrics.iloc[[-1]].reset_index(drop=True)
    assert reply(run, only, at_least=0.1).sentence.endswith(", full size.")


def test_a_table_of_a_run_that_lacks_powers_of_two(metrics):
    run = Run(SAMPLES / "digits-stratified")
    few = metrics[metrics["width"].isin([1, 3, 5, 11, 30, 60, 127])].reset_index(drop=True)
    shown = [int(line.split()[0]) for line in size_table(run, few).splitlines()[2:]]
    assert shown == [1, 3, 5, 11, 30, 60, 127]


@pytest.mark.parametrize("column", ["validation_n", "accuracy_low", "validation_accuracy"])
def test_a_table_that_lacks_a_column(metrics, column):
    run, lacking = Run(SAMPLES / "digits-stratified"), metrics.drop(columns=column)
    for use in (lambda: size_table(run, lacking), lambda: reply(run, lacking, max_kb=9)):
        with pytest.raises(UserError, match=rf"metrics\.parquet lacks {column}; make it again with"):
            use()


def test_a_run_that_is_named_by_where_one_stands(core, sample, monkeypatch):
    monkeypatch.chdir(sample)
    assert core("show", ".").out.startswith("digits: accuracy")
    assert core("export", ".", "--width", 3, "--format", "safetensors", "--out", "..").status == 0
    assert (sample.parent / "digits-w3.safetensors").is_file()


def test_list_tells_every_run_and_why_one_is_broken(core, sample):
    store = sample.parent
    for name, text in {"no-json": "{", "newer": json.dumps({"schema": 99}), "list": "[]"}.items():
        (store / name).mkdir()
        (store / name / "run.json").write_text(text)
    (store / "empty").mkdir()
    found = core("list", store)
    assert (found.status, found.err) == (0, "")
    lines = dict(line.split(": ", 1) for line in found.out.splitlines())
    assert sorted(lines) == ["digits", "empty", "list", "newer", "no-json"]
    assert lines["digits"].startswith("digits, stratified, 128 units, ")
    assert all(lines[name].startswith("can't be read: ") for name in ("empty", "list", "newer", "no-json"))
    assert "schema 99" in lines["newer"]


def test_an_empty_store_says_how_to_begin(core, tmp_path):
    found = core("list", tmp_path)
    assert found.status == 0
    assert found.out == f"no runs in {tmp_path} yet; make one with: python -m core train --out {tmp_path}/digits\n"


def test_names_move_no_cursor(core, sample):
    record = json.loads((sample / "run.json").read_text(encoding="utf-8"))
    record["data"]["name"] = "\x1b[2Jgone\nnext: line"
    (sample / "run.json").write_text(json.dumps(record))
    os.mkdir(os.fsencode(sample.parent) + b"/\xff\x1b[31m")
    found = core("list", sample.parent)
    assert found.status == 0
    assert len(found.out.splitlines()) == 2
    assert "\x1b" not in found.out
    found.out.encode()


def test_a_table_of_the_wrong_types_stops_no_list(sample, monkeypatch):
    frame = pd.read_parquet(sample / "metrics.parquet")
    frame["accuracy"] = [f"{a} or so" for a in frame["accuracy"]]
    frame.to_parquet(sample / "metrics.parquet")
    assert run_line(Run(sample)).startswith("digits: digits, stratified: metrics.parquet ")
    monkeypatch.setattr(Run, "metrics", lambda self: frame)
    assert "metrics.parquet can't be used" in run_line(Run(sample))


def test_printable():
    assert printable(" a\tb\r\nc ") == "a b c"
    assert printable("ü \x00 \u202e \ud800 x") == "ü x"
    assert np.all([c == printable(c) for c in "aü|<`"])
