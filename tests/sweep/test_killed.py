"""A sweep that is killed on the spot, again and again, gives the tables that it would have given."""

from __future__ import annotations

import shutil

import pytest
from pandas.testing import assert_frame_equal

from core import Run, sweep, train
from core.sweep import evaluator
from tests.helpers.killing import lives
from tests.helpers.training import RECIPES, left_in, small_data, small_family


@pytest.mark.slow
def test_ten_deaths_change_nothing(tmp_path, monkeypatch):
    run = train(
        small_family(), small_data(n=600), out=tmp_path / "whole" / "run", recipe=RECIPES["stratified"], progress=False
    )
    shutil.copytree(run.path, tmp_path / "killed" / "run")
    monkeypatch.setattr(evaluator, "CHUNK_ROWS", 4)
    sweep(run, latency=False, progress=False)
    story = lives("sweep", tmp_path / "killed", seed=0, deaths=10)
    assert [life["killed"] for life in story] == [True] * 10 + [False]
    killed = Run(tmp_path / "killed" / "run")
    assert_frame_equal(killed.metrics(), run.metrics(), check_exact=True)
    assert_frame_equal(killed.predictions(), run.predictions(), check_exact=True)
    assert killed.note("metrics.parquet") == run.note("metrics.parquet")
    assert left_in(killed.path) == left_in(run.path)
    assert all(life["listed"] == ["run"] for life in story)  # a run whose sweep died is a run all along
