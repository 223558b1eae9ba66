"""Pick a size: ask what matters, show the answer, let the hand try others, hand over the file.

A pick draws anew what speaks of the size (`picked`). The chart and the question stay as they are.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from app import url_state, words
from app.charts import axis_switch, curves
from app.charts.axes import view
from app.components.first_steps import first_steps
from app.pick import answer as pick_answer
from app.pick import polished, selected
from app.pick import state as choice_of
from app.pick.changes.compute import name_of
from app.pick.question import question
from app.pick.state import CHOOSE, Choice
from app.store import cache, file_sizes, latency
from app.store.polished import points
from app.widgets import notices
from app.widgets.run_picker import hint, offered
from core.elastic.size_grid import path_range
from core.errors import RunError
from core.runs.run import Run
from core.sweep.budget import as_good_as_full, recommended

FEW_TESTED = 10  # test examples of a label; of fewer, one more right moves its figure by 10 points
MOST_WARNINGS, LONGEST_WARNING = 6, 300


def page() -> None:
    """The whole page, top to bottom."""
    st.title("Pick a size")
    st.markdown("One network was trained once, and it works at **every size**. Smaller is cheaper; bigger is better.")
    runs = notices.open_store()
    if not runs:
        return
    choice = choice_of.kept()
    link = url_state.followed("pick")
    choice_of.follow_run(link, runs, choice)
    run = _choose_run(runs, choice)
    choice_of.follow_format(link, run, choice)
    try:
        metrics = file_sizes.timed(run, choice_of.format_of(run))
    except RunError as error:
        notices.no_metrics(run, error)
        url_state.write("pick", {"run": run.id})
        return
    _data_warnings(run)
    if link.get("run", run.id) == run.id:
        choice_of.follow_size(link, run, metrics, choice)
    first_steps()
    asked = question(run, metrics, choice)
    if asked.ask == CHOOSE:
        _presets(run, metrics)
    if asked.reply:
        choice.widths[run.id] = asked.reply.answer.width
    choice.widths[run.id] = _width(run, metrics, choice)
    choice_of.put_slider(choice, choice.widths[run.id])
    above = st.container()
    with st.container(key=selected.CURVE):  # first, as a browser takes longest to draw it
        _curve(run, metrics, asked.limits, choice)
    with above:
        with st.container(border=True):
            pick_answer.badge(asked)
            notices.guarded(lambda: selected.answer(run, asked))()
        selected.slider(run)
    selected.for_experts(run)
    place = selected.seen(run)
    selected.changes(run)
    selected.own(run)
    selected.take(run, asked, place)
    _table(run)
    _about(run, metrics)
    if len(runs) > 1:
        url_state.to("compare", "Is another run better? Compare runs")


def _choose_run(runs: list[Run], choice: Choice) -> Run:
    """The run to look at: the visitor's choice where it is still there, else a good one to open."""
    by_id = {run.id: run for run in runs}
    if choice.run not in by_id:
        if choice.run is not None:
            gone = words.safe(words.short(choice.run))
            st.info(f"The run {gone} is no longer here; another one is shown.", icon=":material/info:")
        choice.run = cache.opening(runs).id
    if len(runs) > 1:
        st.session_state["pick-run"] = choice.run
        st.selectbox(
            "Model",
            offered(runs, {choice.run}),
            format_func=lambda run_id: words.listed(by_id[run_id]),
            key="pick-run",
            on_change=choice_of.run_chosen,
            help=f"At first the best run on the data that was used last: best at a tenth of full size. {hint(runs)}",
        )
    run = by_id[choice.run]
    lead = "" if len(runs) > 1 else f"**{words.safe(run.id)}**: "
    st.caption(lead + words.purpose(run.record))
    return run


def _data_warnings(run: Run) -> None:
    """The warnings about the run's data: those stored with it, and labels that few test examples have."""
    lines = [words.safe(words.short(text, LONGEST_WARNING)) for text in cache.data_warnings(run)[:MOST_WARNINGS]]
    counts = cache.label_counts(run)
    few = [] if counts is None else [k for k in np.argsort(counts, kind="stable") if counts[k] < FEW_TESTED]
    if counts is not None and few:
        named = [f"{words.safe(name_of(run.record.labels, int(k)))} ({counts[k]})" for k in few[:MOST_WARNINGS]]
        more = f" and {len(few) - len(named):,} more" if len(few) > len(named) else ""
        lines.append(
            f"Labels with fewer than {FEW_TESTED} test examples: {', '.join(named)}{more}. The figures on this page "
            "say little about these."
        )
    if lines:
        st.warning("\n".join(f"- {line}" for line in lines), icon=":material/warning:")


