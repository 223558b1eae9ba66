"""Pick a size: what the page says is what the parquet says, and a question gets the right answer."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from app.store.downloads import HANDED_OVER
from app.words import GLUE
from core.export.formats import export
from core.runs.run import Run
from core.sweep.budget import as_good_as_full, recommended
from core.tasks.classification import ACCURACY
from core.utils.formatting import kilobytes
from tests.helpers.app import (
    ask_for_file,
    button,
    components,
    copy_run,
    edit_metrics,
    edit_record,
    field,
    figure,
    go,
    handed_over,
    metrics_of,
    open_page,
    readout,
    shown_metrics,
    slider,
    texts,
    unfolded,
    well,
)
from tests.helpers.properties import tries


def latency_of(run: Path) -> pd.Series:
    """Time of one prediction by width, as the page takes it."""
    frame = pd.read_parquet(run / "latency.parquet")
    frame = frame[(frame["machine"] == frame["machine"].iloc[-1]) & (frame["batch"] == 1)]
    return frame.set_index("width")["median_ms"]


SHARED = tries(10, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.slow
@SHARED
@given(data=st.data())
def test_the_page_says_what_the_table_says(digits: Path, data: st.DataObject) -> None:
    run = data.draw(st.sampled_from(["digits-paper", "digits-stratified"]))
    metrics = shown_metrics(digits / run)
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
    (left, right), (low, high) = (figure(at)["layout"][f"{axis}axis"]["range"] for axis in "xy")
    assert left + shown["x"] * (right - left) == pytest.approx(np.log10(row["params"]), abs=1e-4)
    if not shown["out"]:
        assert low + shown["y"] * (high - low) == pytest.approx(100 * row["accuracy"], abs=0.03 * (high - low))
    assert shown["out"] == (not low <= 100 * row["accuracy"] <= high)
    assert button(at)["label"] == f"Download {width} unit{'' if width == 1 else 's'}"
    assert (at.query_params["run"], at.query_params["width"]) == (run, str(width))


@pytest.mark.slow
@SHARED
@given(kb=st.floats(0.1, 200), run=st.sampled_from(["digits-paper", "digits-stratified"]))
def test_a_size_limit_is_kept_or_said_to_be_impossible(digits: Path, kb: float, run: str) -> None:
    metrics = shown_metrics(digits / run)
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


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize("ask", ["Stay under a file size", "Keep at least a certain accuracy"])
def test_a_question_starts_with_an_answer_that_fits(digits: Path, ask: str) -> None:
    at = open_page(run="digits-stratified")
    recommended = slider(at)["width"]
    at = well(at.radio(key="pick-ask").set_value("under" if "file" in ask else "keep").run())
    assert ask in at.radio(key="pick-ask").options
    size = shown_metrics(digits / "digits-stratified").set_index("width")["bytes"] / 1e3  # kB
    if "file" in ask:
        assert size[[recommended, slider(at)["width"]]].max() <= field(at, "pick-limit-under")
    else:
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


@pytest.mark.slow
@SHARED
@given(points=st.floats(0, 100).map(lambda p: round(p, 9)), run=st.sampled_from(["digits-paper", "digits-stratified"]))
def test_the_smallest_size_that_loses_little(digits: Path, points: float, run: str) -> None:
    metrics = metrics_of(digits / run)
    at = well(open_page(run=run, ask="lose", limit=str(points)))
    chosen = metrics["validation_accuracy"]
    good = metrics[chosen >= chosen.iloc[-1] - points / 100 - 1e-9]
    assert slider(at)["width"] == good["width"].iloc[0], "full size at least loses nothing"
    unit = "point" if f"{points:.12g}" == "1" else "points"
    assert f"Smallest model that loses at most {points:.12g} {unit} against full size" in texts(at)
    lost = metrics["accuracy"].iloc[-1] - good["accuracy"].iloc[0]
    assert ("on the test examples it loses more" in texts(at)) == (lost > points / 100 + 1e-9)


def test_a_time_is_answered_by_a_size_whose_time_is_known(digits: Path) -> None:
    times = latency_of(digits / "digits-stratified")
    limit = float(times.median())
    at = well(open_page(run="digits-stratified", ask="time", limit=f"{limit:.12g}"))
    metrics = metrics_of(digits / "digits-stratified").set_index("width")
    quick = metrics.loc[times.index[times <= float(f"{limit:.12g}")], "validation_accuracy"]
    assert metrics.loc[slider(at)["width"], "validation_accuracy"] == quick.max()
    marked = next(trace for trace in figure(at)["data"] if trace["name"] == "known to answer in time")
    assert len(marked["x"]) == len(quick)
    at = well(open_page(run="digits-stratified", ask="time", limit="0.000001"))
    assert "Too slow" in texts(at)
    assert slider(at)["width"] == times.idxmin(), "the closest is the fastest"


def test_without_times_no_time_is_asked_for(digits: Path) -> None:
    (digits / "digits-paper" / "latency.parquet").unlink()
    at = well(open_page(run="digits-paper", ask="time", limit="1"))
    assert "which was not measured" in texts(at)
    assert not any("time" in option for option in at.radio(key="pick-ask").options)
    at = well(open_page(run="digits-stratified", ask="time", limit="1"))
    at = well(at.selectbox(key="pick-run").set_value("digits-paper").run())
    assert at.radio(key="pick-ask").value == "choose"


def test_a_file_limit_in_either_unit_is_the_same_limit(digits: Path) -> None:
    at = open_page(run="digits-stratified", ask="under", limit="50")
    width = slider(at)["width"]
    at = well(at.radio(key="pick-unit").set_value("MB").run())
    assert field(at, "pick-limit-under-MB") == 0.05
    assert slider(at)["width"] == width
    assert (at.query_params["limit"], at.query_params["unit"]) == ("50", "MB")
    at = well(at.text_input(key="pick-limit-under-MB").set_value("0.02").run())
    assert at.query_params["limit"] == "20"
    at = well(at.radio(key="pick-unit").set_value("kB").run())
    assert field(at, "pick-limit-under") == 20
    assert "unit" not in at.query_params


def test_each_preset_is_what_it_says(digits: Path) -> None:
    run = Run(digits / "digits-stratified")
    metrics = run.metrics()
    at = well(open_page(run="digits-stratified", width="3"))
    for name, row in (
        ("Recommended", recommended(metrics, ACCURACY)),
        ("Smallest that does the job", as_good_as_full(metrics, ACCURACY)),
        ("Full size", len(metrics) - 1),
    ):
        before = slider(at)["turn"]
        at = well(next(b for b in at.button if b.label.startswith(name)).click().run())
        assert slider(at)["width"] == metrics["width"][row]
        assert slider(at)["turn"] > before, "and the slider goes there, wherever the hand left it"


def test_the_smallest_that_does_the_job_is_chosen_by_the_paired_difference(digits: Path) -> None:
    width = 77
    edit_metrics(
        digits / "digits-paper",
        lambda f: f.assign(
            validation_difference=np.where(f["width"] < width, -0.1, 0.0), validation_difference_error=0.01
        ),
    )
    at = well(open_page(run="digits-paper"))
    assert any(b.label == f"Smallest that does the job: {width} units" for b in at.button)


def test_steps_go_along_the_frontier_and_agree_with_the_recommendation(digits: Path) -> None:
    at = well(open_page(run="digits-stratified", width="64"))
    (recommended,) = (int(b.label.split(": ")[1].split(" ")[0]) for b in at.button if b.label.startswith("Recommended"))
    sizes = shown_metrics(digits / "digits-stratified").set_index("width")
    (answer, *_) = (data for data in components(at) if "lines" in data)
    ups = downs = 0
    for width, lines in zip(answer["widths"], answer["lines"], strict=True):
        said = " ".join(text for _, text, _ in lines).replace(GLUE, " ")
        if up := re.search(r"One step up: (\d+) units?, (.*?) on test, for .*? more\.", said):
            ups += 1
            assert up[2].endswith("better")
            assert sizes.loc[int(up[1]), "accuracy"] > sizes.loc[width, "accuracy"]
        if down := re.search(r"One step down: (\d+) units?, .*? on test, for .*? less\.", said):
            downs += 1
            assert sizes.loc[int(down[1]), "bytes"] >= sizes.loc[recommended, "bytes"]
        assert "100 of 100" not in said
    assert ups
    assert downs


def test_details_for_experts_are_off_at_first_and_kept_for_the_visit(digits: Path) -> None:
    at = well(open_page(run="digits-paper", width="9"))
    assert not at.dataframe
    at = well(at.toggle(key="pick-expert").set_value(True).run())
    shown = at.dataframe[0].value.set_index("What")["Value"]
    row = metrics_of(digits / "digits-paper").set_index("width").loc[9]
    assert shown["multiply-accumulates of one example (MACs)"] == f"{int(row['macs']):,}"
    assert shown["loss on test (cross_entropy)"] == f"{row['loss']:.4g}"
    assert {"units in hidden1", "learning rate, at its peak"} <= set(shown.index)
    at = well(go(go(at, "compare"), "pick"))
    assert at.toggle(key="pick-expert").value


@pytest.mark.slow
def test_a_limit_stays_when_another_network_is_chosen(digits: Path) -> None:
    at = open_page(run="digits-stratified")
    at = at.radio(key="pick-ask").set_value("under").run()
    at = well(at.text_input(key="pick-limit-under").set_value("33.5").run())
    at = well(at.selectbox(key="pick-run").set_value("digits-paper").run())
    assert field(at, "pick-limit-under") == 33.5
    assert at.query_params["run"] == "digits-paper"
    assert shown_metrics(digits / "digits-paper").set_index("width").loc[slider(at)["width"], "bytes"] <= 33_500


@pytest.mark.slow
def test_choices_outlive_a_look_at_the_other_page(digits: Path) -> None:
    at = open_page(run="digits-paper", width="77")
    at = at.toggle(key="pick-whole").set_value(True).run() if at.toggle else at
    at = well(go(go(at, "compare"), "pick"))
    assert (slider(at)["width"], at.query_params["run"]) == (77, "digits-paper")
    at = well(at.radio(key="pick-ask").set_value("keep").run())
    at = at.text_input(key="pick-limit-keep").set_value("81.0").run()
    at = well(go(go(at, "compare"), "pick"))
    assert field(at, "pick-limit-keep") == 81.0


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
    at = well(open_page(run="digits-stratified", width="21"))
    assert not at.dataframe, "what is closed costs nothing"
    table = unfolded(at).dataframe[-1].value
    assert {1, 16, 64, 128} <= set(table["Units"])
    for _, row in table.iterrows():
        assert row["Accuracy"] == f"{100 * metrics.loc[row['Units'], 'accuracy']:.1f} %"


@pytest.mark.parametrize(("typed", "kept"), [("100,5 kB", 100.5), ("0,1 MB", 100.0), ("1 000", 1000.0)])
def test_a_figure_is_read_as_people_write_it(digits: Path, typed: str, kept: float) -> None:
    at = well(open_page(run="digits-paper", ask="under", limit="50"))
    at = well(at.text_input(key="pick-limit-under").set_value(typed).run())
    assert field(at, "pick-limit-under") == kept
    assert float(at.query_params["limit"]) == kept, "and the answer is about the figure in the field"
    assert not at.error


@pytest.mark.parametrize("typed", ["1,234", "abc", "-5", "12 kg", "0"])
def test_a_figure_that_is_refused_leaves_field_and_answer_alone(digits: Path, typed: str) -> None:
    at = well(open_page(run="digits-paper", ask="under", limit="50"))
    at = well(at.text_input(key="pick-limit-under").set_value(typed).run())
    assert field(at, "pick-limit-under") == 50
    assert at.query_params["limit"] == "50"
    assert "The field is back at 50." in texts(at)
    assert not well(at.run()).error, "it is said once"


@pytest.mark.parametrize("format", ["onnx", "safetensors", "bundle"])
@pytest.mark.parametrize("kb", [9.3, 80])
def test_fits_is_said_of_the_very_file_that_is_downloaded(digits: Path, format: str, kb: float) -> None:
    at = well(open_page(run="digits-paper", ask="under", limit=str(kb), format=format))
    assert at.radio(key="download-format").value == format
    assert f"stays under {kb} kB" in texts(at)
    assert "No size here" not in texts(at)
    assert len(handed_over(at)) <= kb * 1e3
    sizes = [line for line in texts(at).splitlines() if re.search(r"(fits in|larger than|close to) [\d.]+ kB\.", line)]
    assert len(sizes) == 4, "a line for each format"
    assert ("format" in at.query_params) == (format != "onnx")


def test_a_file_of_one_byte_too_many_does_not_fit(digits: Path) -> None:
    run = Run(digits / "digits-paper")
    size = len(export(run, 30, "onnx").data)
    assert slider(well(open_page(run="digits-paper", ask="under", limit=str((size - 1) / 1e3))))["width"] < 30
    at = well(open_page(run="digits-paper", ask="under", limit=str(size / 1e3)))
    assert len(handed_over(at)) <= size


def test_another_format_is_judged_by_its_own_size(digits: Path) -> None:
    at = well(open_page(run="digits-paper", ask="under", limit="60"))
    alone = slider(at)["width"]
    at = well(at.radio(key="download-format").set_value("bundle").run())
    assert slider(at)["width"] < alone, "the zip holds the weights twice"


def test_the_page_and_the_download_count_the_same_parameters(digits: Path) -> None:
    at = well(open_page(run="digits-paper", width="9", format="safetensors"))
    counted = readout(at)["params"]
    described = json.loads(unquote(ask_for_file(button(at)["address"]).headers[HANDED_OVER]))
    assert f"all {counted} numbers" in described["text"]


def test_what_the_data_warn_of_is_on_the_page(digits: Path) -> None:
    warned = {"warnings": ["rows are sorted by class <b>x</b>", 7]}
    edit_record(digits / "digits-paper", lambda record: record["data"].update(warned))
    at = well(open_page(run="digits-paper"))
    assert "rows are sorted by class <b>x</b>" in texts(at)
    assert "Test examples of each label: 35 to 37" in texts(at)
    assert not well(open_page(run="digits-stratified")).warning


def test_labels_with_few_test_examples_are_named(place: Callable[..., Path]) -> None:
    run = place("array")
    edit_record(run, lambda record: record.update(labels=[*record["labels"], "never tested"]))
    assert "Labels with fewer than 10 test examples: never tested (0)" in texts(well(open_page(run="array")))
