"""What a page says when there is nothing to show: what happened, and what to do next."""

from __future__ import annotations

import streamlit as st

from app import store
from app.words import safe
from core.errors import RunError
from core.runs import BrokenRun, Run

TRAIN = "python -m core train --data digits --epochs 60 --out {folder}/digits"


def open_store() -> list[Run]:
    """The readable runs; says what to do where there are none, and names those that can't be read."""
    try:
        runs, broken = store.entries()
    except RunError:
        st.warning("**The folder with the runs is not there.**", icon=":material/folder_off:")
        st.markdown("Start the explorer on a folder that exists, or make a first run, which makes the folder too:")
        st.code(TRAIN.format(folder=store.folder()), language="bash")
        return []
    if not runs:
        st.info("**There is no run here yet.** A run is one trained network at every size.", icon=":material/info:")
        st.markdown("Make one in about ten seconds, then reload this page:")
        st.code(TRAIN.format(folder=store.folder()), language="bash")
    if broken:
        _list_broken(broken)
    return runs


def no_metrics(run: Run, error: RunError) -> None:
    """A run that has not been validated, or whose figures are damaged."""
    st.warning(f"**The sizes of {safe(run.id)} have not been measured**, or can't be read.", icon=":material/warning:")
    st.markdown("This measures them (and skips what is known already); then reload this page:")
    st.code(f"python -m core sweep {run.path}", language="bash")
    st.caption(f"Reason: {safe(str(error))}")


def _list_broken(broken: list[BrokenRun]) -> None:
    count = "1 run can't" if len(broken) == 1 else f"{len(broken)} runs can't"
    with st.expander(f"{count} be read", icon=":material/warning:"):
        for run in broken:
            st.markdown(f"- **{safe(run.id)}**: {safe(run.reason)}")