def _presets(run: Run, metrics: pd.DataFrame) -> None:
    """Draw three preset sizes as buttons."""
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
            f"The smallest size that the {kind} can't tell from full size (a paired test at 95\u00a0%), where of the "
            "larger sizes no more than 1 in 20 can be told from it either.",
        ),
        ("Full size", int(widths.iloc[-1]), "The whole network, as it was trained."),
    )
    with st.container(horizontal=True):
        for name, width, meaning in presets:
            st.button(
                f"{name}: {words.units(width)}",
                on_click=choice_of.choose_preset,
                args=(run.id, width),
                help=meaning,
            )


def _width(run: Run, metrics: pd.DataFrame, choice: Choice) -> int:
    """The size that the page is on: the visitor's, the answer's, or the recommended one at first."""
    suggested = int(metrics["width"].iloc[recommended(metrics, run.task.metric)])
    return choice_of.measured_width(choice, run, metrics, suggested)


def _curve(run: Run, metrics: pd.DataFrame, limits: curves.Limits, choice: Choice) -> None:
    """The curve. A click in it is the slider's to follow, in the browser."""
    metric, alone = run.task.metric, points(run).table
    st.subheader(f"{metric.label} at every size", anchor="curve")
    st.caption(
        "Tap the chart or move the slider to pick a size. The band is the 95\u00a0% interval: how far a figure may be "
        f"off because it was measured on {int(metrics['n'].iloc[0]):,} {run.task.example}s and not on all that there "
        "could be."
    )
    if len(alone):
        st.caption(polished.EXPLAINED)
    close, seen = (view([metrics], metric, [None], whole=whole, also=alone) for whole in (False, choice.whole))
    axis_switch.switch("pick", close, metric, choice.whole)
    figure = curves.size_curve(metrics, metric, limits, _dark(), whole=choice.whole, also=alone)
    figure["data"] += polished.marks(alone, metric, seen, _dark())
    st.plotly_chart(
        figure,
        key=f"curve-{run.id}",
        config={"displayModeBar": False},
        alt=f"{metric.label} over size for {run.id}; the table further down says the same.",
    )


@st.fragment
def _table(run: Run) -> None:
    """Draw the chart's figures as a table, in a box that is closed at first."""
    box = st.expander("The chart as a table", icon=":material/table:", key="table-open", on_change="rerun")
    if not box.open:  # what is closed costs nothing: a browser loads 2 MB for its first table
        return
    with box:
        format = choice_of.format_of(run)
        some = words.some_sizes(file_sizes.timed(run, format))
        alone = file_sizes.in_format(run, points(run).table, format)
        table = words.table(some, run.task.metric)
        if len(alone):
            table = polished.in_table(table, alone, run.task.metric)
        st.dataframe(table, hide_index=True, alt="The chart as a table")


def _dark() -> bool:
    return st.context.theme.type == "dark"


def _about(run: Run, metrics: pd.DataFrame) -> None:
    record, machine = run.record, latency.machine(run)
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
    lines.append("Parameters: every number in the file, with the constants by which the model scales its inputs.")
    if (counts := cache.label_counts(run)) is not None and len(counts):
        low, high = int(counts.min()), int(counts.max())
        each = f"{low:,}" if low == high else f"{low:,} to {high:,}"
        lines.append(f"Test examples of each label: {each}.")
    lines.append(polished.how_to(run, metrics))
    with st.expander("How it was measured", icon=":material/science:"):
        st.markdown(words.joined("\n".join(f"- {line}" for line in lines)))


def _measured_on(run: Run, metrics: pd.DataFrame) -> str:
    """Return in a sentence what was measured on which examples; a picture is tested on the pixels it was trained on."""
    what, n, chosen = run.task.example, *(int(metrics[column].iloc[0]) for column in ("n", "validation_n"))
    if "picture" in run.record.data:
        return f"Shown figures: measured on all {n:,} {what}s of one picture. Sizes are chosen on {chosen:,} {what}s."
    return (
        f"Shown figures: measured on {n:,} test {what}s that were used neither to train nor to choose a size. Sizes "
        f"are chosen on {chosen:,} other {what}s."
    )
