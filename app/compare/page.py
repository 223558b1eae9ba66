"""Compare runs: two to four curves in one chart, their figures side by side, and what differs in how they were made."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import streamlit as st

from app import url_state, words
from app.charts import axis_switch
from app.charts import curves as charts_curves
from app.charts.axes import view
from app.compare import panels, report, verdict
from app.compare.state import (
    METRIC,
    MOST,
    SIZE,
    WIDTH,
    Choice,
    at_chosen,
    choice,
    follow,
    follow_value,
    runs_chosen,
    value_chosen,
    value_name,
)
from app.compare.tables import curves, side_by_side, what_differs
from app.store import cache
from app.store.predictions import Comparison, Measured
from app.widgets import notices, number_field
from app.widgets.run_picker import hint, offered
from core.errors import RunError
from core.runs.run import Run
from core.sweep.budget import Budget, answer, recommended
from core.tasks.base import Metric


def page() -> None:
    """The whole page, top to bottom."""
    st.html("<style>.stMainBlockContainer { max-width: 1100px; }</style>")  # room for the tables, as on My runs
    st.title("Compare runs")
    st.markdown("Which network is the better one, and at which size? Each curve is one run at every size.")
    runs = notices.open_store()
    if not runs:
        return
    mine = choice()
    link = url_state.followed("compare")
    follow(link, {run.id for run in runs}, mine)
    chosen = _choose(runs, mine)
    measured = _measure(chosen)
    if len(measured) < 2:
        few = "There is only one run here; make another one" if len(runs) == 1 else "Choose at least two runs"
        if len(runs) > 1 and len(chosen) == 1 and len(_alike(runs, [chosen[0].id])) == 1:
            few = "No other run here was tested on the same examples; choose two that were, or make another one"
        if measured or len(chosen) < 2:  # else what stands in the way has been said
            st.info(f"{few} to compare.", icon=":material/compare_arrows:")
        url_state.write("compare", {"runs": ",".join(mine.runs or [])})
        return
    metric = measured[0][0].task.metric
    follow_value(link, metric, mine)
    value = _question(measured, metric, mine)
    comparison = Comparison(
        measured=measured,
        metric=metric,
        rows=[_row(metrics, metric, mine.at, value) for _, metrics in measured],
        question=_asked(metric, mine.at, value),
        against="width" if mine.at == WIDTH else "bytes",
        max_kb=value if mine.at == SIZE else None,
    )
    _chart(comparison, mine)
    st.dataframe(side_by_side(comparison), hide_index=True, alt="The runs side by side")
    verdict.show(comparison)
    with st.expander("The chart as a table", icon=":material/table:"):
        st.dataframe(curves(comparison), hide_index=True, alt="The chart as a table")
    panels.show(comparison, runs, mine)
    _settings(measured)
    report.section(comparison)
    wanted = {"runs": ",".join(run.id for run, _ in measured), "at": mine.at, "value": f"{value:.12g}"}
    url_state.write("compare", wanted | mine.link())


def _choose(runs: list[Run], choice: Choice) -> list[Run]:
    """The visitor's runs; at first the one that is open on the other page, and the best other on the same data."""
    by_id = {run.id: run for run in runs}
    if choice.runs is None:
        choice.runs = _pair(runs)
    st.session_state["compare-runs"] = choice.runs = [name for name in choice.runs if name in by_id][:MOST]
    st.multiselect(
        "Runs",
        offered(_alike(runs, choice.runs), choice.runs),
        key="compare-runs",
        max_selections=MOST,
        format_func=lambda name: words.listed(by_id[name]),
        placeholder="Choose two to four runs",
        help=f"Offered are runs that were tested on the same examples; empty the field to see all. {hint(runs)}",
        on_change=runs_chosen,
    )
    return [by_id[name] for name in choice.runs]


def _alike(runs: list[Run], chosen: list[str]) -> list[Run]:
    """The runs with the test examples of the first chosen one; all runs where none is chosen."""
    first = next((run for run in runs if chosen and run.id == chosen[0]), None)
    return runs if first is None else [run for run in runs if run.id in chosen or cache.same_examples(run, first)]


