"""An address to read and to copy. Streamlit's own box for code makes each first page load a highlighter of 1.6 MB."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

_FOLDER = Path(__file__).parent


def copy_link(address: str, key: str, run: str | None = None) -> None:
    """Show the address with a button that copies it; nothing is sent to the server.

    Its `width` follows the slider of `run`.
    """
    html, css, js = ((_FOLDER / f"component.{kind}").read_text(encoding="utf-8") for kind in ("html", "css", "js"))
    st.components.v2.component("copy_link", html=html, css=css, js=js)(data={"address": address, "run": run}, key=key)
