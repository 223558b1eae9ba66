"""State of Pick a size: one visitor's choices, changed by callbacks of widgets, read from links."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, TypeGuard

import pandas as pd
import streamlit as st

from app import url_state
from app.store import file_sizes
from app.widgets import number_field
from core.runs.run import Run
from core.tasks.base import Metric

CHOOSE, UNDER, KEEP, LOSE, TIME = "choose", "under", "keep", "lose", "time"  # the questions
PARTS = ("run", "width", "ask", "limit", "unit", "format", "axis")  # of a link
SLIDER, PRESET = "slider", "preset"  # where a size comes from, as `links.touch` has it


@dataclass
class Choice:
    """One visitor's choices. They outlive the widgets, whose state is lost when another page is shown."""

    run: str | None = None
    widths: dict[str, int] = field(default_factory=dict)  # run -> the size shown last
    ask: str = CHOOSE
    limits: dict[str, float] = field(default_factory=dict)  # `limit_name` -> what was asked for; a file's is in kB
    unit: str = "kB"  # that a file's limit is written in
    whole: bool = False  # the chart's axis
    format: str | None = None  # of the file; None until chosen
    expert: bool = False  # whether the details for experts are shown
    start: int = 0  # the size that the slider was last put on from here; afterwards the hand moves it
    turn: int = 0  # how often that was done
    heard: float = 0  # number of the last pick that the browser sent


def kept() -> Choice:
    """Return this visitor's choices."""
    choice: Choice = st.session_state.setdefault("pick", Choice())
    return choice


def format_of(run: Run) -> str:
    """Return the format that file sizes are shown in: the visitor's where the run has it, else the default."""
    chosen = kept().format
    return chosen if chosen in file_sizes.formats(run) else file_sizes.default(run)


def limit_name(ask: str, metric: Metric) -> str:
    """Return the name that a limit is kept by: one for each metric, as 95 % is not 95 dB."""
    return f"{ask}-{metric.name}" if ask in (KEEP, LOSE) else ask


def limit_key(ask: str, unit: str) -> str:
    """The field's name; one for each unit, as a field keeps no figure when its ends move."""
    return f"pick-limit-{ask}" + ("-MB" if ask == UNDER and unit == "MB" else "")


def run_chosen() -> None:
    """Another network was chosen."""
    url_state.touch("pick")
    kept().run = st.session_state["pick-run"]


def ask_chosen() -> None:
    """Another question was chosen."""
    url_state.touch("pick")
    kept().ask = st.session_state["pick-ask"]


def unit_chosen() -> None:
    """Another unit for a file's limit was chosen; the limit stays."""
    url_state.touch("pick")
    kept().unit = st.session_state["pick-unit"]


def expert_chosen() -> None:
    """The details for experts were switched on or off."""
    url_state.touch("pick")
    kept().expert = st.session_state["pick-expert"]


def limit_chosen(metric: Metric, ask: str, in_kb: float, value: float | None) -> None:
    """Keep the figure of a question, unless another question has been chosen since.

    Parameters
    ----------
    metric : Metric
        Of the run.
    ask : str
        The question that the field belongs to.
    in_kb : float
        The field's unit in kB, for a file's size; else 1.
    value : float or None
        The figure; None keeps the one before it.
    """
    url_state.touch("pick")
    choice = kept()
    if value is not None and choice.ask == ask:
        choice.limits[limit_name(ask, metric)] = float(f"{value * in_kb:.12g}")


def released(run_id: str) -> str:
    """Return the key of the component that sends picks; one a run, as a message may come after another run is shown."""
    return f"released-{run_id}"


def picked(run_id: str) -> None:
    """Keep the size from the slider or a click on the chart. Other changes in the same message came after it."""
    earlier, found = url_state.touch("pick", SLIDER), getattr(st.session_state.get(released(run_id)), "picked", None)
    pick = found if isinstance(found, dict) else {}
    if _finite(number := pick.get("number")):
        kept().heard = number
    if PRESET not in earlier:
        _choose(run_id, pick.get("width"), by_hand=not earlier)


