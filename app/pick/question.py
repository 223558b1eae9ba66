"""The question on Pick a size: a budget, its figure, and the size that answers it."""

from __future__ import annotations

from dataclasses import dataclass, field

import pandas as pd
import streamlit as st

from app import words
from app.charts.curves import Limits
from app.pick import state as choice_of
from app.pick.state import CHOOSE, KEEP, LOSE, TIME, UNDER, Choice
from app.store import file_sizes, latency
from app.widgets import number_field
from core.errors import UserError
from core.runs.run import Run
from core.sweep.budget import chosen_by, recommended
from core.sweep.report import Reply, reply

MOST_FILES = 8  # made for one answer, each of which may turn out a little larger than estimated


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The question, its answer if any, the limits to draw on the chart, and the question as part of a link."""

    ask: str = CHOOSE
    reply: Reply | None = None
    limits: Limits = field(default_factory=Limits)
    link: dict[str, str] = field(default_factory=dict)


def question(run: Run, metrics: pd.DataFrame, choice: Choice) -> Asked:
    """The row of questions with the figure of the chosen one. `metrics` is the table of `file_sizes.timed`."""
    metric = run.task.metric
    asks = {
        CHOOSE: "Let me choose",
        UNDER: "Stay under a file size",
        KEEP: number_field.question(metric),
        LOSE: "Lose little against full size",
        TIME: "Answer within a time",
    }
    if metrics["ms"].isna().all():
        del asks[TIME]
        choice.ask = CHOOSE if choice.ask == TIME else choice.ask
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
        return Asked()
    limit = _limit(run, metrics, choice)
    link = {"ask": choice.ask, "limit": f"{limit:.12g}"} | (
        {"unit": "MB"} if choice.ask == UNDER and choice.unit == "MB" else {}
    )
    try:
        found, out = _answer(run, metrics, choice.ask, limit)
    except UserError as error:
        st.warning(words.safe(str(error)), icon=":material/warning:")
        return Asked(ask=choice.ask, link=link)
    return Asked(ask=choice.ask, reply=found, limits=out, link=link)


def _answer(run: Run, metrics: pd.DataFrame, ask: str, limit: float) -> tuple[Reply, Limits]:
    metric = run.task.metric
    if ask == UNDER:
        return _within(run, metrics, limit), Limits(max_bytes=limit * 1e3)
    if ask == TIME:
        quick = tuple(int(width) for width in metrics["width"][metrics["ms"] <= limit])
        return reply(run, metrics, max_ms=limit), Limits(quick=quick)
    amount = limit / metric.scale
    if ask == LOSE:
        full = float(metrics[metric.name].iloc[-1])
        least = full - amount if metric.higher_is_better else full + amount
        return reply(run, metrics, lose_at_most=amount), Limits(at_least=least)
    return reply(run, metrics, at_least=amount), Limits(at_least=amount)


def _within(run: Run, metrics: pd.DataFrame, max_kb: float) -> Reply:
    """The best size within a file size, held against the bytes of the very file that the download would be."""
    format = choice_of.format_of(run)
    for _ in range(MOST_FILES):
        found = reply(run, metrics, max_kb=max_kb)
        row = metrics["width"] == found.answer.width
        size = file_sizes.exact_bytes(run, found.answer.width, format)
        if size is None or (metrics.loc[row, "bytes"] == size).all():
            break
        metrics = metrics.assign(bytes=metrics["bytes"].mask(row, size))
    return found


def _limit(run: Run, metrics: pd.DataFrame, choice: Choice) -> float:
    """The figure that goes with the question; it starts where the recommended size fits. A file's is in kB."""
    metric, key = run.task.metric, choice_of.limit_key(choice.ask, choice.unit)
    label, help_text, entry = _field(run, metrics, choice)
    in_kb = number_field.UNITS[choice.unit] if choice.ask == UNDER else 1.0
    before = choice.limits.get(choice_of.limit_name(choice.ask, metric))
    with st.container(horizontal=True, vertical_alignment="top"):
        value = number_field.show(
            label,
            entry,
            entry.start if before is None else before / in_kb,
            key=key,
            help=help_text,
            on_change=choice_of.limit_chosen,
            args=(metric, choice.ask, in_kb),
        )
        if choice.ask == UNDER:
            st.session_state["pick-unit"] = choice.unit
            st.radio(
                "Unit", list(number_field.UNITS), horizontal=True, key="pick-unit", on_change=choice_of.unit_chosen
            )
    return float(f"{value * in_kb:.12g}")


def _field(run: Run, metrics: pd.DataFrame, choice: Choice) -> tuple[str, str, number_field.Field]:
    """Label, help and range of the question's figure."""
    metric, at = run.task.metric, recommended(metrics, run.task.metric)
    row = metrics.iloc[at]
    if choice.ask == UNDER:
        help_text = "1\u00a0kB is 1,000 bytes and 1\u00a0MB is 1,000 kB; a photo has thousands of kB."
        return f"Largest file, in {choice.unit}", help_text, number_field.size_field(float(row["bytes"]), choice.unit)
    if choice.ask == TIME:
        help_text = (
            f"Time of one prediction, one example at a time, measured on {words.safe(latency.machine(run))}. It was "
            "measured at some sizes only, so only these can be the answer."
        )
        return "Longest time of one prediction, in ms", help_text, number_field.time_field(_nearest_time(metrics, row))
    values = chosen_by(metrics, metric)
    if choice.ask == LOSE:
        lost = float(values[-1] - values[at]) * (1 if metric.higher_is_better else -1)
        help_text = f"How much worse than full size it may be. {metric.meaning}"
        return number_field.loss_label(metric), help_text, number_field.loss_field(metric, lost, float(values[-1]))
    return number_field.field_label(metric), metric.meaning, number_field.metric_field(metric, float(values[at]))


def _nearest_time(metrics: pd.DataFrame, row: pd.Series) -> float:
    """Time at the measured size next to a row's, by ratio."""
    known = metrics[metrics["ms"].notna()]
    ratio = (known["width"] / row["width"]).map(lambda r: max(r, 1 / r))
    return float(known["ms"].loc[ratio.idxmin()])
