"""Styles on top of Streamlit's: contrast in light and dark, and a visible keyboard focus."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import streamlit as st

_FOLDER = Path(__file__).parent


def theme() -> None:
    """Styles for every page, and a watch that draws the page anew where it goes from light to dark or back."""
    st.html(f"<style>{_text('style.css')}</style>")
    watch = st.components.v2.component("theme_watch", html="<span hidden></span>", js=_text("component.js"))
    with st.container(key="theme-watch"):
        watch(key="theme", on_changed_change=_nothing)


@lru_cache(maxsize=4)
def _text(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")


def _nothing() -> None:
    """Do nothing: a change only has to redraw the page."""
