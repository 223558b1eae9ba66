"""The parts of the page that depend on the selected size.

Content known beforehand for every size follows the slider in the browser: `live_part`, the address, the download. The
server redraws the rest: one small fragment, `size`, and open boxes, which are fragments of their own. A closed box
reads the size when it opens.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator
from streamlit.errors import StreamlitAPIException

from app import url_state, words
from app.charts import curves
from app.charts.style import palette
from app.components.live_part import line, live_part
from app.components.live_slider import live_slider, needed, released
from app.pick import answer as pick_answer
from app.pick import download, examples
from app.pick import state as choice_of
from app.pick.changes import panel as changes_panel
from app.pick.question import Asked
from app.pick.state import CHOOSE
from app.pick.try_it import panel as try_it_panel
from app.store import cache, file_sizes, latency
from app.store.polished import points
from app.widgets import notices
from core.runs.run import Run

CURVE = "curve"  # the container that the chart stands in, where the picked size is marked

WHERE_OPEN = {"details": "pick-expert", "changes": "changes-open", "try": "try-open", "inside": "inside-open"}


def _width(run: Run) -> int:
    """The size that the page is on now: a part that runs again later than the page must not keep the page's."""
    return choice_of.measured_width(choice_of.kept(), run, cache.metrics(run))


def _let_go(run: Run) -> None:
    """A size was picked: `size` runs again by itself; open boxes with it; all of the page where a question ended."""
    before = choice_of.kept().ask
    choice_of.picked(run.id)
    if choice_of.kept().ask != before:
        st.rerun()
    boxes = {part for part, key in WHERE_OPEN.items() if st.session_state.get(key)}
    if boxes:
        with suppress(StreamlitAPIException):  # the page is from before this server started, or failed half-way
            st.rerun(["size", *sorted(boxes)])
        st.rerun()


def slider(run: Run) -> None:
    """The slider, which a pick by hand does not draw anew."""
    choice = choice_of.kept()
    live_slider(
        run.id,
        _rows(run.path, run.stamp, choice.whole, choice_of.format_of(run)),
        choice.start,
        words.heading(run.task.metric),
        turn=choice.turn,
        heard=choice.heard,
        chart=CURVE,
        colours=_colours(),
        key=f"slider-{run.id}",
    )


def read_ahead(run: Run) -> None:
    """Compute what a first visit to the run needs, before the visit."""
    pick_answer.lines(run.path, run.stamp, file_sizes.default(run))
    changes_panel.lines(run.path, run.stamp)
    examples.cards(run)
    _rows(run.path, run.stamp, False, file_sizes.default(run))


def answer(run: Run, asked: Asked) -> None:
    """The size in a sentence with its price; the sentence that answers a question, at the size that does."""
    width, widths = _width(run), cache.metrics(run)["width"].tolist()
    lines = pick_answer.lines(run.path, run.stamp, choice_of.format_of(run))
    if asked.reply:
        at = widths.index(asked.reply.answer.width)
        lines = [*lines[:at], [line("text", asked.reply.sentence), *lines[at][1:]], *lines[at + 1 :]]
    live_part(run.id, widths, lines, width, read_out=True, key=f"answer-{run.id}")


def seen(run: Run) -> DeltaGenerator | None:
    """Draw example predictions and the sentence on changes; return the place that `size` fills, if any."""
    width, widths = _width(run), cache.metrics(run)["width"].tolist()
    if examples.paints(run, width):
        return st.empty()
    lines, cards = changes_panel.lines(run.path, run.stamp), examples.cards(run)
    if cards is None:
        place = st.empty()
        live_part(run.id, widths, lines, width, key=f"seen-{run.id}")
        return place
    both = [[*first, *second] for first, second in zip(cards.lines, lines, strict=True)]
    live_part(run.id, widths, both, width, cards=cards.cards, answers=cards.answers, key=f"seen-{run.id}")
    return None


