"""A slider whose readout, and mark on the chart, follow the thumb in the browser; `released` sends the selection.

A readout beside Streamlit's own slider waits for the server and lags behind the hand. The data sent here are the same
whichever size is selected. The selection is sent to the server only when server-rendered content needs it: at once
while such content is on the page (`needed`), else when the visitor turns to another part of the page. A message
redraws the fragment that it comes from, so the selection is sent by a component of its own, in the fragment that
depends on the size: the slider is not sent again, and no run of the whole page comes first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import streamlit as st

_FOLDER = Path(__file__).parent


def live_slider(
    run: str,
    rows: Sequence[Mapping[str, Any]],
    width: int,
    label: str,
    *,
    turn: int,
    heard: float,
    chart: str,
    colours: Mapping[str, str],
    key: str,
) -> None:
    """Show the slider of a run; `rows` holds the readout at each size.

    A row is one of `words.readouts` with its place on the chart as `x`, `y`, `out`, and a faster size as `faster`.

    It moves to `width` where `turn` is a new number and else stays where the hand left it; also where the page was
    built before the last pick arrived: `heard` is the number of the last pick that the server received. The
    picked size is marked on the chart in the container `chart`, in `colours` (`star`, `ink`, `paper`); a click there
    picks a size.
    """
    data = {
        "run": run, "rows": rows, "width": width, "label": label, "turn": turn, "heard": heard, "chart": chart,
        "colours": colours,
    }  # fmt: skip
    html, css, mark, js = map(_text, ("component.html", "component.css", "marker.js", "component.js"))
    slider = st.components.v2.component("live_slider", html=html, css=css, js=f"{mark}\n{js}")
    slider(data=data, key=key)


def released(run: str, *, at_once: bool, heard: float, key: str, on_pick: Callable[[], None]) -> None:
    """Send the size that the slider of `run` was released at, as `st.session_state[key].picked`, and call `on_pick`.

    It is a dict of `width` and the pick's `number`, which the next page gives back as `heard`.
    It shows nothing. The fragment that it stands in is drawn anew then, unless `on_pick` asks for another run.
    """
    part = st.components.v2.component("released", html="<span hidden></span>", js=_text("released.js"))
    part(data={"run": run, "at_once": at_once, "heard": heard}, key=key, on_picked_change=on_pick)


def needed(part: str) -> None:
    """Have each pick sent to the server at once while this is on the page. It shows nothing and takes no room."""
    component = st.components.v2.component("needed", html="<span hidden></span>", js=_text("needed.js"))
    component(data={"part": part}, key=f"needed-{part}")


@lru_cache(maxsize=8)
def _text(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")
