"""Lists of runs to choose from stay short, however many runs there are."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from app import runs_table
from app.summary import READY, Summary


@given(st.lists(st.integers(0, 10**6), unique=True, max_size=300), st.data())
def test_names_to_choose_from_are_few_and_hold_the_chosen_one(numbers: list[int], data: st.DataObject) -> None:
    runs = [Summary(id=f"run-{number}", state=READY) for number in numbers]
    chosen = data.draw(st.none() | st.sampled_from([run.id for run in runs])) if runs else None
    names = runs_table.named(runs, chosen)
    assert len(names) <= runs_table.MOST_NAMES + 1
    assert len(set(names)) == len(names)
    assert names == sorted(names, key=str.casefold)
    assert chosen is None or chosen in names
    assert len(runs) > runs_table.MOST_NAMES or set(names) == {run.id for run in runs}
