"""A slider whose readout follows the thumb in the browser and tells the server on release.

Streamlit's own slider speaks to the server alone, so a readout beside it lags behind the hand.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import streamlit as st

_FOLDER = Path(__file__).parent


def live_slider(
    rows: list[dict[str, str | int | float]], width: int, label: str, *, key: str, on_pick: Callable[[], None]
) -> None:
    """Show the slider at `width`; `rows` is what to say at each size (`words.readouts`), smallest first.

    On release `st.session_state[key].picked` is the new width and `on_pick` is called.
    """
    component = _component()
    component(data={"rows": rows, "width": width, "label": label}, key=key, on_picked_change=on_pick)


def _component() -> Any:
    """Registered on every run, as Streamlit wants it, from the files beside this one."""
    html, css, js = ((_FOLDER / f"component.{kind}").read_text(encoding="utf-8") for kind in ("html", "css", "js"))
    return st.components.v2.component("live_slider", html=html, css=css, js=js)
