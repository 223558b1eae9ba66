"""Pick a size: ask what matters, show the answer, let the hand try others, hand over the file."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from app import charts, download, notices, store, words
from app.live_slider import live_slider
from core.errors import RunError, UserError
from core.frontier import log_spaced, recommended
from core.report import Reply, describe, reply
from core.runs import Run
from core.tasks import paired_test

CHOOSE, UNDER, KEEP = "choose", "under", "keep"
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
    run = _choose_run(runs)
    try:
        metrics = store.metrics(run)
    except RunError as error:
        notices.no_metrics(run, error)
        return
    answered, limits = _question(run, metrics)
    width = answered.answer.width if answered else _own_width(run, metrics)
    _say(run, metrics, width, answered)
    st.session_state.setdefault("pick-widths", {})[run.id] = width
    live_slider(
        words.readouts(metrics, run.task.metric, store.milliseconds(run)),
        width,
        run.task.metric.label,
        key=f"slider-{run.id}",
        on_pick=lambda: _picked(run.id),
    )
    _certainty(run, metrics, width)
    _curve(run, metrics, width, limits)
    download.section(run, width)
    _about(run, metrics)
    _write_link(run, width)


def _choose_run(runs: list[Run]) -> Run:
    """The run to look at: the visitor's choice, else the link's, else the newest that has been measured."""
    by_id = {run.id: run for run in runs}
    state = st.session_state
    if "pick-asked" not in state:  # a visitor's first look: the link says what to show
        state["pick-asked"] = True
        _read_link(by_id)
    wanted = state.get("pick-run-kept")
    if wanted not in by_id:
        ready = [run for run in runs if run.has_metrics] or runs
        wanted = max(ready, key=lambda run: run.record.created).id
    if len(runs) == 1:
        return runs[0]
    if state.get("pick-run") not in by_id:
        state["pick-run"] = wanted
    chosen = st.selectbox(
        "Trained network",
        list(by_id),
        format_func=lambda run_id: f"{run_id} ({by_id[run_id].record.data.get('name')})",
        key="pick-run",
    )
    state["pick-run-kept"] = chosen  # a widget's own state is lost when another page is shown
    return by_id[chosen]


def _question(run: Run, metrics: pd.DataFrame) -> tuple[Reply | None, charts.Limits]:
    """What matters to the visitor, and the size that answers it (None where they choose by hand)."""
    metric, state = run.task.metric, st.session_state
    choices = {
        CHOOSE: "Let me choose",
        UNDER: "Stay under a file size",
        KEEP: f"Keep at least a certain {metric.label.lower()}",
    }
    state.setdefault("pick-ask", state.get("pick-ask-kept", CHOOSE))
    ask = st.radio(
        "What matters to you?", list(choices), format_func=choices.__getitem__, horizontal=True, key="pick-ask"
    )
    state["pick-ask-kept"] = ask
    if ask == CHOOSE:
        return None, charts.Limits()
    limit = _limit(run, metrics, ask)
    limits = {"max_kb": limit} if ask == UNDER else {"at_least": limit / metric.scale}
    try:
        answered = reply(run, metrics, **limits)
    except UserError as error:
        st.warning(words.safe(str(error)), icon=":material/warning:")
        return None, charts.Limits()
    if ask == UNDER:
        return answered, charts.Limits(max_bytes=limit * 1e3)
    return answered, charts.Limits(at_least=limit / metric.scale)


def _limit(run: Run, metrics: pd.DataFrame, ask: str) -> float:
    """The figure that goes with the question, with a start that most people can live with."""
    metric, state = run.task.metric, st.session_state
    key = f"pick-limit-{ask}-{run.id}"
    kept = state.setdefault("pick-limits-kept", {})
    middle = metrics.iloc[recommended(metrics, metric)]
    if ask == UNDER:
        start, unit, step = float(max(1, round(middle["bytes"] / 1e3))), "kB", 1.0
        label, help_text, high = "Largest file, in kB", "1 kB is 1,000 bytes; a photo has a few thousand kB.", 1e9
    else:
        start = float(round(middle[metric.name] * metric.scale, 0))
        unit, step, high = metric.unit.strip(), 0.5, 100.0 if metric.unit.strip() == "%" else 1e9
        label, help_text = f"Least {metric.label.lower()}, in {unit}", metric.meaning
    state.setdefault(key, kept.get(key, start))
    value = st.number_input(label, min_value=0.0, max_value=high, step=step, key=key, help=help_text)
    kept[key] = value
    return float(value)


def _own_width(run: Run, metrics: pd.DataFrame) -> int:
    """The size that the visitor picked last for this run, else the recommended one; with two buttons for others."""
    suggested = int(metrics["width"].iloc[recommended(metrics, run.task.metric)])
    full = int(metrics["width"].iloc[-1])
    widths = st.session_state.setdefault("pick-widths", {})
    with st.container(horizontal=True):
        st.button(
            f"Recommended: {words.units(suggested)}",
            on_click=widths.__setitem__,
            args=(run.id, suggested),
            help="The smallest size that is as good as full size, as far as the validation examples can tell.",
        )
        st.button(f"Full size: {words.units(full)}", on_click=widths.__setitem__, args=(run.id, full))
    wanted = widths.get(run.id, suggested)
    measured = metrics["width"].to_numpy()
    return int(measured[abs(measured - wanted).argmin()])


def _say(run: Run, metrics: pd.DataFrame, width: int, answered: Reply | None) -> None:
    """The answer as one sentence, with a badge."""
    with st.container(border=True):
        if answered is None:
            row = metrics[metrics["width"] == width].iloc[0]
            st.markdown(f"**Your choice:** {words.safe(describe(row, metrics.iloc[-1], run.task.metric))}\\.")
            return
        word, icon, colour = BADGES[answered.verdict]
        if answered.verdict == "does not fit" and st.session_state["pick-ask"] == KEEP:
            word = "Out of reach"
        st.badge(word, icon=icon, color=colour)  # type: ignore[arg-type]
        st.markdown(words.safe(answered.sentence))


def _certainty(run: Run, metrics: pd.DataFrame, width: int) -> None:
    """Whether the test examples can tell the picked size from full size (paired test on the same examples)."""
    full = int(metrics["width"].iloc[-1])
    if width == full:
        return
    mine, theirs = store.correct(run, width), store.correct(run, full)
    if mine is None or theirs is None:
        return
    worse, better = int((theirs & ~mine).sum()), int((mine & ~theirs).sum())
    counts = (
        f"Of {len(mine):,} test examples, full size alone gets {worse:,} right and this size alone {better:,}; "
        f"p = {paired_test(mine, theirs):.2g}."
    )
    if paired_test(mine, theirs) >= 0.05:
        text = "**The test examples can't tell this size from full size.**"
        st.markdown(f":material/balance: {text}", help=counts + " A difference this small may be chance.")
    else:
        who = f"The test examples show that {'full' if worse > better else 'this'} size is better"
        st.markdown(f":material/trending_down: **{who}.**", help=counts + " Chance alone does this under 1 time in 20.")


def _curve(run: Run, metrics: pd.DataFrame, width: int, limits: charts.Limits) -> None:
    """The curve; a click on a point picks it. The table says the same."""
    metric = run.task.metric
    st.subheader(f"{metric.label} at every size", anchor="curve")
    st.plotly_chart(
        charts.size_curve(metrics, metric, width, limits, st.context.theme.type == "dark"),
        key=f"curve-{run.id}",
        on_select=lambda: _clicked(run.id),
        selection_mode="points",
        config={"displayModeBar": False},
        alt=f"{metric.label} over size for {run.id}; the table below says the same.",
    )
    st.caption("Click a point to pick that size. The band is where the true value lies with 95 % certainty.")
    with st.expander("The same as a table", icon=":material/table:"):
        shown = {*log_spaced(int(metrics["width"].iloc[0]), int(metrics["width"].iloc[-1])), width}
        st.dataframe(words.table(metrics, metric, sorted(shown)), hide_index=True)


def _about(run: Run, metrics: pd.DataFrame) -> None:
    record = run.record
    with st.expander("Where these figures come from", icon=":material/science:"):
        st.markdown(
            f"- Data: {words.safe(str(record.data.get('source')))}\n"
            f"- Shown figures: measured on {int(metrics['n'].iloc[0]):,} test examples that were used neither to train "
            f"nor to choose a size. Sizes are chosen on {int(metrics['validation_n'].iloc[0]):,} other examples.\n"
            f"- Trained once with the recipe *{words.safe(str(record.recipe.get('name')))}*, "
            f"{record.recipe.get('epochs')} passes over {record.data.get('train_n', 0):,} examples in "
            f"{record.training.get('seconds', 0):,.0f} s.\n"
            f"- {run.task.metric.label}: {run.task.metric.meaning}"
        )


def _picked(run_id: str) -> None:
    """The slider was let go of."""
    _choose_by_hand(run_id, getattr(st.session_state.get(f"slider-{run_id}"), "picked", None))


def _clicked(run_id: str) -> None:
    """A point of the chart was clicked."""
    points = st.session_state[f"curve-{run_id}"]["selection"]["points"]
    custom = points[0].get("customdata") if points else None
    _choose_by_hand(run_id, custom[0] if isinstance(custom, list) else custom)


def _choose_by_hand(run_id: str, width: Any) -> None:
    if isinstance(width, (int, float)) and not isinstance(width, bool):
        st.session_state.setdefault("pick-widths", {})[run_id] = int(width)
        st.session_state["pick-ask"] = CHOOSE


def _read_link(by_id: dict[str, Run]) -> None:
    """Take run, size and question from the link; what can't be followed is said and left out."""
    state, link = st.session_state, st.query_params
    run_id = link.get("run")
    if run_id is None:
        return
    if run_id not in by_id:
        st.info(f"The link names a run that is not here, {words.safe(run_id[:60])}.", icon=":material/link_off:")
        return
    state["pick-run-kept"] = run_id
    try:
        metrics = store.metrics(by_id[run_id])
    except RunError:
        return
    low, high = int(metrics["width"].iloc[0]), int(metrics["width"].iloc[-1])
    text = link.get("width", "")
    if text.isdecimal() and len(text) < 10 and low <= int(text) <= high:
        state.setdefault("pick-widths", {})[run_id] = int(text)
    elif text:
        st.info(
            f"The link asks for a size that is not there; this run has {low} to {high} units.",
            icon=":material/link_off:",
        )
    ask, limit = link.get("ask"), link.get("limit", "")
    if ask in (UNDER, KEEP):
        state["pick-ask-kept"] = ask
        try:
            value = float(limit)
        except ValueError:
            return
        if 0 <= value <= (1e9 if ask == UNDER else 100):  # NaN is refused too
            state.setdefault("pick-limits-kept", {})[f"pick-limit-{ask}-{run_id}"] = value


def _write_link(run: Run, width: int) -> None:
    """The address always reproduces what is on the screen."""
    state = st.session_state
    wanted = {"run": run.id, "width": str(width)}
    if state["pick-ask"] != CHOOSE:
        ask = state["pick-ask"]
        wanted |= {"ask": ask, "limit": f"{state[f'pick-limit-{ask}-{run.id}']:g}"}
    if st.query_params.to_dict() != wanted:
        st.query_params.from_dict(wanted)
