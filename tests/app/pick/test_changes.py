"""What changes against full size: counts, intervals, mix-ups, and the examples that flip."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from hypothesis import given
from hypothesis import strategies as st
from streamlit.testing.v1 import AppTest

from app.pick.changes import charts as changes_charts
from app.pick.changes import compute
from app.pick.changes.compute import Pair
from app.store.predictions import Answers
from core.runs.run import Run
from core.tasks.classification import CLASSIFICATION
from tests.helpers.app import edit_record, open_page, texts, unfolded, well
from tests.helpers.properties import tries

Place = Callable[..., Path]
LABELS = ("zero", "<b>one", "two", "", "four")


def answers(targets: list[int], predicted: list[int], labels: tuple[str, ...] = LABELS) -> Answers:
    """Answers of no run on disk, with what the functions here look at."""
    run: Any = SimpleNamespace(task=CLASSIFICATION, record=SimpleNamespace(labels=labels))
    y, said = np.array(targets), np.array(predicted)
    return Answers(run=run, width=3, predicted=said, targets=y, scores=said == y)


@st.composite
def pairs(draw: st.DrawFn) -> Pair:
    n = draw(st.integers(1, 80))
    kinds = st.lists(st.integers(0, len(LABELS) - 1), min_size=n, max_size=n)
    targets = draw(kinds)
    return Pair(here=answers(targets, draw(kinds)), full=answers(targets, draw(kinds)))


@given(pairs())
@tries(40)
def test_labels_add_up_to_the_whole(found: Pair) -> None:
    part = compute.by_label(found)
    assert int(part.n.sum()) == len(found.here.targets)
    assert int(part.lost.sum()) == int(found.lost.sum())
    assert int(part.gained.sum()) == int(found.gained.sum())
    assert not (found.lost & found.gained).any()
    assert (np.diff(part.change) >= 0).all(), "what loses most comes first"
    assert (part.low <= part.change).all()
    assert (part.change <= part.high).all()
    for name, change in zip(part.names, part.change, strict=True):
        kind = LABELS.index(name) if name in LABELS else LABELS.index("")
        mine = found.here.targets == kind
        assert change == pytest.approx(found.here.scores[mine].mean() - found.full.scores[mine].mean())
    go.Figure(changes_charts.label_changes(part, dark=True))
    assert len(compute.label_table(part)) == len(part.names)


@given(st.integers(0, 500), st.integers(0, 500), st.integers(0, 5000))
def test_the_paired_interval(lost: int, gained: int, same: int) -> None:
    n = lost + gained + same
    if not n:
        return
    low, high = (float(v) for v in compute.paired_interval(np.array(lost), np.array(gained), np.array(n)))
    assert -1 <= low < high <= 1
    assert low - 1e-12 <= (gained - lost) / n <= high + 1e-12
    back, forth = (float(v) for v in compute.paired_interval(np.array(gained), np.array(lost), np.array(n)))
    assert (low, high) == pytest.approx((-forth, -back)), "the other way round is the mirror image"
    wide = high - low
    low, high = (float(v) for v in compute.paired_interval(np.array(4 * lost), np.array(4 * gained), np.array(4 * n)))
    assert high - low < wide, "more examples make it surer"


@pytest.mark.parametrize(("n", "lost", "gained"), [(30, 0.15, 0.05), (100, 0.08, 0.02), (1000, 0.05, 0.05)])
def test_the_interval_holds_the_truth_as_often_as_it_says(n: int, lost: float, gained: float) -> None:
    drawn = np.random.default_rng(0).multinomial(n, [lost, gained, 1 - lost - gained], size=20_000)
    low, high = compute.paired_interval(drawn[:, 0], drawn[:, 1], np.full(len(drawn), n))
    held = ((low <= gained - lost) & (gained - lost <= high)).mean()
    assert 0.94 < held < 0.98


@given(pairs())
@tries(40)
def test_mix_ups_are_the_confusions_of_both_sizes(found: Pair) -> None:
    count = len(LABELS)
    here, full = (np.zeros((count, count), int) for _ in range(2))
    for matrix, side in ((here, found.here), (full, found.full)):
        np.add.at(matrix, (side.targets, side.predicted), 1)
    part = compute.mix_ups(found)
    for true, said, mine, theirs in zip(part.true, part.said, part.here, part.full, strict=True):
        assert true != said
        assert (mine, theirs) == (here[true, said], full[true, said])
    assert part.here.sum() == (~found.here.scores).sum()
    assert part.full.sum() == (~found.full.scores).sum()
    assert (np.diff(part.change) <= 0).all()
    assert len(compute.mix_up_table(part, LABELS)) == len(part.here)
    figure = changes_charts.change_map(found, dark=False)
    go.Figure(figure)
    (chart,), kinds = figure["data"], changes_charts.squares(found)
    for i, true in enumerate(kinds):
        for j, said in enumerate(kinds):
            change = int(here[true, said] - full[true, said])
            assert chart["text"][i][j] == (compute.signed(change) if change else "")
            worse = -change if i == j else change
            assert np.sign(chart["z"][i][j]) == np.sign(worse), "orange is worse, also on the line of right answers"


def test_many_labels_are_cut_to_those_that_change_and_no_table_of_all_pairs_is_made() -> None:
    count = 200_000  # its square would not fit any memory
    labels = tuple(map(str, range(count)))
    rng = np.random.default_rng(0)
    targets = np.repeat(np.arange(0, count, 1000), 5)
    said = np.where(rng.random(len(targets)) < 0.3, rng.choice(targets, len(targets)), targets)
    found = Pair(
        here=answers(targets.tolist(), said.tolist(), labels), full=answers(targets.tolist(), targets.tolist(), labels)
    )
    part = compute.mix_ups(found)
    assert part.here.sum() == (said != targets).sum()
    assert len(changes_charts.squares(found)) == changes_charts.MOST_SQUARES
    assert len(changes_charts.label_changes(compute.by_label(found), dark=True)["data"][0]["x"]) == 20
    assert len(compute.mix_up_table(part, labels)) <= compute.MOST_ROWS


def opened(run: str, width: int, tab: str | None = None) -> AppTest:
    """The page with the box opened, on one of its tabs."""
    at = open_page(run=run, width=str(width))
    at.session_state["changes-open"] = True
    if tab:
        at.session_state["changes-tab"] = tab
    return well(at.run())


def frames(at: AppTest, column: str) -> list[pd.DataFrame]:
    return [frame.value for frame in at.dataframe if column in frame.value]


def cards(at: AppTest) -> str:
    """The pictures' captions; the last part of the page that has some, as text."""
    return re.sub("<[^>]*>", " ", [e.proto.body for e in at.get("html") if "shown many" in e.proto.body][-1])


