"""Lists of runs to choose from stay short, however many runs there are."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.my_runs import table as my_runs_table
from app.store.summary import READY, Summary
from app.widgets.run_picker import MOST_NAMES
from tests.helpers.app import edit_record, open_page, well


@given(st.lists(st.integers(0, 10**6), unique=True, max_size=300), st.data())
def test_names_to_choose_from_are_few_and_hold_the_chosen_one(numbers: list[int], data: st.DataObject) -> None:
    runs = [Summary(id=f"run-{number}", state=READY) for number in numbers]
    chosen = data.draw(st.none() | st.sampled_from([run.id for run in runs])) if runs else None
    names = my_runs_table.named(runs, chosen)
    assert len(names) <= MOST_NAMES + 1
    assert len(set(names)) == len(names)
    assert names == sorted(names, key=str.casefold)
    assert chosen is None or chosen in names
    assert len(runs) > MOST_NAMES or set(names) == {run.id for run in runs}


@pytest.mark.slow
def test_compare_lists_the_newest_runs_and_those_that_are_chosen(digits: Path) -> None:
    sample, count = digits / "digits-paper", MOST_NAMES + 5
    for k in range(count):
        old = digits / f"old-{k:03}"
        old.mkdir()
        for file in sample.iterdir():
            (old / file.name).hardlink_to(file)
        (old / "run.json").unlink()
        shutil.copy(sample / "run.json", old)
        edit_record(old, lambda record, k=k: record.update(created=f"2001-01-01T00:{k // 60:02}:{k % 60:02}+00:00"))
    at = well(open_page("compare", runs="old-000,digits-paper"))
    box = at.multiselect(key="compare-runs")
    assert box.value == ["old-000", "digits-paper"]
    assert len(box.options) == MOST_NAMES + 1
    assert {option.split(" ")[0] for option in box.options} >= {"old-000", "digits-paper", "digits-stratified"}
    assert "the newest are listed" in box.help
    at = well(box.set_value(["old-000", "old-104"]).run())
    assert at.dataframe[0].value["Run"].tolist() == ["old-000", "old-104"]
    at = well(at.multiselect(key="compare-runs").set_value(["old-104", "digits-paper"]).run())
    assert "old-000 (digits)" not in at.multiselect(key="compare-runs").options
