"""Pick a size: ask what matters, show the answer, let the hand try others, hand over the file.

A pick runs one fragment again: what speaks of the size. The chart and the question stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app import answer_box, axis, charts, download, examples, links, notices, polished, store, words
from app import choice as choice_of
from app.choice import CHOOSE, Choice
from app.details import details
from app.first_steps import first_steps
from app.live_slider import live_slider
from app.question import Asked, question
from app.scales import view
from core.errors import RunError
from core.frontier import as_good_as_full, faster, log_spaced, recommended
from core.record import path_range
from core.runs import Run

CURVE = "curve"  # the container that the chart stands in, where the picked size is marked
REST = "rest"  # what comes below the chart
# The fragment's place in the script is below the chart, which a pick leaves alone; its slider is shown above it.
# What the fragment stands in is taken apart, so that its parts can be ordered.
ORDER = f"""<style>
.st-key-picked > :has(> .st-key-{CURVE}) {{ order: 1 }}
.st-key-picked :has(> .st-key-{REST}) {{ order: 2 }}
.st-key-picked > :has(> * > * > .st-key-{REST}) {{ display: contents }}
.st-key-picked > * > :has(> * > .st-key-{REST}) {{ display: contents }}
</style>"""


def page() -> None:
    """The whole page, top to bottom."""
    st.title("Pick a size")
    st.markdown("One network was trained once, and it works at **every size**. Smaller is cheaper; bigger is better.")
    runs = notices.open_store()
    if not runs:
        return
    choice = choice_of.kept()
    link = links.followed("pick")
    choice_of.follow_run(link, runs, choice)
    run = _choose_run(runs, choice)
    try:
        metrics = store.timed(run)
    except RunError as error:
        notices.no_metrics(run, error)
        links.write("pick", {"run": run.id})
        return
    if link.get("run", run.id) == run.id:
        choice_of.follow_size(link, run, metrics, choice)
    first_steps()
    asked = question(run, metrics, choice)
    if asked.ask == CHOOSE:
        _presets(run, metrics)
    if asked.reply:
        choice.widths[run.id] = asked.reply.answer.width
    choice_of.put_slider(choice, _width(run, metrics, choice))
    st.html(ORDER)
    with st.container(key="picked"):
        said = st.empty()
        with st.container(key=CURVE):
            _curve(run, metrics, asked.limits, choice)
        _size(run, asked, said)
    _table(run, metrics)
    _about(run, metrics)
    if len(runs) > 1:
        links.to("compare", "Is another run better? Compare runs")


def _choose_run(runs: list[Run], choice: Choice) -> Run:
    """The run to look at: the visitor's choice where it is still there, else a good one to open."""
    by_id = {run.id: run for run in runs}
    if choice.run not in by_id:
        if choice.run is not None:
            gone = words.safe(words.short(choice.run))
            st.info(f"The run {gone} is no longer here; another one is shown.", icon=":material/info:")
        choice.run = store.opening(runs).id
    if len(runs) > 1:
        st.session_state["pick-run"] = choice.run
        st.selectbox(
            "Trained network",
            list(by_id),
            format_func=lambda run_id: words.listed(by_id[run_id]),
            key="pick-run",
            on_change=choice_of.run_chosen,
            help="At first the best run on the data that was used last: best at a tenth of full size.",
        )
    run = by_id[choice.run]
    lead = "" if len(runs) > 1 else f"**{words.safe(run.id)}**: "
    st.caption(lead + words.purpose(run.record))
    return run