@pytest.mark.slow
def test_what_is_closed_is_not_computed(digits: Path) -> None:
    at = well(open_page(run="digits-stratified", width="6"))
    run = Run(digits / "digits-stratified")
    mine, full = run.scores(6), run.scores(128)
    said = f"Of 359 test examples, {(full & ~mine).sum()} that full size gets right go wrong at 6 units"
    assert said in texts(at)
    charts = len(at.get("plotly_chart"))
    assert not frames(at, "Taken for")
    assert not frames(at, "95 % interval") or "Label" not in frames(at, "95 % interval")[0]
    at = opened("digits-stratified", 6)
    assert len(at.get("plotly_chart")) == charts + 1
    (table,) = frames(at, "Right → wrong")
    assert sum(map(int, table["Test examples"])) == 359
    assert not frames(at, "Taken for"), "the other tab is not open"
    at = opened("digits-stratified", 6, "Mixed up")
    (table,) = frames(at, "Taken for")
    assert sum(map(int, table["This size"])) == (~mine).sum()


def test_full_size_changes_nothing(digits: Path) -> None:
    at = well(open_page(run="digits-stratified", width="128"))
    assert "Pick a smaller size" in texts(at)
    at = unfolded(at, "changes-open")
    assert "At full size nothing changes" in texts(at)
    assert len(at.get("plotly_chart")) == 1, "the curve alone"


