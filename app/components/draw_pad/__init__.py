"""A square to draw in with a finger, a pen or a mouse; the drawing is sent when the stroke ends."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

_FOLDER = Path(__file__).parent


def draw_pad(side: int, *, key: str) -> str:
    """Show the square; return the drawing as base64 of `side` x `side` bytes, empty where nothing is drawn."""
    html, css, js = ((_FOLDER / f"component.{kind}").read_text(encoding="utf-8") for kind in ("html", "css", "js"))
    component = st.components.v2.component("draw_pad", html=html, css=css, js=js)
    found = component(key=key, data={"side": side}, default={"ink": ""}, on_ink_change=_nothing).ink
    return found if isinstance(found, str) else ""


def _nothing() -> None:
    """Do nothing: Streamlit keeps a component's state only where a callback is given."""
