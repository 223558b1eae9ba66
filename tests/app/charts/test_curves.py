"""Charts: valid Plotly, an axis that shows differences and says what it leaves out, names that stay text."""

from __future__ import annotations

import dataclasses
import html
import itertools
import math

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.charts import curves as charts_curves
from app.charts.axes import log_ticks, view
from core.tasks.classification import ACCURACY
from core.tasks.statistics import wilson_interval
from tests.helpers.app import SAMPLES, metrics_of
from tests.helpers.properties import tries

SAMPLE_RUNS = ("digits-paper", "digits-stratified", "fashion-paper", "fashion-stratified")


@st.composite
def tables(draw: st.DrawFn) -> pd.DataFrame:
    """A run's figures, good or bad, many or a single one."""
    n = draw(st.integers(1, 5000))
    correct = draw(st.lists(st.integers(0, n), min_size=1, max_size=40))
    start = draw(st.integers(1, 9))
    widths = np.arange(start, start + len(correct))
    ends = [wilson_interval(c, n) for c in correct]
    return pd.DataFrame(
        {
            "width": widths,
            "params": widths * 30 + 10,
            "bytes": widths * 130 + 400,
            "n": n,
            "accuracy": np.array(correct) / n,
            "accuracy_low": [low for low, _ in ends],
            "accuracy_high": [high for _, high in ends],
            "validation_accuracy": np.array(correct) / n,
        }
    )


@pytest.mark.slow
@given(tables(), st.data())
@tries(60)
def test_every_curve_is_valid_and_has_a_place_for_each_size(table: pd.DataFrame, data: st.DataObject) -> None:
    quick = tuple(data.draw(st.lists(st.sampled_from(table["width"].tolist()), max_size=3)))
    limits = charts_curves.Limits(
        max_bytes=data.draw(st.none() | st.floats(1, 1e5)),
        at_least=data.draw(st.none() | st.floats(0, 1)),
        quick=quick,
    )
    dark, whole = data.draw(st.booleans()), data.draw(st.booleans())
    figure = charts_curves.size_curve(table, ACCURACY, limits, dark, whole=whole)
    go.Figure(figure)  # raises for anything that Plotly does not know
    (low, high), (left, right) = figure["layout"]["yaxis"]["range"], figure["layout"]["xaxis"]["range"]
    places = charts_curves.places(table, ACCURACY, whole=whole)
    assert len(places) == len(table)
    for at, params, value in zip(places, table["params"], 100 * table["accuracy"], strict=True):
        assert left + at.x * (right - left) == pytest.approx(math.log10(params), abs=1e-3)
        assert at.out == (not low <= value <= high)
        inside = min(max(value, low + 0.02 * (high - low)), high - 0.02 * (high - low))
        assert low + at.y * (high - low) == pytest.approx(inside, abs=1e-4 * (high - low))
    marks = [trace for trace in figure["data"] if trace["name"] == "known to answer in time"]
    assert [len(trace["x"]) for trace in marks] == ([len(set(quick))] if quick else [])
    for shape in figure["layout"]["shapes"]:
        assert shape["xref"] == "paper" or 10**left * 0.999 <= shape["x0"] <= shape["x1"] <= 10**right * 1.001
        assert shape["yref"] == "paper" or low <= shape["y0"] <= shape["y1"] <= high


@given(tables(), st.data())
@tries(60)
def test_no_size_is_left_out_without_a_mark(table: pd.DataFrame, data: st.DataObject) -> None:
    figure = charts_curves.size_curve(table, ACCURACY, charts_curves.Limits(), dark=False)
    low, high = figure["layout"]["yaxis"]["range"]
    every = next(trace for trace in figure["data"] if trace["name"] == "every size")
    marks = [trace for trace in figure["data"] if trace["name"] == "below this view"]
    inside = {w for w, y in zip(every["customdata"], every["y"], strict=True) if low <= y <= high}
    marked = {w for trace in marks for w in trace["customdata"]}
    assert inside | marked == set(table["width"])
    assert not inside & marked
    assert len(marked) == sum(view([table], ACCURACY, [None]).outside)
    assert not view([table], ACCURACY, [data.draw(st.sampled_from(table["width"].tolist()))], whole=True).cropped


