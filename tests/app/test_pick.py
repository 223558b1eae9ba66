"""Pick a size: what the page says is what the parquet says, and a question gets the right answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.report import kilobytes
from tests.helpers_app import (
    copy_run,
    edit_metrics,
    edit_record,
    figure,
    go,
    metrics_of,
    open_page,
    readout,
    slider,
    texts,
    well,
)

SHARED = settings(deadline=None, max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])


@SHARED
@given(data=st.data())
def test_the_page_says_what_the_table_says(digits: Path, data: st.DataObject) -> None:
    run = data.draw(st.sampled_from(["digits-paper", "digits-stratified"]))
    metrics = metrics_of(digits / run)
    width = data.draw(st.sampled_from(metrics["width"].tolist()))
    at = well(open_page(run=run, width=str(width)))
    row, full = metrics[metrics["width"] == width].iloc[0], metrics.iloc[-1]
    shown = readout(at)
    assert shown["value"] == f"{100 * row['accuracy']:.1f} %"
    assert shown["interval"] == f"{100 * row['accuracy_low']:.1f} to {100 * row['accuracy_high']:.1f} %"
    assert (shown["params"], shown["size"]) == (f"{int(row['params']):,}", kilobytes(row["bytes"]))
    points = 100 * (row["accuracy"] - full["accuracy"])
    price = f"{abs(points):.1f} points" if round(points, 9) else "as good as full size"
    assert ("this is full size" if width == full["width"] else price) in shown["change"]
    assert f"{100 * row['accuracy']:.1f} % accuracy in {kilobytes(row['bytes'])}" in texts(at)
    star = figure(at)["data"][-1]
    assert star["x"] == [row["params"]]
    assert star["y"] == pytest.approx([100 * row["accuracy"]])
    assert at.download_button(key="download").label == f"Download {width} unit{'' if width == 1 else 's'}"
    assert (at.query_params["run"], at.query_params["width"]) == (run, str(width))


@SHARED
@given(kb=st.floats(0.1, 200), run=st.sampled_from(["digits-paper", "digits-stratified"]))
def test_a_size_limit_is_kept_or_said_to_be_impossible(digits: Path, kb: float, run: str) -> None:
    metrics = metrics_of(digits / run)
    at = well(open_page(run=run, ask="under", limit=str(kb)))
    inside = metrics[metrics["bytes"] <= kb * 1e3]
    width = slider(at)["width"]
    if inside.empty:
        assert width == metrics["width"].iloc[0], "the closest is the smallest"
        assert "No size here stays under" in texts(at)
        assert "Fits" not in texts(at)
    else:
        best = inside["validation_accuracy"].max()
        assert width == inside[inside["validation_accuracy"] == best]["width"].iloc[0]
        assert "Best model that stays under" in texts(at)
    (shape, *_) = figure(at)["layout"]["shapes"] or [None]
    assert (shape is None) == (len(inside) == len(metrics)), "what is out of the budget is shaded"


@SHARED
@given(percent=st.floats(0.1, 100), run=st.sampled_from(["digits-paper", "digits-stratified"]))
def test_the_smallest_size_that_keeps_the_metric(digits: Path, percent: float, run: str) -> None:
    metrics = metrics_of(digits / run)
    at = well(open_page(run=run, ask="keep", limit=str(percent)))
    good = metrics[metrics["validation_accuracy"] >= percent / 100 - 1e-9]
    if good.empty:
        assert "Out of reach" in texts(at)
        assert "Smallest model" not in texts(at)
    else:
        assert slider(at)["width"] == good["width"].iloc[0]
        assert "Smallest model that keeps at least" in texts(at)
    assert f"limit={percent:.12g}" in "&".join(f"{k}={v}" for k, v in at.query_params.items())


@pytest.mark.parametrize("ask", ["Stay under a file size", "Keep at least a certain accuracy"])
def test_a_question_starts_with_an_answer_that_fits(digits: Path, ask: str) -> None:
    at = open_page(run="digits-stratified")
    recommended = slider(at)["width"]
    at = well(at.radio(key="pick-ask").set_value("under" if "file" in ask else "keep").run())
    assert ask in at.radio(key="pick-ask").options
    assert slider(at)["width"] <= recommended
    assert "No size here" not in texts(at)


def test_the_two_buttons_and_the_question_take_turns(digits: Path) -> None:
    at = open_page(run="digits-stratified", ask="under", limit="5")
    limited = slider(at)["width"]
    at = well(at.radio(key="pick-ask").set_value("choose").run())
    assert slider(at)["width"] == limited, "choosing by hand starts from the answer"
    at = well(next(b for b in at.button if b.label.startswith("Full size")).click().run())
    assert slider(at)["width"] == 128
    assert "The test examples" not in texts(at), "full size is not tested against itself"
    at = well(next(b for b in at.button if b.label.startswith("Recommended")).click().run())
    assert 1 <= slider(at)["width"] < 128
    assert "The test examples" in texts(at)


def test_a_limit_stays_when_another_network_is_chosen(digits: Path) -> None:
    at = open_page(run="digits-stratified")
    at = at.radio(key="pick-ask").set_value("under").run()
    at = well(at.number_input(key="pick-limit-under").set_value(33.5).run())
    at = well(at.selectbox(key="pick-run").set_value("digits-paper").run())
    assert at.number_input(key="pick-limit-under").value == 33.5
    assert at.query_params["run"] == "digits-paper"
    assert metrics_of(digits / "digits-paper").set_index("width").loc[slider(at)["width"], "bytes"] <= 33_500


def test_choices_outlive_a_look_at_the_other_page(digits: Path) -> None:
    at = open_page(run="digits-paper", width="77")
    at = at.toggle(key="pick-whole").set_value(True).run() if at.toggle else at
    at = well(go(go(at, "compare"), "pick"))
    assert (slider(at)["width"], at.query_params["run"]) == (77, "digits-paper")
    at = well(at.radio(key="pick-ask").set_value("keep").run())
    at = at.number_input(key="pick-limit-keep").set_value(81.0).run()
    at = well(go(go(at, "compare"), "pick"))
    assert at.number_input(key="pick-limit-keep").value == 81.0


def test_a_first_visit_opens_the_best_run_on_the_newest_data(digits: Path) -> None:
    newest = copy_run(digits, "digits-stratified", "newest-but-worse")
    edit_record(newest, lambda record: record.update(created="2999-01-01T00:00:00+00:00"))
    edit_metrics(newest, lambda f: f.assign(validation_accuracy=f["validation_accuracy"] / 2))
    other = copy_run(digits, "digits-stratified", "other-data")
    edit_record(other, lambda record: record["data"].update(test_fingerprint="0" * 64))
    edit_metrics(other, lambda f: f.assign(validation_accuracy=np.ones(len(f))))
    at = well(open_page())
    assert at.selectbox(key="pick-run").value == "digits-stratified"
    assert well(open_page()).selectbox(key="pick-run").value == "digits-stratified", "and does so every time"


def test_all_sizes_are_in_view_on_request(digits: Path) -> None:
    at = well(open_page(run="digits-paper"))
    close = figure(at)["layout"]["yaxis"]["range"]
    assert "leaves" in at.toggle(key="pick-whole").label
    at = well(at.toggle(key="pick-whole").set_value(True).run())
    whole = figure(at)["layout"]["yaxis"]["range"]
    assert whole[0] < 100 * metrics_of(digits / "digits-paper")["accuracy_low"].min() < close[0]
    assert at.query_params["axis"] == "whole"
    assert figure(well(open_page(run="digits-paper", axis="whole")))["layout"]["yaxis"]["range"] == whole


def test_the_table_says_the_same_as_the_chart(digits: Path) -> None:
    metrics = metrics_of(digits / "digits-stratified").set_index("width")
    table = well(open_page(run="digits-stratified", width="21")).dataframe[0].value
    assert {1, 21, 64, 128} <= set(table["Units"])
    for _, row in table.iterrows():
        assert row["Accuracy"] == f"{100 * metrics.loc[row['Units'], 'accuracy']:.1f} %"
