"""Compare runs: two to four curves in one chart, their figures side by side, and what differs in how they were made."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from app import axis, charts, limits, links, notices, store, verdict, words
from app.scales import view
from app.verdict import Measured
from core.errors import RunError
from core.frontier import Budget, answer, recommended
from core.report import kilobytes
from core.runs import Run
from core.tasks import Metric

MOST = 4
SIZE, METRIC, WIDTH = "size", "metric", "width"


@dataclass
class Choice:
    """What one visitor chose; it outlives the widgets, whose own state is lost when another page is shown."""

    runs: list[str] | None = None  # None until chosen
    at: str = SIZE
    values: dict[str, float] = field(default_factory=dict)  # `value_name` -> in shown units
    whole: bool = False  # the chart's axis


def page() -> None:
    """The whole page, top to bottom."""
    st.title("Compare runs")
    st.markdown("Which network is the better one, and at which size? Each curve is one run at every size.")
    runs = notices.open_store()
    if not runs:
        return
    choice = _choice()
    link = links.followed("compare")
    _follow(link, {run.id for run in runs}, choice)
    chosen = _choose(runs, choice)
    measured = _measure(chosen)
    if len(measured) < 2:
        few = "There is only one run here; make another one" if len(runs) == 1 else "Choose at least two runs"
        if len(runs) > 1 and len(measured) == 1 and [run.task for run in runs].count(measured[0][0].task) == 1:
            few = "No other run here is judged by the same measure; choose two that are, or make another one"
        if measured or len(chosen) < 2:  # else what stands in the way has been said
            st.info(f"{few} to compare.", icon=":material/compare_arrows:")
        links.write("compare", {"runs": ",".join(choice.runs or [])})
        return
    metric = measured[0][0].task.metric
    _follow_value(link, metric, choice)
    value = _question(measured, metric, choice)
    rows = [_row(metrics, metric, choice.at, value) for _, metrics in measured]
    _chart(measured, metric, rows, choice)
    _table(measured, metric, rows)
    verdict.say(measured, metric, rows)
    _settings(measured)
    wanted = {"runs": ",".join(run.id for run, _ in measured), "at": choice.at, "value": f"{value:.12g}"}
    links.write("compare", wanted | ({"axis": "whole"} if choice.whole else {}))


def _choice() -> Choice:
    choice: Choice = st.session_state.setdefault("compare", Choice())
    return choice


def _choose(runs: list[Run], choice: Choice) -> list[Run]:
    """The visitor's runs; at first the one that is open on the other page, and the best other on the same data."""
    by_id = {run.id: run for run in runs}
    if choice.runs is None:
        choice.runs = _pair(runs)
    st.session_state["compare-runs"] = choice.runs = [name for name in choice.runs if name in by_id][:MOST]
    st.multiselect(
        "Runs",
        list(by_id),
        key="compare-runs",
        max_selections=MOST,
        format_func=lambda name: words.listed(by_id[name]),
        placeholder="Choose two to four runs",
        on_change=_runs_chosen,
    )
    return [by_id[name] for name in choice.runs]


def _pair(runs: list[Run]) -> list[str]:
    opened = getattr(st.session_state.get("pick"), "run", None)
    first = next((run for run in runs if run.id == opened), None) or store.opening(runs)
    others = [run for run in (*store.ranked(runs, first), *runs) if run.id != first.id and run.task == first.task]
    return [run.id for run in (first, *others)][:2]


def _measure(chosen: list[Run]) -> Measured:
    """The chosen runs with their figures, where they can be compared; says what stands in the way."""
    measured: Measured = []
    for run in chosen:
        try:
            measured.append((run, store.metrics(run)))
        except RunError as error:
            notices.no_metrics(run, error)
    if len({run.task.metric.name for run, _ in measured}) > 1:
        st.warning(
            "These runs are judged by different measures, so their curves can't share a chart. "
            "Choose runs of one kind.",
            icon=":material/warning:",
        )
        return []
    if any(not store.same_examples(measured[0][0], run) for run, _ in measured[1:]):
        st.info(
            "These runs were tested on different examples, so a difference between them may come from the data.",
            icon=":material/info:",
        )
    return measured


def _question(measured: Measured, metric: Metric, choice: Choice) -> float:
    """What the runs are compared at."""
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
        on_change=_at_chosen,
    )
    first = measured[0][1].iloc[recommended(measured[0][1], metric)]
    label, entry = {
        SIZE: ("File of at most, in kB", limits.size_field(float(first["bytes"]))),
        METRIC: (
            f"{metric.limit.capitalize()} this {metric.label.lower()}{limits.in_unit(metric)}",
            limits.metric_field(metric, float(first[f"validation_{metric.name}"])),
        ),
        WIDTH: ("Units", limits.Field(low=1.0, high=limits.MOST, start=float(first["width"]), step=1.0)),
    }[choice.at]
    key = f"compare-value-{choice.at}"
    st.session_state[key] = entry.clip(choice.values.get(value_name(choice.at, metric), entry.start))
    st.number_input(
        label,
        value=None,  # so that an emptied field comes as None and not as the lowest figure
        min_value=entry.low,
        max_value=entry.high,
        step=entry.step,
        format="%g",
        key=key,
        on_change=_value_chosen,
        args=(metric,),
        width=260,
    )
    return float(st.session_state[key])


