"""Numbers and pictures: each page speaks of the run's own metric, whichever way is better."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import pytest
from hypothesis import given
from hypothesis import strategies as st
from streamlit.testing.v1 import AppTest

from app import words
from app.store.significance import paired
from app.widgets import number_field
from core.runs.run import Run
from core.tasks.base import Metric
from core.tasks.classification import ACCURACY, CLASSIFICATION
from core.tasks.image import IMAGE, PSNR
from core.tasks.regression import REGRESSION, RMSE
from tests.helpers.app import field, figure, metrics_of, open_page, readout, slider, sliders, texts, unfolded, well

Place = Callable[..., Path]
NAMES = {"numbers": RMSE, "small-numbers": RMSE, "picture": PSNR}


def everything(at: AppTest) -> str:
    """All words of a page, those of its widgets, charts and tables too."""
    widgets = [w for kind in ("radio", "text_input", "toggle", "selectbox", "multiselect") for w in getattr(at, kind)]
    said = [f"{w.label} {w.help} {getattr(w, 'options', '')}" for w in widgets]
    tables = [" ".join(map(str, (*t.value.columns, *np.ravel(t.value.to_numpy())))) for t in at.dataframe]
    labels = [e.label for e in (*at.expander, *at.button)] + [m.help for m in at.markdown if m.help]
    charts = [chart.proto.spec + chart.proto.alt for chart in at.get("plotly_chart")]
    return "\n".join([texts(at), *said, *tables, *labels, *charts, *map(str, sliders(at))])


@pytest.mark.slow
@pytest.mark.parametrize("kind", NAMES)
def test_no_page_speaks_of_another_metric(place: Place, kind: str) -> None:
    place(kind)
    place(kind, "other")
    metric = NAMES[kind]
    pages = [open_page(run=kind), open_page(run=kind, ask="keep"), open_page(run=kind, ask="under", axis="whole")]
    pages += [open_page("compare", runs=f"{kind},other", at=at) for at in ("size", "metric", "width")]
    for at in pages:
        said = everything(unfolded(at))
        assert metric.label in said
        assert metric.label.lower() in said
        found = re.search(r"accurac|points|nan\b", said, re.IGNORECASE)
        assert not found, said[found.start() - 90 : found.end() + 60]


@pytest.mark.parametrize("kind", NAMES)
def test_the_readout_is_the_tables_figure_in_its_own_unit(place: Place, kind: str) -> None:
    run, metric = place(kind), NAMES[kind]
    metrics = metrics_of(run)
    for row in metrics.iloc[[0, len(metrics) // 2, -1]].to_dict("records"):
        at = well(open_page(run=kind, width=str(row["width"])))
        shown = readout(at)
        assert shown["value"] == metric.format(row[metric.name])
        assert shown["value"].endswith("dB") == (metric is PSNR)
        assert float(shown["value"].split()[0]) > 0, "a small figure is not rounded away"
        chart = figure(at)
        go.Figure(chart)
        low, high = chart["layout"]["yaxis"]["range"]
        assert shown["out"] == (not low <= row[metric.name] <= high)
        if not shown["out"]:
            assert low + shown["y"] * (high - low) == pytest.approx(row[metric.name], abs=0.03 * (high - low))
        assert ("less is better" in chart["layout"]["yaxis"]["title"]["text"]) == (metric is RMSE)


@pytest.mark.parametrize("kind", NAMES)
def test_the_smallest_size_that_keeps_the_figure(place: Place, kind: str) -> None:
    run, metric = place(kind), NAMES[kind]
    metrics = metrics_of(run)
    wanted = metrics[f"validation_{metric.name}"].median()
    at = well(open_page(run=kind, ask="keep", limit=f"{wanted:.12g}"))
    values = metrics[f"validation_{metric.name}"]
    good = metrics[(values >= wanted - 1e-9) if metric is PSNR else (values <= wanted + 1e-9)]
    assert slider(at)["width"] == good["width"].iloc[0]
    assert at.text_input(key="pick-limit-keep").label == (
        "Least picture quality, in dB" if metric is PSNR else "Largest typical error"
    )
    assert ("Keep at least" if metric is PSNR else "At most") in at.radio(key="pick-ask").options[2]
    chart = figure(at)
    low, high = chart["layout"]["yaxis"]["range"]
    shaded = [(shape["y0"], shape["y1"]) for shape in chart["layout"]["shapes"] if shape["type"] == "rect"]
    level = float(np.clip(wanted, low, high))
    bad = (low, level) if metric is PSNR else (level, high)
    assert shaded == ([pytest.approx(bad)] if bad[0] < bad[1] else []), "what is not good enough"


@pytest.mark.parametrize("kind", NAMES)
def test_a_question_starts_with_a_figure_that_can_be_had(place: Place, kind: str) -> None:
    place(kind)
    at = well(open_page(run=kind).radio(key="pick-ask").set_value("keep").run())
    assert "Out of reach" not in texts(at)
    value = field(at, "pick-limit-keep")
    at = well(open_page(**{k: str(v) for k, v in at.query_params.items()}))
    assert "The link" not in texts(at)
    assert field(at, "pick-limit-keep") == value


def test_a_limit_of_one_measure_is_no_limit_of_another(place: Place) -> None:
    place("picture")
    place("array")
    at = well(open_page(run="array", ask="keep", limit="95"))
    at = well(at.selectbox(key="pick-run").set_value("picture").run())
    assert field(at, "pick-limit-keep") < 95
    at = well(at.selectbox(key="pick-run").set_value("array").run())
    assert field(at, "pick-limit-keep") == 95


@pytest.mark.slow
def test_runs_of_different_tasks_are_not_compared(place: Place) -> None:
    place("picture")
    place("numbers")
    at = well(open_page("compare", runs="picture,numbers"))
    assert "judged by different measures" in texts(at)
    assert "Choose at least two" not in texts(at), "two are chosen"
    assert not at.get("plotly_chart")
    at = well(open_page("compare"))
    assert len(at.multiselect(key="compare-runs").value) == 1, "a first look brings no two that can't be compared"
    assert "No other run here was tested on the same examples" in texts(at)
    place("numbers", "more-numbers")
    chosen = well(open_page("compare", runs="numbers,more-numbers"))
    assert "No clear difference between" in texts(chosen)
    assert chosen.dataframe[0].value["Typical error"].nunique() == 1


def test_the_better_run_is_the_one_with_the_smaller_error(place: Place) -> None:
    good = place("numbers", "good")
    place("numbers", "bad")
    width = int(metrics_of(good)["width"].iloc[-1])
    shift(good.parent / "bad", width)
    at = well(open_page("compare", runs="bad,good", at="width", value=str(width)))
    assert "good is better than bad by" in texts(at)
    assert "bad is better" not in texts(at)
    assert "closer to the truth" in everything(at)
    assert at.page_link[0].label.startswith("Take good")


def shift(run: Path, width: int) -> None:
    """The run predicts worse at a width."""
    import pandas as pd

    path = run / "predictions.parquet"
    frame = pd.read_parquet(path)
    frame[f"w{width}.0"] += 1e4
    frame.to_parquet(path)
    table = pd.read_parquet(run / "metrics.parquet")
    scores = Run(run).scores(width)
    row = table["width"] == width
    for name, value in zip(("rmse", "rmse_low", "rmse_high"), RMSE.measure(scores), strict=True):
        table.loc[row, name] = value
    table.to_parquet(run / "metrics.parquet")


@given(st.sampled_from([ACCURACY, RMSE, PSNR]), st.floats(1e-9, 0.999))
def test_a_field_starts_on_the_worse_side_of_the_figure(metric: Metric, value: float) -> None:
    field = number_field.metric_field(metric, value)
    assert field.low <= field.start <= field.high
    if field.low < field.start < field.high:
        assert metric.at_least(value, field.start / metric.scale * (1 if metric.higher_is_better else 1 + 1e-9))
        if metric.significant:
            assert field.start <= 1.11 * value, "and near it, of whatever size it is"
    low, high = number_field.bounds(metric)
    assert (low, high) == (field.low, field.high)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=300), st.sampled_from([0, 1]))
def test_who_is_better_does_not_depend_on_who_is_named_first(pairs: list[tuple[bool, bool]], numbers: int) -> None:
    a, b = (np.array(side) for side in zip(*pairs, strict=True))
    task = REGRESSION if numbers else CLASSIFICATION
    if numbers:
        a, b = 1.0 - a, 1.0 - b  # an error where there was a hit
    one, other = paired(task, a, b, ("a", "b")), paired(task, b, a, ("b", "a"))
    assert one.p == pytest.approx(other.p)
    if a.mean() != b.mean():
        assert one.first_is_better != other.first_is_better
        assert one.first_is_better == ((a.mean() < b.mean()) if numbers else (a.mean() > b.mean()))
    assert f"{len(a):,} test examples" in one.counts
    assert "test pixels" in paired(IMAGE, a.astype(float), b.astype(float), ("a", "b")).counts


def test_less_is_better_is_said_in_words() -> None:
    assert words.against_full(RMSE, 0.0312, 0.03) == "0.00120 worse than full size"
    assert words.against_full(RMSE, 54.2, 55.2) == "1.00 better than full size"
    assert words.against_full(RMSE, 1.0, 1.0) == words.against_full(PSNR, 9.0, 9.0) == "as good as full size"
    assert words.against_full(PSNR, 20.0, 21.5) == "1.5 dB below full size"