@st.fragment(key="size")
def size(run: Run, asked: Asked, place: DeltaGenerator | None) -> None:
    """Redraw on the server after a pick: examples and the choice of files that can't follow the slider; the address."""
    by_hand = url_state.touched("pick")
    if choice_of.kept().ask != asked.ask:  # the question ended while the page was on its way
        st.rerun()
    if choice_of.SLIDER in by_hand and len(by_hand) > 1:  # the same message brought more, which the whole page is about
        st.rerun()
    width = _width(run)
    at_once = asked.ask != CHOOSE or place is not None or len(points(run).table) > 0
    released(
        run.id,
        at_once=at_once,
        heard=choice_of.kept().heard,
        key=choice_of.released(run.id),
        on_pick=lambda: _let_go(run),
    )
    if place is not None:
        with place.container():
            notices.guarded(lambda: examples.seen(run, cache.metrics(run), width))()
    notices.guarded(lambda: download.which(run, width))()
    url_state.write("pick", _query(run, asked))


def _query(run: Run, asked: Asked) -> dict[str, str]:
    """Return the page's state for the address."""
    whole = {"axis": "whole"} if choice_of.kept().whole else {}
    chosen = choice_of.format_of(run)
    format = {} if chosen == file_sizes.default(run) else {"format": chosen}
    return {"run": run.id, "width": str(_width(run)), **asked.link, **format, **whole}


@st.fragment(key="details")
def for_experts(run: Run) -> None:
    """A switch, and what it shows."""
    notices.guarded(lambda: _details(run))()
    url_state.shown("pick")


def _details(run: Run) -> None:
    """The switch, kept for the visit, and the table that it shows."""
    choice = choice_of.kept()
    st.session_state["pick-expert"] = choice.expert
    st.toggle(
        "Details for experts",
        key="pick-expert",
        on_change=choice_of.expert_chosen,
        help="Widths of every layer, multiply-accumulates, loss, and the recipe of the training.",
    )
    if not choice.expert:
        return
    needed("details")
    metrics, width = cache.metrics(run), _width(run)
    found = pick_answer.figures(run, metrics[metrics["width"] == width].iloc[0], width) | words.settings(run.record)
    rows = pd.DataFrame({"What": [words.printable(name) for name in found], "Value": list(found.values())})
    st.dataframe(rows, hide_index=True, height="content", alt="Details for experts")


@st.fragment(key="changes")
def changes(run: Run) -> None:
    """Draw the changes against full size, in a box that is closed at first."""
    width = _width(run)
    if not examples.paints(run, width):
        notices.guarded(lambda: changes_panel.box(run, width))()


@st.fragment(key="try")
def own(run: Run) -> None:
    """An example of a visitor's own, in a box that is closed at first."""
    width = _width(run)
    if not examples.paints(run, width):
        try_it_panel.section(run, width)


@st.fragment
def take(run: Run, asked: Asked, place: DeltaGenerator | None) -> None:
    """A format to choose, what is inside, the button. Another format draws all of it anew."""
    download.choose(run, asked.limits.max_bytes, _width(run))
    inside(run)
    size(run, asked, place)
    notices.guarded(lambda: download.button(run, _width(run)))()
    download.link(run, _query(run, asked))


@st.fragment(key="inside")
def inside(run: Run) -> None:
    """Draw the file's contents and use, in a box that is closed at first."""
    notices.guarded(lambda: download.inside(run, _width(run)))()


@lru_cache(maxsize=32)
def _rows(path: Path, stamp: tuple[Any, ...], whole: bool, format: str) -> list[Mapping[str, Any]]:
    """Return the slider's readout at each size, and its place on the chart; from the run's files alone."""
    run = cache.opened(path, stamp)
    metrics, metric = file_sizes.timed(run, format), run.task.metric
    said = words.readouts(metrics, metric, latency.milliseconds(run))
    places = curves.places(metrics, metric, whole=whole, also=points(run).table)
    return [
        {**row, "x": at.x, "y": at.y, "out": at.out, "faster": offer}
        for row, at, offer in zip(said, places, pick_answer.offers(run), strict=True)
    ]


def _colours() -> dict[str, str]:
    """Return the colours of the mark on the chart: the mark, its edge, its label's background."""
    dark = st.context.theme.type == "dark"
    ink, paper = ("#ffffff", "#11161c") if dark else ("#000000", "#ffffff")
    return {"star": palette(dark)[1], "ink": ink, "paper": paper}