def _pair(runs: list[Run]) -> list[str]:
    """The run that is open on the other page, or a good one, and the best other one with its test examples."""
    opened = [run for run in runs if run.id == getattr(st.session_state.get("pick"), "run", None)]
    first = opened[0] if opened else cache.opening(runs)
    tests = Counter(run.record.data.get("test_fingerprint") for run in runs)
    for run in (first, *(run for run in runs if tests[run.record.data.get("test_fingerprint")] > 1)):
        if other := next((other for other in cache.ranked(runs, run) if other.id != run.id), None):
            return [run.id, other.id]
    return [first.id]


def _measure(chosen: list[Run]) -> Measured:
    """Return the chosen runs with their figures; empty, under a notice, where they have different metrics."""
    measured: Measured = []
    for run in chosen:
        try:
            measured.append((run, cache.metrics(run)))
        except RunError as error:
            notices.no_metrics(run, error)
    if len({run.task.metric.name for run, _ in measured}) > 1:
        st.warning(
            "These runs are judged by different measures, so their curves can't share a chart. "
            "Choose runs of one kind.",
            icon=":material/warning:",
        )
        return []
    return measured


def _question(measured: Measured, metric: Metric, choice: Choice) -> float:
    """Draw the question at which size, metric or width the runs are compared; return the figure asked for."""
    asks = {
        SIZE: "the same file size",
        METRIC: f"the same {metric.label.lower()}",
        WIDTH: "the same number of units",
    }
    st.session_state["compare-at"] = choice.at
    st.radio(
        "Compare them at",
        list(asks),
        format_func=asks.__getitem__,
        horizontal=True,
        key="compare-at",
        on_change=at_chosen,
    )
    first = measured[0][1].iloc[recommended(measured[0][1], metric)]
    label, entry = {
        SIZE: ("File of at most, in kB", number_field.size_field(float(first["bytes"]))),
        METRIC: (
            f"{metric.limit.capitalize()} this {metric.label.lower()}{number_field.in_unit(metric)}",
            number_field.metric_field(metric, float(first[f"validation_{metric.name}"])),
        ),
        WIDTH: ("Units", number_field.width_field(float(first["width"]))),
    }[choice.at]
    value = choice.values.get(value_name(choice.at, metric), entry.start)
    return number_field.show(
        label, entry, value, key=f"compare-value-{choice.at}", on_change=value_chosen, args=(metric,)
    )


def _row(metrics: pd.DataFrame, metric: Metric, at: str, value: float) -> int | None:
    """The row of a run at what is compared, or None where it has none that fits."""
    if at == WIDTH:
        rows = np.flatnonzero(metrics["width"].to_numpy() == round(value))
        return int(rows[0]) if len(rows) else None
    budget = Budget(max_bytes=value * 1e3) if at == SIZE else Budget(at_least=value / metric.scale)
    found = answer(metrics, metric, budget)
    return found.row if found.fits else None


def _asked(metric: Metric, at: str, value: float) -> str:
    """Return in words at which size, metric or width the runs are compared."""
    if at == WIDTH:
        return words.units(round(value))
    if at == SIZE:
        return f"a file of at most {value:,.12g} kB"
    return f"{metric.limit} {value:,.12g}{metric.unit} {metric.label.lower()}, at the smallest size that has it"


def _chart(comparison: Comparison, mine: Choice) -> None:
    measured, metric, picked = comparison.measured, comparison.metric, comparison.widths
    st.plotly_chart(
        charts_curves.comparison(
            [(run.id, metrics) for run, metrics in measured],
            metric,
            picked,
            comparison.against,
            st.context.theme.type == "dark",
            whole=mine.whole,
        ),
        key="comparison",
        config={"displayModeBar": False},
        alt=f"{metric.label} over size for the chosen runs; the chart as a table, below, says the same.",
    )
    axis_switch.switch("compare", view([m for _, m in measured], metric, picked), metric, mine.whole)


def _settings(measured: Measured) -> None:
    """How the runs were made, where that differs."""
    st.subheader("What differs in how they were made", anchor="settings")
    made = what_differs(measured)
    if made.empty:
        st.caption("Nothing: same data, model, recipe and seed.")
    else:
        st.table(words.safe_table(made))  # which breaks long lines
