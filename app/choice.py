"""What a visitor chose on Pick a size: kept for the visit, changed by the widgets' callbacks, taken from a link."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import streamlit as st

from app import limits, links
from core.runs import Run
from core.tasks import Metric

CHOOSE, UNDER, KEEP = "choose", "under", "keep"  # the questions


@dataclass
class Choice:
    """What one visitor chose; it outlives the widgets, whose own state is lost when another page is shown."""

    run: str | None = None
    widths: dict[str, int] = field(default_factory=dict)  # run -> the size shown last
    ask: str = CHOOSE
    limits: dict[str, float] = field(default_factory=dict)  # `limit_name` -> what was asked for, in shown units
    whole: bool = False  # the chart's axis


def kept() -> Choice:
    """This visitor's."""
    choice: Choice = st.session_state.setdefault("pick", Choice())
    return choice


def limit_name(ask: str, metric: Metric) -> str:
    """Under what a limit is kept: 95 per cent of one network is no 95 decibels of the next."""
    return f"{ask}-{metric.name}" if ask == KEEP else ask


def run_chosen() -> None:
    """Another network was chosen."""
    links.touch("pick")
    kept().run = st.session_state["pick-run"]


def ask_chosen() -> None:
    """Another question was chosen."""
    links.touch("pick")
    kept().ask = st.session_state["pick-ask"]


def limit_chosen(metric: Metric) -> None:
    """The figure that goes with the question was changed."""
    links.touch("pick")
    choice = kept()
    value = st.session_state[f"pick-limit-{choice.ask}"]
    if value is not None:  # an emptied field keeps what was asked for before
        choice.limits[limit_name(choice.ask, metric)] = value


def picked(run_id: str) -> None:
    """The slider was let go of."""
    choose_by_hand(run_id, getattr(st.session_state.get(f"slider-{run_id}"), "picked", None))


def clicked(run_id: str) -> None:
    """A point of the chart was clicked."""
    points = st.session_state[f"curve-{run_id}"]["selection"]["points"]
    custom = points[0].get("customdata") if points else None
    choose_by_hand(run_id, custom[0] if isinstance(custom, list) and custom else custom)


def choose_by_hand(run_id: str, width: Any) -> None:
    """A size was picked, so no question is asked any more. `width` comes from a browser, so it may be anything."""
    links.touch("pick")
    if isinstance(width, (int, float)) and not isinstance(width, bool) and math.isfinite(width):
        choice = kept()
        choice.widths[run_id] = int(width)
        choice.ask = CHOOSE


def follow_run(link: dict[str, str], runs: list[Run], choice: Choice) -> None:
    """Take the run from the link; say so where it is not here."""
    wanted = link.get("run")
    if wanted in {run.id for run in runs}:
        choice.run = wanted
    elif wanted is not None:
        links.broken("names a run that is not here", wanted)


def follow_size(link: dict[str, str], run: Run, metrics: pd.DataFrame, choice: Choice) -> None:
    """Take size, question and axis from the link; what can't be followed is said and left out."""
    if not link:
        return
    if "width" in link:
        low, high = int(metrics["width"].iloc[0]), int(metrics["width"].iloc[-1])
        width = links.whole(link["width"], low, high)
        if width is None:
            links.broken(
                f"asks for a size that is not there (this network has {low:,} to {high:,} units)", link["width"]
            )
        elif not (metrics["width"] == width).any():
            links.broken("asks for a size that was not measured, so the nearest is shown", link["width"])
        if width is not None:
            choice.widths[run.id] = width
    choice.ask, choice.whole = CHOOSE, link.get("axis") == "whole"
    ask = link.get("ask", CHOOSE)
    if ask not in (UNDER, KEEP):
        if ask != CHOOSE:
            links.broken("asks a question that is not known", ask)
        return
    metric = run.task.metric
    least, most = limits.bounds(metric) if ask == KEEP else (limits.LEAST, limits.MOST)
    limit = links.number(link.get("limit", ""), least, most)
    if limit is not None:
        choice.limits[limit_name(ask, metric)] = limit
    elif "limit" in link:
        links.broken("asks for a limit that can't be", link["limit"])
        return
    choice.ask = ask