@pytest.mark.parametrize("name", SAMPLE_RUNS)
def test_a_close_up_at_least_doubles_the_scale(name: str) -> None:
    table = metrics_of(SAMPLES / name)
    full = int(table["width"].iloc[-1])
    close, whole = view([table], ACCURACY, [full]), view([table], ACCURACY, [full], whole=True)
    assert not close.cropped or (close.high - close.low) < 0.55 * (whole.high - whole.low)
    smallest = view([table], ACCURACY, [int(table["width"].iloc[0])])
    assert smallest.low < 100 * table["accuracy"].iloc[0] < smallest.high, "a picked size is never out of view"


def test_where_less_is_better_the_bad_end_is_above() -> None:
    table = metrics_of(SAMPLES / "digits-paper")
    error = dataclasses.replace(ACCURACY, higher_is_better=False)
    flipped = table.assign(
        accuracy=1 - table["accuracy"],
        accuracy_low=1 - table["accuracy_high"],
        accuracy_high=1 - table["accuracy_low"],
        validation_accuracy=1 - table["validation_accuracy"],
    )
    up, down = view([table], ACCURACY, [128]), view([flipped], error, [128])
    assert up.outside == down.outside
    assert (down.low, down.high) == pytest.approx((100 - up.high, 100 - up.low))
    figure = charts_curves.size_curve(flipped, error, charts_curves.Limits(at_least=0.1), dark=False)
    go.Figure(figure)
    assert any(trace["name"] == "above this view" for trace in figure["data"]) == up.cropped
    rect = next(shape for shape in figure["layout"]["shapes"] if shape["type"] == "rect")
    assert (rect["y0"], rect["y1"]) == (10, down.high), "what is too bad is shaded"


@given(st.lists(tables(), min_size=1, max_size=4), st.sampled_from(["bytes", "width"]), st.booleans(), st.data())
@tries(30)
def test_every_comparison_is_valid(runs: list[pd.DataFrame], against: str, dark: bool, data: st.DataObject) -> None:
    picked = [data.draw(st.none() | st.sampled_from(table["width"].tolist())) for table in runs]
    names = [(f"run {k}", table) for k, table in enumerate(runs)]
    figure = charts_curves.comparison(names, ACCURACY, picked, against, dark, whole=data.draw(st.booleans()))
    go.Figure(figure)
    curves = [trace for trace in figure["data"] if trace["mode"] == "lines" and "fill" not in trace]
    assert [trace["name"] for trace in curves] == [name for name, _ in names]
    assert len({(t["line"]["color"], t["line"]["dash"]) for t in curves}) == len(runs), (
        "colour and dash tell them apart"
    )
    stars = [trace for trace in figure["data"] if trace["mode"] == "markers"]
    assert len(stars) == sum(width is not None for width in picked)
    low, high = figure["layout"]["yaxis"]["range"]
    assert all(low < star["y"][0] < high for star in stars)


@pytest.mark.slow
@given(st.text(max_size=120))
def test_names_are_text_to_plotly(name: str) -> None:
    shown = charts_curves.plain(name)
    assert not set("<>{$") & set(shown)
    assert len(html.unescape(shown)) <= 40
    shown.encode()


@given(st.floats(0.01, 1e9), st.floats(1.05, 1e6))
def test_ticks_lie_on_the_axis_with_room_for_their_labels(low: float, ratio: float) -> None:
    values, labels = log_ticks(low, low * ratio)
    assert values == sorted(set(values))
    assert values
    assert len(values) == len(labels)
    assert all(low * 0.999 <= value <= low * ratio * 1.001 for value in values)
    if ratio < 1e5:
        assert all(math.log(b / a) >= 0.079 * math.log(ratio) for a, b in itertools.pairwise(values))


@pytest.mark.parametrize("dark", [False, True])
def test_lines_have_contrast_with_their_background(dark: bool) -> None:
    background = "#11161C" if dark else "#FFFFFF"

    def luminance(colour: str) -> float:  # WCAG 2.2, relative luminance
        parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for colour in charts_curves.palette(dark):
        light, deep = sorted((luminance(colour), luminance(background)), reverse=True)
        assert (light + 0.05) / (deep + 0.05) >= 3, colour
