"""Tables of single examples: their columns have whatever names a table had, doubled, empty and our own included."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
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
    first = Run(run).examples()["x"]
    shown = table.iloc[:, 4:9].astype(float).to_numpy()
    assert shown.shape[1] == 5
    assert {f"{v:.4g}" for v in shown[:, 0]} <= {
        f"{v:.4g}" for v in pd.Series(first[:, 0]).map(lambda v: float(f"{v:.4g}"))
    }
