"""Tables of single examples: their columns have whatever names a table had, doubled, empty and our own included."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.runs.run import Run
from tests.helpers.app import edit_record, open_page, well


@pytest.mark.parametrize(
    "columns", [["a", "a", "b", "a", "a (2)"], ["", " ", "b", "", "\n"], ["Truth", "Verdict", "Test example", "b", "c"]]
)
def test_columns_of_any_names_are_shown(store: Path, place, columns: list[str]) -> None:
    run = place("numbers")
    edit_record(run, lambda record: record["input"].update(columns=columns))
    at = well(open_page(run="numbers", width="3"))
    (table,) = (t.value for t in at.dataframe if "Test example" in t.value)
    assert table.columns.is_unique
    assert all(name.strip() for name in table.columns)
    stored = {f"{value:.4g}" for value in Run(run).examples()["x"][:, 0]}
    assert table.shape[1] == 4 + 5
    assert set(table.iloc[:, 4]) <= stored
