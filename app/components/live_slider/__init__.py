"""A slider whose readout, and mark on the chart, follow the thumb in the browser; `released` tells of the pick.

Streamlit's own slider speaks to the server alone, so a readout beside it lags behind the hand. What is sent here is
the same for every size that is picked. The server hears of a pick once it must: at once while a part of the page shows
what only the server can say of a size (`needed`), else when the hand goes on to something else on the page. A message
draws anew the fragment that it comes from, so the one about a pick comes from a part of its own in the fragment that
speaks of the size: the slider isn't sent again, and no other run of the page comes before.
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
    """Show the slider of a run; `rows` is what to say at each size.

    That is `words.readouts`, where it lies on the chart as `x`, `y`, `out`, and what `faster.offers` of it.

    It moves to `width` where `turn` is a new number, and stays where the hand left it otherwise; also where the page
    was built before the server `heard` of the last pick, which is the number of the last one that it heard of. The
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
    """Tell of the size that the slider of `run` was let go at: `st.session_state[key].picked`; `on_pick` is called.

    That is `width` with the pick's `number`, which is to come back as what was `heard`.
    It shows nothing. The fragment that it stands in is drawn anew then, unless `on_pick` asks for another run.
    """
    part = st.components.v2.component("released", html="<span hidden></span>", js=_text("released.js"))
    part(data={"run": run, "at_once": at_once, "heard": heard}, key=key, on_picked_change=on_pick)


def needed(part: str) -> None:
    """While this stands on the page, the server hears of each pick at once. It shows nothing, and takes no room."""
    component = st.components.v2.component("needed", html="<span hidden></span>", js=_text("needed.js"))
    component(data={"part": part}, key=f"needed-{part}")


@lru_cache(maxsize=8)
def _text(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")