def test_examples_flip_both_ways_and_by_label(digits: Path) -> None:
    run = Run(digits / "digits-stratified")
    examples, labels = run.examples(), run.record.labels
    full = run.predicted(128)[examples["index"]]
    # a small size of which some examples flip each way
    width, mine = next(
        (width, mine)
        for width in range(3, 128)
        if ((mine := run.predicted(width)[examples["index"]]) == examples["y"])[full != examples["y"]].any()
    )
    lost = (full == examples["y"]) & (mine != examples["y"])
    assert lost.any()
    at = opened("digits-stratified", width, "Examples that change")
    (ways,) = (g for g in at.get("button_group") if g.proto.label == "Which way")
    assert [option.content for option in ways.proto.options] == [
        f"right → wrong ({lost.sum()})",
        f"wrong → right ({((mine == examples['y']) & (full != examples['y'])).sum()})",
    ]
    assert cards(at).count("✗ wrong") == min(12, lost.sum())
    kind = int(np.bincount(examples["y"][lost]).argmax())
    at = well(at.selectbox(key="changes-label").set_value(str(kind)).run())
    shown = cards(at)
    assert shown.count("✗ wrong") == min(12, (lost & (examples["y"] == kind)).sum())
    assert set(re.findall(r"truth: (\S+)", shown)) == {labels[kind]}
    assert set(re.findall(r"full size: (\S+)", shown)) == {labels[kind]}
    assert labels[kind] not in set(re.findall(r"this size: (\S+)", shown))
    at.session_state["changes-way"] = "gained"
    at = well(at.run())
    gained = (mine == examples["y"]) & (full != examples["y"])
    of_label = gained & (examples["y"] == kind)
    assert cards(at).count("✓ right") == (of_label if of_label.any() else gained).sum(), "a label without any is let go"
    assert "✗ wrong" not in cards(at)


@pytest.mark.slow
def test_numbers_that_change_most_come_first(place: Place) -> None:
    run = Run(place("numbers"))
    at = opened("numbers", 2)
    (table,) = frames(at, "Full size predicts")
    examples, (small, full) = run.examples(), (run.scores(width) for width in (2, 12))
    moved = np.sqrt(small) - np.sqrt(full)
    index = examples["index"]
    worst = index[np.argsort(-moved[index], kind="stable")]
    wanted = [f"{row + 1:,}" for row in worst[moved[worst] > 0][:12]]
    assert table["Test example"].tolist() == wanted
    assert all("off by" in text for text in table["Full size predicts"])
    counted = re.search(r"farther from the truth than full size on (\d+) and closer on (\d+)", texts(at))
    assert counted
    assert (int(counted[1]), int(counted[2])) == ((small > full).sum(), (small < full).sum())


def test_clouds_that_change(place: Place) -> None:
    run = Run(place("points"))
    examples = run.examples()
    for width in range(1, 12):
        mine, full = (run.predicted(size)[examples["index"]] for size in (width, 12))
        if ((full == examples["y"]) & (mine != examples["y"])).any():
            break
    at = opened("points", width, "Examples that change")
    chart = at.get("plotly_chart")[-1].proto
    assert {trace["type"] for trace in json.loads(chart.spec)["data"]} == {"scatter3d"}
    assert "full size: kind" in chart.alt


@pytest.mark.parametrize("damage", ["no predictions", "labels that are not there", "no examples"])
def test_damaged_answers_are_left_out(place: Place, damage: str) -> None:
    path = place("grey")
    if damage == "no predictions":
        (path / "predictions.parquet").unlink()
    elif damage == "no examples":
        (path / "examples.safetensors").write_bytes(b"junk")
    else:
        frame = pd.read_parquet(path / "predictions.parquet")
        frame["w3"] = 77
        frame.to_parquet(path / "predictions.parquet")
    at = opened("grey", 3, "Examples that change")
    assert ("What changes" in texts(at)) == (damage == "no examples")
    assert ("stored examples can't be shown" in texts(at)) == (damage == "no examples")


def test_labels_from_a_file_are_text(place: Place) -> None:
    path = place("grey")
    edit_record(path, lambda record: record.update(labels=["**a** <b>x</b>", "[no](http://evil.test)", ""]))
    for tab in ("Label by label", "Mixed up", "Examples that change"):
        at = opened("grey", 1, tab)
        for part in at.markdown:
            assert not re.search(r"(?<!\\)\[no\]", part.value)
        for chart in at.get("plotly_chart"):
            assert "<b>x" not in chart.proto.spec
