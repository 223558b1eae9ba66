"""Columns of a table read as numbers at once: the same numbers as by way of a frame, and the same refusals."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import RunError
from core.utils.parquet import read_numbers, read_table, write_table

NUMBERS = {
    "int64": st.integers(-(2**53), 2**53), "uint8": st.integers(0, 255), "float32": st.floats(width=32),
    "float64": st.floats(),
}  # fmt: skip


@pytest.mark.slow
@given(st.data(), st.lists(st.sampled_from(sorted(NUMBERS)), min_size=1, max_size=5), st.integers(0, 20))
def test_the_same_numbers_as_by_way_of_a_frame(data: st.DataObject, kinds: list[str], rows: int) -> None:
    columns = {
        f"c{k}": data.draw(st.lists(NUMBERS[kind], min_size=rows, max_size=rows)) for k, kind in enumerate(kinds)
    }
    frame = pd.DataFrame(
        {name: np.array(v, dtype=kind) for (name, v), kind in zip(columns.items(), kinds, strict=True)}
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.parquet"
        write_table(path, frame, {})
        wanted = data.draw(st.permutations(sorted(columns)))
        found = read_numbers(path, wanted)
        assert found.shape == (rows, len(wanted))
        np.testing.assert_array_equal(found, read_table(path)[list(wanted)].to_numpy(float))


def test_a_missing_number_is_not_made_up(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    write_table(path, pd.DataFrame({"a": pd.array([1, None, 3], dtype="Int64")}), {})
    np.testing.assert_array_equal(read_numbers(path, ["a"]), [[1], [np.nan], [3]])


@pytest.mark.parametrize(
    ("values", "columns", "told"),
    [
        (["high", "low"], ["a"], "t.parquet holds something other than numbers"),
        ([[1, 2], [3, 4]], ["a"], "t.parquet holds something other than numbers"),
        ([True, False], ["a"], "t.parquet holds something other than numbers"),
        ([1, 2], ["a", "b"], "t.parquet lacks b"),
    ],
)
def test_what_is_no_number_is_refused(tmp_path: Path, values: list, columns: list[str], told: str) -> None:
    path = tmp_path / "t.parquet"
    write_table(path, pd.DataFrame({"a": values}), {})
    with pytest.raises(RunError, match=f"^{told}$"):
        read_numbers(path, columns)


def test_a_file_that_is_no_table_is_refused_in_the_same_words(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    path.write_bytes(b"junk")
    said = []
    for read in (read_table, read_numbers):
        with pytest.raises(RunError) as error:
            read(path, ["a"])
        said.append(str(error.value))
    assert said[0] == said[1]