def _presets(run: Run, metrics: pd.DataFrame) -> None:
    """Three sizes that people want, each a button."""
    metric, widths = run.task.metric, metrics["width"]
    kind = f"validation {run.task.example}s"
    presets = (
        (
            "Recommended",
            int(widths.iloc[recommended(metrics, metric)]),
            "Good value: the bend of the curve, after which more size brings ever less. It is looked for among the "
            "sizes that reach nine tenths of what can be gained.",
        ),
        (
            "Smallest that does the job",
            int(widths.iloc[as_good_as_full(metrics, metric)]),
            f"The smallest size that the {kind} can't tell from full size (a paired test at 95 %), where of the larger "
            "sizes no more than 1 in 20 can be told from it either.",
        ),
        ("Full size", int(widths.iloc[-1]), "The whole network, as it was trained."),
    )
    with st.container(horizontal=True):
        for name, width, meaning in presets:
            st.button(
                f"{name}: {words.units(width)}",
                on_click=choice_of.choose_by_hand,
                args=(run.id, width),
                help=meaning,
            )


def _width(run: Run, metrics: pd.DataFrame, choice: Choice) -> int:
    """The size that the page is on: the visitor's, the answer's, or the recommended one at first."""
    suggested = int(metrics["width"].iloc[recommended(metrics, run.task.metric)])
    return choice_of.measured_width(choice, run, metrics, suggested)


def _curve(run: Run, metrics: pd.DataFrame, limits: charts.Limits, choice: Choice) -> None:
    """The curve. A click in it is the slider's to follow, in the browser."""
    metric, alone = run.task.metric, polished.points(run).table
    st.subheader(f"{metric.label} at every size", anchor="curve")
    st.caption(
        "Tap the chart or move the slider to pick a size. The band is the 95 % interval: how far a figure may be off "
        f"because it was measured on {int(metrics['n'].iloc[0]):,} {run.task.example}s and not on all there could be."
    )
    if len(alone):
        st.caption(polished.EXPLAINED)
    close, seen = (view([metrics], metric, [None], whole=whole, also=alone) for whole in (False, choice.whole))
    axis.switch("pick", close, metric, choice.whole)
    figure = charts.size_curve(metrics, metric, limits, _dark(), whole=choice.whole, also=alone)
    figure["data"] += polished.marks(alone, metric, seen, _dark())
    st.plotly_chart(
        figure,
        key=f"curve-{run.id}",
        config={"displayModeBar": False},
        alt=f"{metric.label} over size for {run.id}; the table further down says the same.",
    )


@st.fragment
def _size(run: Run, asked: Asked, said: DeltaGenerator) -> None:
    """All that speaks of the picked size, with the answer in its place, `said`."""
    notices.guarded(lambda: _size_now(run, asked, said))()


def _size_now(run: Run, asked: Asked, said: DeltaGenerator) -> None:
    choice, metrics = choice_of.kept(), store.timed(run)
    if choice.ask != asked.ask:  # a size was picked by hand, which ends the question: the top of the page changes too
        st.rerun()
    width = _width(run, metrics, choice)
    choice.widths[run.id] = width
    with said.container():
        answer_box.answer_box(run, metrics, width, asked)
    live_slider(
        _rows(run.path, run.stamp, choice.whole),
        choice.start,
        words.heading(run.task.metric),
        turn=choice.turn,
        chart=CURVE,
        colours=_colours(),
        key=f"slider-{run.id}",
        on_pick=lambda: choice_of.picked(run.id),
    )
    _faster(run, metrics, width)
    link = {"run": run.id, "width": str(width), **asked.link, **({"axis": "whole"} if choice.whole else {})}
    with st.container(key=REST):
        examples.picture(run, metrics, width)
        details(run, metrics, width, choice)
        examples.section(run, width)
        download.section(run, width, link)
    links.write("pick", link)


@lru_cache(maxsize=32)
def _rows(path: Path, stamp: tuple[Any, ...], whole: bool) -> list[Mapping[str, Any]]:
    """What the slider says at each size, and where it lies on the chart; of the run's files alone."""
    run = Run(path)
    metrics, metric = store.metrics(run), run.task.metric
    said = words.readouts(metrics, metric, store.milliseconds(run))
    places = charts.places(metrics, metric, whole=whole, also=polished.points(run).table)
    return [{**row, "x": at.x, "y": at.y, "out": at.out} for row, at in zip(said, places, strict=True)]


