"""What speaks of the picked size. Each part is a fragment: a pick draws these anew, and leaves the rest of the page be.

A part that is closed says nothing of the size, so it is left out too; it reads the size when it is opened.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, NoReturn

import streamlit as st
from streamlit.errors import StreamlitAPIException

from app import answer_box, charts, download, examples, links, notices, polished, store, try_it, what_changes, words
from app import choice as choice_of
from app.chart_looks import palette
from app.details import details
from app.live_slider import live_slider
from app.question import Asked
from core.frontier import faster as faster_row
from core.runs import Run

CURVE = "curve"  # the container that the chart stands in, where the picked size is marked

ALWAYS = ("answer", "seen", "file", "link")
WHERE_OPEN = {"details": "pick-expert", "changes": "changes-open", "try": "try-open", "inside": "inside-open"}


def _width(run: Run) -> int:
    """The size that the page is on now: a part that runs again later than the page must not keep the page's."""
    return choice_of.measured_width(choice_of.kept(), run, store.metrics(run))


def _state(run: Run) -> tuple[str, bool]:
    """What decides on which parts there are: the question, and whether there is something to compare with full size."""
    return choice_of.kept().ask, _width(run) == int(store.metrics(run)["width"].iloc[-1])


def _again(run: Run, before: tuple[str, bool], *more: str) -> NoReturn:
    """End a callback that picked a size: what speaks of it runs again; all of the page where a question ended."""
    now = _state(run)
    if now[0] == before[0]:
        parts = {*more, *(part for part, key in WHERE_OPEN.items() if st.session_state.get(key))}
        if now != before:
            parts.add("changes")
        with suppress(StreamlitAPIException):  # the page is from before this server started, or failed half-way
            st.rerun([*ALWAYS, *sorted(parts)])
    st.rerun()


def _let_go(run: Run) -> NoReturn:
    before = _state(run)
    choice_of.picked(run.id)
    _again(run, before)


def _jump(run: Run, width: int) -> NoReturn:
    before = _state(run)
    choice_of.jump(run.id, width)
    _again(run, before, "slider")


@st.fragment(key="answer")
def answer(run: Run, asked: Asked) -> None:
    """The size in one sentence with its price, and whether one nearby is faster."""
    if choice_of.kept().ask != asked.ask:  # the question ended while the page was on its way
        st.rerun()
    notices.guarded(lambda: answer_box.answer_box(run, store.timed(run), _width(run), asked))()
    notices.guarded(lambda: _faster(run))()


@st.fragment(key="slider")
def slider(run: Run) -> None:
    """The slider, which a pick by hand does not draw anew."""
    choice = choice_of.kept()
    live_slider(
        _rows(run.path, run.stamp, choice.whole),
        choice.start,
        words.heading(run.task.metric),
        turn=choice.turn,
        chart=CURVE,
        colours=_colours(),
        key=f"slider-{run.id}",
        on_pick=lambda: _let_go(run),
    )


def _faster(run: Run) -> None:
    """A size nearby that answers sooner and loses nothing, where there is one."""
    metrics, metric = store.timed(run), run.task.metric
    row = int((metrics["width"] == _width(run)).to_numpy().argmax())
    other = faster_row(metrics, metric, row)
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
        st.button(f"Take {near}", on_click=_jump, args=(run, int(there["width"])), key="pick-faster")


@st.fragment(key="seen")
def seen(run: Run) -> None:
    """The picture at this size; or what it says of a few examples, and what changes against full size in a sentence."""
    width = _width(run)
    notices.guarded(lambda: examples.seen(run, store.metrics(run), width))()
    if not examples.paints(run, width):
        notices.guarded(lambda: what_changes.said(run, width))()


@st.fragment(key="details")
def for_experts(run: Run) -> None:
    """A switch, and what it shows."""
    notices.guarded(lambda: details(run, store.metrics(run), _width(run), choice_of.kept()))()
    links.shown("pick")


@st.fragment(key="changes")
def changes(run: Run) -> None:
    """What changes against full size, in a box that is closed at first."""
    width = _width(run)
    if not examples.paints(run, width):
        notices.guarded(lambda: what_changes.box(run, width))()


@st.fragment(key="try")
def own(run: Run) -> None:
    """An example of a visitor's own, in a box that is closed at first."""
    width = _width(run)
    if not examples.paints(run, width):
        try_it.section(run, width)


@st.fragment
def take(run: Run) -> None:
    """A format to choose, the button, what is inside. Another format draws all of it anew, another size its parts."""
    download.choose(run)
    file(run)
    inside(run)
    links.shown("pick")


@st.fragment(key="file")
def file(run: Run) -> None:
    """The button that hands over the file."""
    notices.guarded(lambda: download.button(run, _width(run)))()
    links.shown("pick")


@st.fragment(key="link")
def link(run: Run, asked: Asked) -> None:
    """What is on the screen as an address, which the browser's own becomes too, last of all."""
    choice = choice_of.kept()
    whole = {"axis": "whole"} if choice.whole else {}
    wanted = {"run": run.id, "width": str(_width(run)), **asked.link, **whole}
    download.link(wanted)
    links.write("pick", wanted)


@st.fragment(key="inside")
def inside(run: Run) -> None:
    """What the file holds, in a box that is closed at first."""
    notices.guarded(lambda: download.inside(run, _width(run)))()


@lru_cache(maxsize=32)
def _rows(path: Path, stamp: tuple[Any, ...], whole: bool) -> list[Mapping[str, Any]]:
    """What the slider says at each size, and where it lies on the chart; of the run's files alone."""
    run = Run(path)
    metrics, metric = store.metrics(run), run.task.metric
    said = words.readouts(metrics, metric, store.milliseconds(run))
    places = charts.places(metrics, metric, whole=whole, also=polished.points(run).table)
    return [{**row, "x": at.x, "y": at.y, "out": at.out} for row, at in zip(said, places, strict=True)]


def _colours() -> dict[str, str]:
    """Of the mark on the chart: itself, its edge, and what its label stands on."""
    dark = st.context.theme.type == "dark"
    ink, paper = ("#ffffff", "#11161c") if dark else ("#000000", "#ffffff")
    return {"star": palette(dark)[1], "ink": ink, "paper": paper}
