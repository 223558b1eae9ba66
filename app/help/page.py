"""Help: how it works in one figure, what can be done where, the words, how figures are measured, and the limits."""

from __future__ import annotations

from collections.abc import Iterable

import streamlit as st

from app import url_state
from app.help import figure as help_figure
from app.help.text import CAN_DO, LIMITS, MEASURED, TRAIN_ON, TRAIN_ON_COMMAND, WORDS
from app.widgets import notices
from app.words import joined
from core.export.formats import FORMATS
from core.tasks.registry import TASKS


def page() -> None:
    """The whole page, top to bottom."""
    st.title("Help")
    st.markdown(
        "**One training, every size.** A usual network works at one size, so each size needs a training of its own. "
        "Here one training gives a network that works at every size, and you choose afterwards."
    )
    st.subheader("How it works", anchor="how")
    st.components.v2.component("help_figure", html=help_figure.figure())(key="help-figure")  # st.html drops drawings
    st.markdown(
        "While it learns, the network is cut again and again at a random place, as the dashed line shows: it has to do "
        "its best with the features to the left alone. So what matters most gathers on the left, and each further "
        "feature adds a little. A smaller size is the left part, taken as it is: an ordinary network, with no "
        "retraining. The very smallest sizes would lose most by sharing with the large ones, so the usual recipe gives "
        "them features of their own, learned in the same training. The method is called Structural Dropout "
        "([arXiv 2205.06906](https://arxiv.org/abs/2205.06906))."
    )
    st.subheader("What you can do here", anchor="doing")
    for name, lines in CAN_DO.items():
        url_state.to(name, st.session_state[url_state.PAGES][name].title)
        _list(lines)
    st.markdown(TRAIN_ON)
    notices.command(*TRAIN_ON_COMMAND)
    st.subheader("Words", anchor="words")
    _list(f"**{word}**: {meaning}" for word, meaning in _glossary().items())
    st.subheader("How figures are measured, and how sure they are", anchor="measured")
    _list(MEASURED)
    st.subheader("What this can't tell", anchor="limits")
    _list(LIMITS)


def _list(lines: Iterable[str]) -> None:
    st.markdown(joined("\n".join(f"- {line}" for line in lines)))


def _glossary() -> dict[str, str]:
    """Return the glossary with the descriptions of metrics and formats."""
    metrics = {metric.label: metric.meaning for task in TASKS.values() for metric in task.metrics}
    files = {f.label: f.meaning for f in FORMATS.values()}
    return {**WORDS, **metrics, **files}