def _faster(run: Run, metrics: pd.DataFrame, width: int) -> None:
    """A size nearby that answers sooner and loses nothing, where there is one."""
    metric, row = run.task.metric, int((metrics["width"] == width).to_numpy().argmax())
    other = faster(metrics, metric, row)
    if other is None:
        return
    here, there = metrics.iloc[row], metrics.iloc[other]
    near = words.units(int(there["width"]))
    change = words.difference(metric, there[metric.name], here[metric.name])
    worth = "just as good" if change == "the same" else words.gap(metric, there[metric.name], here[metric.name])
    worth = worth if change == "the same" else f"{worth} better"
    times = f"{words.milliseconds(there['ms'])} instead of {words.milliseconds(here['ms'])} a prediction"
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(
            f":material/bolt: {words.safe(f'{near} nearby answers faster, {times}, and is {worth}.')}",
            help="Time does not grow evenly with the size, as processors like some sizes more than others. "
            f"Measured on {words.safe(store.machine(run))}.",
        )
        st.button(f"Take {near}", on_click=choice_of.jump, args=(run.id, int(there["width"])), key="pick-faster")


def _table(run: Run, metrics: pd.DataFrame) -> None:
    """What the chart says, for those who would rather read it."""
    with st.expander("The chart as a table", icon=":material/table:"):
        measured = metrics["width"].to_numpy()
        rows = sorted({int(abs(measured - w).argmin()) for w in log_spaced(int(measured[0]), int(measured[-1]))})
        table, alone = words.table(metrics.iloc[rows], run.task.metric), polished.points(run).table
        if len(alone):
            table = polished.in_table(table, alone, run.task.metric)
        st.dataframe(table, hide_index=True)


def _dark() -> bool:
    return st.context.theme.type == "dark"


def _colours() -> dict[str, str]:
    """Of the mark on the chart: itself, its edge, and what its label stands on."""
    ink, paper = ("#ffffff", "#11161c") if _dark() else ("#000000", "#ffffff")
    return {"star": charts.palette(_dark())[1], "ink": ink, "paper": paper}


def _about(run: Run, metrics: pd.DataFrame) -> None:
    record, machine = run.record, store.machine(run)
    data, training = record.data, record.training
    lines = [
        f"Data: {words.safe(str(data.get('source')))}",
        _measured_on(run, metrics),
        f"{run.task.metric.label}: {run.task.metric.meaning}",
        f"Trained once with the recipe {words.safe(words.setting(record.recipe.get('name')))}: "
        f"{words.safe(words.setting(record.recipe.get('epochs')))} passes over {words.count(data.get('train_n'))} "
        f"examples in {words.safe(words.setting(training.get('seconds')))} s.",
    ]
    if machine:
        lines.append(f"Time of one prediction: measured on {words.safe(machine)}, one example at a time.")
    if int(metrics["width"].iloc[-1]) != path_range(run.layout)[1]:
        lines.append(f"Only sizes up to {words.units(int(metrics['width'].iloc[-1]))} were measured.")
    lines.append(polished.how_to(run, metrics))
    with st.expander("Where these figures come from", icon=":material/science:"):
        st.markdown("\n".join(f"- {line}" for line in lines))


def _measured_on(run: Run, metrics: pd.DataFrame) -> str:
    """What the shown figures were measured on; the pixels of a picture may be those that it was painted from."""
    what, n, chosen = run.task.example, *(int(metrics[column].iloc[0]) for column in ("n", "validation_n"))
    if "picture" in run.record.data:
        return f"Shown figures: measured on all {n:,} {what}s of one picture. Sizes are chosen on {chosen:,} {what}s."
    return (
        f"Shown figures: measured on {n:,} test {what}s that were used neither to train nor to choose a size. Sizes "
        f"are chosen on {chosen:,} other {what}s."
    )
