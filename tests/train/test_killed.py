"""A training that is killed on the spot, again and again, gives what it would have given."""

from __future__ import annotations

import pytest

from core import Run, train
from tests.helpers.killing import lives
from tests.helpers.training import LONG, RECIPES, left_in, small_data, small_family, told, weights_of


@pytest.mark.slow
def test_ten_deaths_change_nothing(tmp_path):
    whole = train(
        small_family(dropout=True), small_data(), out=tmp_path / "whole" / "run", recipe=LONG, progress=False
    )  # fmt: skip
    story = lives("train", tmp_path / "killed", seed=1, deaths=10)
    assert [life["killed"] for life in story] == [True] * 10 + [False]
    run = Run(tmp_path / "killed" / "run")
    assert weights_of(run) == weights_of(whole)
    assert told(run) == told(whole)
    assert left_in(tmp_path / "killed") == ["run"]
    assert left_in(run.path) == left_in(whole.path)


@pytest.mark.slow
def test_an_old_run_stays_until_the_new_one_is_whole(tmp_path):
    out = tmp_path / "killed" / "run"
    settings = {"recipe": RECIPES["stratified"], "progress": False}
    old = train(small_family(), small_data(), out=out, seed=0, **settings)
    new = train(small_family(), small_data(), out=tmp_path / "new", seed=1, **settings)
    before = weights_of(old)
    story = lives("overwrite", out.parent, seed=4, deaths=10)
    assert sum(life["killed"] for life in story) >= 8
    seeds = [life["seed"] for life in story]
    assert set(seeds) <= {0, 1}  # at no moment is there no run, or half of one
    assert all(life["listed"] == ["run"] for life in story)
    assert weights_of(Run(out)) in ({0: before, 1: weights_of(new)}[seeds[-1]],)
    assert story[-1]["killed"] or seeds[-1] == 1
