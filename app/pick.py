"""Pick a size: ask what matters, show the answer, let the hand try others, hand over the file."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from app import axis, charts, download, examples, limits, links, notices, store, words
from app import choice as choice_of
from app.choice import CHOOSE, KEEP, UNDER, Choice
from app.live_slider import live_slider
from app.paired import paired
from app.scales import view
from core.errors import RunError, UserError
from core.frontier import log_spaced, recommended
from core.record import path_range
from core.report import Reply, reply
from core.runs import Run
from core.tasks import Metric

BADGES = {
    "fits": ("Fits", ":material/check_circle:", "green"),
    "just fits": ("Just fits", ":material/error:", "orange"),
    "does not fit": ("Too big", ":material/cancel:", "red"),
}


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
        metrics = store.metrics(run)
    except RunError as error:
        notices.no_metrics(run, error)
        links.write("pick", {"run": run.id})
        return
    if link.get("run", run.id) == run.id:
        choice_of.follow_size(link, run, metrics, choice)
    answered, budget = _question(run, metrics, choice)
    width = answered.answer.width if answered else _own_width(run, metrics, choice)
    choice.widths[run.id] = width
    _say(run, metrics, width, answered, choice)
    live_slider(
        words.readouts(metrics, run.task.metric, store.milliseconds(run)),
        width,
        words.heading(run.task.metric),
        key=f"slider-{run.id}",
        on_pick=lambda: choice_of.picked(run.id),
    )
    examples.picture(run, metrics, width)
    _curve(run, metrics, width, budget, choice)
    examples.section(run, width)
    download.section(run, width)
    _about(run, metrics)
    if len(runs) > 1:
        links.to("compare", "Is another run better? Compare runs")
    wanted = {"run": run.id, "width": str(width)}
    if choice.ask != CHOOSE:
        wanted |= {"ask": choice.ask, "limit": f"{st.session_state[f'pick-limit-{choice.ask}']:.12g}"}
    links.write("pick", wanted | ({"axis": "whole"} if choice.whole else {}))


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


def _question(run: Run, metrics: pd.DataFrame, choice: Choice) -> tuple[Reply | None, charts.Limits]:
    """What matters to the visitor, and the size that answers it (None where they choose by hand)."""
    metric = run.task.metric
    asks = {
        CHOOSE: "Let me choose",
        UNDER: "Stay under a file size",
        KEEP: limits.question(metric),
    }
    st.session_state["pick-ask"] = choice.ask
    st.radio(
        "What matters to you?",
        list(asks),
        format_func=asks.__getitem__,
        horizontal=True,
        key="pick-ask",
        on_change=choice_of.ask_chosen,
    )
    if choice.ask == CHOOSE:
        return None, charts.Limits()
    limit = _limit(metrics, metric, choice)
    try:
        if choice.ask == UNDER:
            return reply(run, metrics, max_kb=limit), charts.Limits(max_bytes=limit * 1e3)
        least = limit / metric.scale
        return reply(run, metrics, at_least=least), charts.Limits(at_least=least)
    except UserError as error:
        st.warning(words.safe(str(error)), icon=":material/warning:")
        return None, charts.Limits()


def _limit(metrics: pd.DataFrame, metric: Metric, choice: Choice) -> float:
    """The figure that goes with the question; it starts where the recommended size fits."""
    key = f"pick-limit-{choice.ask}"
    middle = metrics.iloc[recommended(metrics, metric)]
    if choice.ask == UNDER:
        label, field = "Largest file, in kB", limits.size_field(float(middle["bytes"]))
        help_text = "1 kB is 1,000 bytes; a photo has thousands of kB."
    else:
        label, help_text = limits.field_label(metric), metric.meaning
        field = limits.metric_field(metric, float(middle[f"validation_{metric.name}"]))
    st.session_state[key] = field.clip(choice.limits.get(choice_of.limit_name(choice.ask, metric), field.start))
    st.number_input(
        label,
        value=None,  # so that an emptied field comes as None and not as the lowest limit
        min_value=field.low,
        max_value=field.high,
        step=field.step,
        format="%g",
        key=key,
        help=help_text,
        on_change=choice_of.limit_chosen,
        args=(metric,),
        width=260,
    )
    return float(st.session_state[key])


def _own_width(run: Run, metrics: pd.DataFrame, choice: Choice) -> int:
    """The size that the visitor picked last for this run, else the recommended one; with two buttons for others."""
    suggested = int(metrics["width"].iloc[recommended(metrics, run.task.metric)])
    full = int(metrics["width"].iloc[-1])
    with st.container(horizontal=True):
        st.button(
            f"Recommended: {words.units(suggested)}",
            on_click=choice_of.choose_by_hand,
            args=(run.id, suggested),
            help="The smallest size that comes so close to full size that the validation examples leave it open which "
            "is better.",
        )
        st.button(f"Full size: {words.units(full)}", on_click=choice_of.choose_by_hand, args=(run.id, full))
    measured = metrics["width"].to_numpy()
    wanted = min(max(choice.widths.get(run.id, suggested), int(measured[0])), int(measured[-1]))
    return int(measured[abs(measured - wanted).argmin()])


def _say(run: Run, metrics: pd.DataFrame, width: int, answered: Reply | None, choice: Choice) -> None:
    """The answer as one sentence, with a badge, and how sure it is."""
    with st.container(border=True):
        if answered is None:
            row = metrics[metrics["width"] == width].iloc[0]
            st.markdown(words.choice(row, metrics.iloc[-1], run.task.metric))
        else:
            word, icon, colour = BADGES[answered.verdict]
            if answered.verdict == "does not fit" and choice.ask == KEEP:
                word = "Out of reach"
            st.badge(word, icon=icon, color=colour)  # type: ignore[arg-type]
            st.markdown(words.safe(answered.sentence))
        _certainty(run, metrics, width)


def _certainty(run: Run, metrics: pd.DataFrame, width: int) -> None:
    """Whether what was tested on can tell the picked size from full size (paired test on the same examples)."""
    full = int(metrics["width"].iloc[-1])
    if width == full:
        return
    mine, theirs = store.scores(run, width), store.scores(run, full)
    if mine is None or theirs is None:
        return
    test, who = paired(run.task, mine, theirs, ("this size", "full size")), f"The test {run.task.example}s"
    if test.told:
        icon, better_one = ("trending_up", "this") if test.first_is_better else ("trending_down", "full")
        text, care = f"{who} can tell the difference: {better_one} size is better.", "Chance does this under 1 in 20."
        st.markdown(f":material/{icon}: {text}", help=f"{test.counts} {care}")
    else:
        text, care = f"{who} can't tell this size from full size.", "A difference this small may be chance."
        st.markdown(f":material/balance: {text}", help=f"{test.counts} {care}")


def _curve(run: Run, metrics: pd.DataFrame, width: int, budget: charts.Limits, choice: Choice) -> None:
    """The curve; a click on a point picks it. The table says the same."""
    metric = run.task.metric
    st.subheader(f"{metric.label} at every size", anchor="curve")
    st.plotly_chart(
        charts.size_curve(metrics, metric, width, budget, st.context.theme.type == "dark", whole=choice.whole),
        key=f"curve-{run.id}",
        on_select=lambda: choice_of.clicked(run.id),
        selection_mode="points",
        config={"displayModeBar": False},
        alt=f"{metric.label} over size for {run.id}; the table below says the same.",
    )
    st.caption(
        "Click a point to pick that size. The band is the 95 % interval: how far a figure may be off because it was "
        f"measured on {int(metrics['n'].iloc[0]):,} {run.task.example}s and not on all there could be."
    )
    close = view([metrics], metric, [width])
    axis.switch("pick", close, metric, choice.whole)
    with st.expander("The same as a table", icon=":material/table:"):
        measured = metrics["width"].to_numpy()
        near = {int(abs(measured - w).argmin()) for w in log_spaced(int(measured[0]), int(measured[-1]))}
        rows = sorted(near | {int(abs(measured - width).argmin())})
        st.dataframe(words.table(metrics.iloc[rows], metric), hide_index=True)


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
