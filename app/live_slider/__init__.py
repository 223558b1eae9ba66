"""A slider whose readout, and mark on the chart, follow the thumb in the browser; it tells the server on release.

Streamlit's own slider speaks to the server alone, so a readout beside it lags behind the hand. What is sent here is
the same for every size that is picked, so that a pick sends nothing back but the texts that are about it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import streamlit as st

_FOLDER = Path(__file__).parent


def live_slider(
    rows: Sequence[Mapping[str, Any]],
    width: int,
    label: str,
    *,
    turn: int,
    chart: str,
    colours: Mapping[str, str],
    key: str,
    on_pick: Callable[[], None],
) -> None:
    """Show the slider; `rows` is what to say at each size (`words.readouts` and `x`, `y`, `out` on the chart).

    It moves to `width` where `turn` is a new number, and stays where the hand left it otherwise. The picked size is
    marked on the chart in the container `chart`, in `colours` (`star`, `ink`, `paper`); a click there picks a size.
    On release `st.session_state[key].picked` is the new width and `on_pick` is called.
    """
    data = {
        "rows": rows, "width": width, "label": label, "turn": turn, "chart": chart, "colours": colours
    }  # fmt: skip
    _component()(data=data, key=key, on_picked_change=on_pick)


def _component() -> Any:
    """Registered on every run, as Streamlit wants it, from the files beside this one."""
    html, css, mark, js = (
        (_FOLDER / name).read_text(encoding="utf-8")
        for name in ("component.html", "component.css", "marker.js", "component.js")
    )
    return st.components.v2.component("live_slider", html=html, css=css, js=f"{mark}\n{js}")