def bounds(at: str, metric: Metric) -> tuple[float, float]:
    """What can be meant by a figure that runs are compared at."""
    if at == METRIC:
        return limits.bounds(metric)
    return (1.0 if at == WIDTH else limits.LEAST), limits.MOST


def value_name(at: str, metric: Metric) -> str:
    """Under what a figure is kept: 95 per cent of some runs are no 95 decibels of others."""
    return f"{at}-{metric.name}" if at == METRIC else at


def _row(metrics: pd.DataFrame, metric: Metric, at: str, value: float) -> int | None:
    """The row of a run at what is compared, or None where it has none that fits."""
    if at == WIDTH:
        rows = np.flatnonzero(metrics["width"].to_numpy() == round(value))
        return int(rows[0]) if len(rows) else None
    budget = Budget(max_bytes=value * 1e3) if at == SIZE else Budget(at_least=value / metric.scale)
    found = answer(metrics, metric, budget)
    return found.row if found.fits else None


def _chart(measured: Measured, metric: Metric, rows: list[int | None], choice: Choice) -> None:
    picked = [
        None if row is None else int(metrics["width"].iloc[row])
        for (_, metrics), row in zip(measured, rows, strict=True)
    ]
    st.plotly_chart(
        charts.comparison(
            [(run.id, metrics) for run, metrics in measured],
            metric,
            picked,
            "width" if choice.at == WIDTH else "bytes",
            st.context.theme.type == "dark",
            whole=choice.whole,
        ),
        key="comparison",
        config={"displayModeBar": False},
        alt=f"{metric.label} over size for the chosen runs; the table below says the same.",
    )
    axis.switch("compare", view([m for _, m in measured], metric, picked), metric, choice.whole)


def _table(measured: Measured, metric: Metric, rows: list[int | None]) -> None:
    lines: list[dict[str, Any]] = []
    for (run, metrics), row in zip(measured, rows, strict=True):
        line: dict[str, Any] = {"Run": words.short(run.id), metric.label: "no size fits"}
        if row is not None:
            at, full = metrics.iloc[row], metrics.iloc[-1]
            line |= {
                metric.label: metric.format(at[metric.name]),
                "File": kilobytes(at["bytes"]),
                "Units": f"{int(at['width']):,}",
                "95 % interval": metric.format_interval(at[f"{metric.name}_low"], at[f"{metric.name}_high"]),
                "Parameters": f"{int(at['params']):,}",
                "Against its full size": words.difference(metric, at[metric.name], full[metric.name]).removesuffix(
                    " than"
                ),
            }
        lines.append(line)
    st.dataframe(pd.DataFrame(lines).fillna("–"), hide_index=True)


def _settings(measured: Measured) -> None:
    """How the runs were made, where that differs."""
    st.subheader("What differs in how they were made", anchor="settings")
    made = pd.DataFrame({run.id: words.settings(run.record) for run, _ in measured}).fillna("–")
    made = made[made.nunique(axis=1) > 1].rename_axis("Setting")
    if made.empty:
        st.caption("Nothing: same data, model, recipe and seed.")
    else:
        names = {run.id: st.column_config.TextColumn(words.short(run.id), width="medium") for run, _ in measured}
        st.dataframe(made, height="content", column_config=names)


def _runs_chosen() -> None:
    links.touch("compare")
    _choice().runs = list(st.session_state["compare-runs"])


def _at_chosen() -> None:
    links.touch("compare")
    _choice().at = st.session_state["compare-at"]


def _value_chosen(metric: Metric) -> None:
    links.touch("compare")
    choice = _choice()
    value = st.session_state[f"compare-value-{choice.at}"]
    if value is not None:  # an emptied field keeps what was asked for before
        choice.values[value_name(choice.at, metric)] = value


def _follow(link: dict[str, str], known: set[str], choice: Choice) -> None:
    """Take runs and axis from the link; what can't be followed is said and left out."""
    if not link:
        return
    choice.whole = link.get("axis") == "whole"
    if "runs" in link:
        wanted = list(dict.fromkeys(name for name in link["runs"].split(",") if name))
        missing = [name for name in wanted if name not in known]
        here = [name for name in wanted if name in known]
        if missing:
            links.broken("names a run that is not here", ", ".join(missing))
        if len(here) > MOST:
            links.broken(f"names more than {MOST} runs, so these are left out", ", ".join(here[MOST:]))
        choice.runs = here[:MOST] or None


def _follow_value(link: dict[str, str], metric: Metric, choice: Choice) -> None:
    """Take from the link what the runs are compared at."""
    if "at" not in link:
        return
    if link["at"] not in (SIZE, METRIC, WIDTH):
        links.broken("compares runs at something that is not known", link["at"])
        return
    choice.at = link["at"]
    value = links.number(link.get("value", ""), *bounds(choice.at, metric))
    if value is not None:
        choice.values[value_name(choice.at, metric)] = value
    elif "value" in link:
        links.broken("compares runs at a figure that can't be", link["value"])
