"""Files that would grow when they are read are refused from their headers, before anything large is in memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core import Run, RunError, UserError
from core.data import from_arrays
from core.data.input_format import LONGEST_NAME, MOST_CHARACTERS, MOST_NAMES
from core.utils.parquet import FREE, MAX_FOOTER, read_note, read_numbers, read_table
from tests.helpers.store import edit

MANY = 3 * 10**6
LITTLE = 32 * 2**20  # bytes


def constant(n: int, value: float = 1.0) -> pa.Array:
    return pa.array(np.full(n, value))


def grown(path: Path, name: str, change: Callable[[pa.Table], pa.Table]) -> Path:
    """Replace a table of the run in `path`; the file stays far smaller than what it stands for."""
    pq.write_table(change(pq.read_table(path / name)), path / name, compression="zstd")
    return path


def repeated(table: pa.Table, rows: int) -> pa.Table:
    return table.take(pa.array(np.zeros(rows, np.int64)))


BOMBS: dict[str, tuple[str, Callable[[pa.Table], pa.Table], str]] = {
    "rows of metrics": ("metrics.parquet", lambda t: repeated(t, 10**5), r"holds 100,000 rows, more than the 8 that"),
    "columns of metrics": (
        "metrics.parquet",
        lambda t: pa.table({**{n: t[n] for n in t.column_names}, **{f"c{k}": constant(8) for k in range(3000)}}),
        r"holds 3,0\d\d columns, more than the 66 that",
    ),
    "figures by label": (
        "metrics.parquet",
        lambda t: t.append_column("l", pa.ListArray.from_arrays([0, *[MANY] * 8], constant(MANY))),
        r"holds 3,000,\d+ values, more than the \d+ that",
    ),
    "rows of predictions": (
        "predictions.parquet", lambda t: repeated(t, MANY), r"holds 3,000,000 rows, more than the 24 that"
    ),
    "columns of predictions": (
        "predictions.parquet",
        lambda t: pa.table({**{n: t[n] for n in t.column_names}, **{f"c{k}": t["label"] for k in range(3000)}}),
        r"holds 3,0\d\d columns, more than the 10 that",
    ),
    "rows of times": ("latency.parquet", lambda t: repeated(t, MANY), r"holds 3,000,000 rows, more than the 10,000"),
    "one long text for many rows": (
        "latency.parquet",
        lambda t: repeated(t.set_column(0, "machine", pa.array(["x" * 10**6, "y"]).dictionary_encode()), 9000),
        r"would take \d+,\d+,\d+,\d+ bytes of memory, more than the \d+,\d+,\d+ it may",
    ),
}  # fmt: skip


@pytest.mark.parametrize("how", BOMBS)
def test_a_table_that_grows_is_refused_before_it_is_read(put, how: str) -> None:
    name, change, reason = BOMBS[how]
    run = Run(grown(put("a"), name, change))
    pool, size = pa.default_memory_pool(), (run.path / name).stat().st_size
    assert size < 2**20
    before = pool.max_memory()
    reading = {"metrics.parquet": run.metrics, "predictions.parquet": run.predictions, "latency.parquet": run.latency}
    with pytest.raises(RunError, match=rf"{name} {reason}") as refused:
        reading[name]()
    assert "\n" not in str(refused.value)
    assert pool.max_memory() - before < LITTLE


def test_without_bounds_a_table_may_be_some_times_its_file(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"a": constant(2 * FREE // 8)}), path, compression="zstd")
    for read in (read_table, read_numbers):
        with pytest.raises(RunError, match=r"t\.parquet would take 134,217,728 bytes of memory, more than the 67,108"):
            read(path, ["a"])
    values = np.random.default_rng(0).normal(size=2 * FREE // 8)
    pq.write_table(pa.table({"a": values}), path)
    assert np.array_equal(read_numbers(path, ["a"])[:, 0], values)


def test_a_long_footer_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    path.write_bytes(b"PAR1" + b"\0" * 64 + (MAX_FOOTER + 1).to_bytes(4, "little") + b"PAR1")
    with pytest.raises(RunError, match=r"t\.parquet is not a readable parquet file \(its footer has 16,777,217 bytes"):
        read_table(path)
    assert read_note(path) == {}


def test_a_long_header_of_tensors_is_not_read(put) -> None:
    path = put("a")
    data = (path / "model.safetensors").read_bytes()
    (path / "model.safetensors").write_bytes((2**26).to_bytes(8, "little") + data[8:])
    with pytest.raises(RunError, match=r"model\.safetensors is not a readable .* \(its header has 67,108,864 bytes\)"):
        Run(path)


LABELS = {
    "ten labels of many characters": (["x" * 10**5] * 10, r"one of the labels has 100,000 characters"),
    "a hundred thousand labels": ([str(k) for k in range(10**5)], r"100,000 labels are named; name up to 10,000"),
    "many long labels": (["x" * 999] * 5000, r"the labels have 4,995,000 characters in all; use up to 1,000,000"),
}


@pytest.mark.parametrize("how", LABELS)
def test_labels_are_bounded(put, how: str) -> None:
    path, (labels, reason) = put("a"), LABELS[how]
    edit(path, lambda record: record.update(labels=labels))
    with pytest.raises(RunError, match=rf"^run\.json: {reason}"):
        Run(path)


def columns_of(record: dict, names: list[str]) -> None:
    record["input"].update(kind="table", shape=[len(names)], columns=names)


def widths_of(record: dict) -> None:
    record["layout"]["widths"] |= {f"w{k}": {"full": 2, "lower": 1} for k in range(50_000)}


def bands_of(record: dict) -> None:
    record["scale"]["bands"] = [[k, k] for k in range(300, 0, -1)]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda r: columns_of(r, [str(k) for k in range(20_000)]), r"20,000 columns are named; name up to 10,000"),
        (lambda r: columns_of(r, ["x" * 2000]), r"one of the columns has 2,000 characters; use up to 1,000"),
        (widths_of, r"the layout is damaged: it has 50,002 widths, more than the 1,000 it may"),
        (lambda r: r["layout"]["widths"].update({"x" * 5000: {"full": 2, "lower": 1}}), r".* can't be a name"),
        (bands_of, r"the run's scale has more than 256 bands"),
    ],
)
def test_columns_widths_and_bands_are_bounded(put, change, reason: str) -> None:
    path = put("a")
    edit(path, change)
    with pytest.raises(RunError, match=reason) as refused:
        Run(path)
    assert len(str(refused.value)) < 400


def test_what_could_not_be_read_again_is_not_trained_on() -> None:
    """The same limits where data are made, so that no training ends in a run that can't be opened."""
    x, y = np.zeros((20, 2), np.float32), ["a", "b"] * 10
    with pytest.raises(UserError, match=r"one of the labels has 1,001 characters; use up to 1,000"):
        from_arrays(x, y, labels=["a", "b" * (LONGEST_NAME + 1)])
    with pytest.raises(UserError, match=r"one of the columns has 1,001 characters"):
        from_arrays(x, y, columns=["a", "b" * (LONGEST_NAME + 1)])
    assert MOST_NAMES * LONGEST_NAME > MOST_CHARACTERS
