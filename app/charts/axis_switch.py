"""The switch under a chart: what the close-up leaves out, and everything on request."""

from __future__ import annotations

import streamlit as st

from app import url_state, words
from app.charts.axes import View
from core.tasks.base import Metric


def switch(page: str, close: View, metric: Metric, whole: bool) -> None:
    """Say what the close-up leaves out, and let the visitor see it; nothing where all is in view.

    `st.session_state[page].whole` is what the visitor chose.
    """
    if not close.cropped:
        return
    out, edge = sum(close.outside), close.low if metric.higher_is_better else close.high
    key, side = f"{page}-whole", "below" if metric.higher_is_better else "above"
    reach = "starts" if metric.higher_is_better else "ends"
    st.session_state[key] = whole
    st.toggle(
        f"Show every size (the close-up {reach} at {words.joined(metric.format(edge / metric.scale))} and leaves "
        f"{out:,} size{'' if out == 1 else 's'} {side} it)",
        key=key,
        on_change=_chosen,
        args=(page, key),
    )


def _chosen(page: str, key: str) -> None:
    url_state.touch(page)
    st.session_state[page].whole = st.session_state[key]
