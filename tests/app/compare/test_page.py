"""Compare runs: figures side by side at the same size, metric or width, and what the data can tell."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from core.runs.run import Run
from core.tasks.classification import ACCURACY
from core.tasks.statistics import paired_test
from tests.helpers.app import (
    copy_run,
    edit_metrics,
    edit_record,
    field,
    figure,
    go,
    metrics_of,
    open_page,
    slider,
    texts,
    well,
)
from tests.helpers.properties import tries

PAIR = ("digits-paper", "digits-stratified")
SHARED = tries(12, suppress_health_check=[HealthCheck.function_scoped_fixture])


def rows_at(store: Path, at: str, value: float) -> list[pd.Series | None]:
    """What the page must show, worked out anew from the parquet files."""
    found: list[pd.Series | None] = []
    for name in PAIR:
        metrics = metrics_of(store / name)
        if at == "size":
            inside = metrics[metrics["bytes"] <= 1e3 * value].sort_values(
                ["validation_accuracy", "bytes"], ascending=[False, True]
            )
        elif at == "metric":
            inside = metrics[metrics["validation_accuracy"] >= value / 100 - 1e-9]
        else:
            inside = metrics[metrics["width"] == round(value)]
        found.append(None if inside.empty else inside.iloc[0])
    return found


@pytest.mark.slow
@SHARED
@given(data=st.data())
def test_figures_side_by_side(digits: Path, data: st.DataObject) -> None:
    at_what = data.draw(st.sampled_from(["size", "metric", "width"]))
    value = data.draw({"size": st.floats(0.5, 150), "metric": st.floats(5, 100), "width": st.integers(1, 140)}[at_what])
    at = well(open_page("compare", runs=",".join(PAIR), at=at_what, value=str(value)))
    table = at.dataframe[0].value.set_index("Run")
    wanted = rows_at(digits, at_what, value)
    for name, row in zip(PAIR, wanted, strict=True):
        shown = "no size fits" if row is None else f"{100 * row['accuracy']:.1f} %"
        assert table.loc[name, "Accuracy"] == shown
        if row is not None:
            assert table.loc[name, "Units"] == f"{int(row['width'])}"
    verdict(digits, wanted, texts(at))
    markers = [trace for trace in figure(at)["data"] if trace["mode"] == "markers"]
    assert len(markers) == sum(row is not None for row in wanted)
    assert at.query_params["at"] == at_what
    assert float(at.query_params["value"]) == pytest.approx(value)


def verdict(store: Path, rows: list[pd.Series | None], said: str) -> None:
    if any(row is None for row in rows):
        assert "a size that fits" in said
        assert "is better than" not in said
        return
    right = []
    for name, row in zip(PAIR, rows, strict=True):
        frame = Run(store / name).predictions(int(row["width"]))
        right.append((frame["label"] == frame[f"w{int(row['width'])}"]).to_numpy())
    if paired_test(*right) < 0.05:
        best = PAIR[0] if rows[0]["accuracy"] > rows[1]["accuracy"] else PAIR[1]
        assert f"{best} is better than" in said
        assert "No clear difference" not in said
    else:
        assert "No clear difference" in said
        assert "is better than" not in said


def test_it_opens_with_the_run_in_hand_and_the_best_other_on_the_same_data(digits: Path) -> None:
    other = copy_run(digits, "digits-paper", "aaa-other-data")
    edit_record(other, lambda record: record["data"].update(test_fingerprint="0" * 64))
    at = open_page(run="digits-paper")
    at = well(go(at, "compare"))
    assert at.multiselect(key="compare-runs").value == ["digits-paper", "digits-stratified"]


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 3, 4])
def test_up_to_four_runs(digits: Path, count: int) -> None:
    for k in range(3):
        copy_run(digits, "digits-paper", f"more-{k}")
    names = ["digits-paper", "digits-stratified", "more-0", "more-1", "more-2"]
    at = well(open_page("compare", runs=",".join(names[:count])))
    assert len(at.dataframe[0].value) == count
    assert "names more than" not in texts(at)
    at = well(open_page("compare", runs=",".join(names)))
    assert len(at.dataframe[0].value) == 4
    assert "names more than 4 runs" in texts(at)


def test_one_run_alone_is_not_compared(digits: Path) -> None:
    at = well(open_page("compare", runs="digits-paper"))
    assert "Choose at least two runs to compare" in texts(at)
    assert not at.dataframe
    at = well(at.multiselect(key="compare-runs").set_value(["digits-paper", "digits-stratified"]).run())
    assert at.dataframe
    at = well(at.multiselect(key="compare-runs").set_value([]).run())
    assert "Choose at least two" in texts(at)


@pytest.mark.slow
def test_different_test_examples_are_said(digits: Path) -> None:
    edit_record(digits / "digits-paper", lambda record: record["data"].update(test_fingerprint="0" * 64))
    assert "tested on different examples" in texts(well(open_page("compare", runs=",".join(PAIR))))
    for name in PAIR:
        edit_record(digits / name, lambda record: record["data"].pop("test_fingerprint"))
    said = texts(well(open_page("compare", runs=",".join(PAIR))))
    assert "tested on different examples" in said, "two runs that say nothing are not taken for alike"


def test_only_what_differs_is_listed_in_plain_words(digits: Path) -> None:
    table = well(open_page("compare", runs=",".join(PAIR))).table[0].value
    assert table.loc["recipe"].tolist() == ["paper", "stratified"]
    assert "seed" not in table.index
    assert "data" not in table.index
    assert not {"True", "False", "None"} & set(np.ravel(table.to_numpy()))
    assert all(len(str(value)) <= 60 for value in np.ravel(table.to_numpy()))
    twin = copy_run(digits, "digits-paper", "twin")
    assert twin.is_dir()
    at = well(open_page("compare", runs="digits-paper,twin"))
    assert not at.table
    assert "Nothing: same data" in texts(at)
    assert "No clear difference between digits-paper and twin (the figures are the same)" in texts(at)


def test_a_run_without_figures_does_not_take_the_others_down(digits: Path) -> None:
    bad = copy_run(digits, "digits-paper", "bad")
    edit_metrics(bad, lambda f: f.drop(columns="accuracy_high"))
    at = well(open_page("compare", runs="digits-paper,bad,digits-stratified"))
    assert len(at.dataframe[0].value) == 2
    assert "The figures of bad can't be read" in texts(at)
    assert "core sweep" in texts(at)


@pytest.mark.slow
def test_a_table_says_what_the_chart_says(digits: Path) -> None:
    table = well(open_page("compare", runs=",".join(PAIR))).dataframe[1].value
    for name in PAIR:
        rows, known = table[table["Run"] == name], metrics_of(digits / name).set_index("width")
        assert {1, int(known.index[-1])} <= set(rows["Units"]), "from the smallest size to the largest"
        assert rows["Accuracy"].tolist() == [ACCURACY.format(known.loc[w, "accuracy"]) for w in rows["Units"]]


def test_the_winner_can_be_taken(digits: Path) -> None:
    at = well(open_page("compare", runs=",".join(PAIR), at="width", value="9"))
    (link,) = at.page_link
    assert "at 9 units" in link.label
    at = well(go(at, "pick", run="digits-stratified", width="9"))
    assert (slider(at)["width"], at.query_params["run"]) == (9, "digits-stratified")
    at = well(go(at, "compare"))
    assert field(at, "compare-value-width") == 9, "and the comparison is still there"