def choose_preset(run_id: str, width: int) -> None:
    """One of the sizes that are offered was chosen."""
    url_state.touch("pick", PRESET)
    _choose(run_id, width, by_hand=True)


def _choose(run_id: str, width: Any, *, by_hand: bool) -> None:
    """A size, which ends the question where it was chosen `by_hand`. It comes from a browser: it may be anything."""
    if _finite(width):
        choice = kept()
        choice.widths[run_id] = int(width)
        if by_hand:
            choice.ask = CHOOSE


def _finite(value: Any) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def put_slider(choice: Choice, width: int) -> None:
    """Move the slider from here, wherever the hand left it."""
    choice.start, choice.turn = width, choice.turn + 1


def measured_width(choice: Choice, run: Run, metrics: pd.DataFrame, otherwise: int | None = None) -> int:
    """The size that the visitor picked last for this run, or the measured one next to it; else `otherwise` or full."""
    widths = metrics["width"].to_numpy()
    full = int(widths[-1])
    wanted = min(max(choice.widths.get(run.id, full if otherwise is None else otherwise), int(widths[0])), full)
    return int(widths[abs(widths - wanted).argmin()])


def follow_run(link: dict[str, str], runs: list[Run], choice: Choice) -> None:
    """Take the run from the link, or draw a notice where it is not here."""
    url_state.unknown(link, PARTS)
    wanted = link.get("run")
    if wanted in {run.id for run in runs}:
        choice.run = wanted
    elif wanted is not None:
        url_state.broken("names a run that is not here", wanted)


def follow_format(link: dict[str, str], run: Run, choice: Choice) -> None:
    """Take the format from the link, which judges file sizes; a link without one means the default."""
    if not link:
        return
    choice.format = link.get("format")
    if choice.format not in (None, *file_sizes.formats(run)):
        url_state.broken("asks for a format that this network can't be had in", str(choice.format))


def follow_size(link: dict[str, str], run: Run, metrics: pd.DataFrame, choice: Choice) -> None:
    """Take size, question and axis from the link; a notice names each part that can't be followed.

    `metrics` is the table of `file_sizes.timed`.
    """
    if not link:
        return
    if "width" in link:
        low, high = int(metrics["width"].iloc[0]), int(metrics["width"].iloc[-1])
        width = url_state.whole(link["width"], low, high)
        if width is None:
            url_state.broken(
                f"asks for a size that is not there (this network has {low:,} to {high:,} units)", link["width"]
            )
        elif not (metrics["width"] == width).any():
            url_state.broken(
                "asks for a size that was not measured, so the nearest is shown", link["width"], ignored=False
            )
        if width is not None:
            choice.widths[run.id] = width
    choice.ask, choice.whole = CHOOSE, link.get("axis") == "whole"
    if not choice.whole and "axis" in link:
        url_state.broken("asks for an axis that is not known", link["axis"])
    _follow_question(link, run.task.metric, metrics, choice)


def _follow_question(link: dict[str, str], metric: Metric, metrics: pd.DataFrame, choice: Choice) -> None:
    ends = {
        UNDER: (number_field.LEAST, number_field.MOST),
        KEEP: number_field.bounds(metric),
        LOSE: number_field.loss_bounds(metric),
        TIME: (number_field.QUICKEST, number_field.SLOWEST),
    }
    ask = link.get("ask", CHOOSE)
    if ask not in ends:
        if ask != CHOOSE:
            url_state.broken("asks a question that is not known", ask)
        elif lone := link.get("limit", link.get("unit")):
            url_state.broken("has a limit without the question that it belongs to", lone)
        return
    if ask == TIME and metrics["ms"].isna().all():
        url_state.broken("asks for a time, which was not measured for this network", ask)
        return
    limit = url_state.number(link.get("limit", ""), *ends[ask])
    if limit is not None:
        choice.limits[limit_name(ask, metric)] = limit
    elif "limit" in link:
        url_state.broken("asks for a limit that can't be", link["limit"])
        return
    choice.ask, choice.unit = ask, "MB" if link.get("unit") == "MB" else "kB"
    if "unit" in link and (ask != UNDER or link["unit"] not in number_field.UNITS):
        url_state.broken("has a unit that does not belong to its limit", link["unit"])
