"""Three steps for a first visit; once dismissed, the visitor's browser keeps them away."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

_FOLDER = Path(__file__).parent


def first_steps() -> None:
    """Show the steps, unless they were dismissed in this browser; nothing is sent to the server."""
    html, css, js = ((_FOLDER / f"component.{kind}").read_text(encoding="utf-8") for kind in ("html", "css", "js"))
    st.components.v2.component("first_steps", html=html, css=css, js=js)(key="first-steps")
