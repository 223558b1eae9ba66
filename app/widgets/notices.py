"""Notices where a page has nothing to show: what happened, and what to do next."""

from __future__ import annotations

import logging
import shlex
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path

import streamlit as st

from app.store import cache
from app.words import safe
from core.errors import RunError
from core.runs.run import Run
from core.runs.store import BrokenRun

_LOG = logging.getLogger(__name__)


def guarded(page: Callable[[], None]) -> Callable[[], None]:
    """The page, with a notice in plain words where it fails in a way that nobody foresaw; the trace goes to the log."""

    @wraps(page)
    def shown() -> None:
        try:
            page()
        except Exception:
            _LOG.exception("page %s", page.__module__)
            st.error("**This can't be shown: something in it is not as it should be.**", icon=":material/error:")
            st.markdown(
                "The fault is written in the terminal that the explorer was started from. Choose another run above, or "
                "open the explorer anew:"
            )
            st.link_button("Start again", ".", icon=":material/restart_alt:")

    return shown


def open_store() -> list[Run]:
    """Return the readable runs; draw what to do where there are none, and the names of those that can't be read."""
    try:
        runs, broken = cache.entries()
    except RunError as error:
        st.warning("**The folder with the runs is not there**, or can't be read.", icon=":material/folder_off:")
        st.markdown("Start the explorer on a folder that exists, or make a first run, which makes the folder too:")
        command("train", "--data", "digits", "--epochs", "60", "--out", str(cache.folder() / "digits"))
        st.caption(f"Reason: {safe(str(error))}")
        return []
    if not runs:
        st.info("**There is no run here yet.** A run is one trained network at every size.", icon=":material/info:")
        st.markdown("Make one in about ten seconds, then reload this page:")
        command("train", "--data", "digits", "--epochs", "60", "--out", str(cache.folder() / "digits"))
    if broken:
        _list_broken(broken)
    return runs


def no_metrics(run: Run, error: RunError) -> None:
    """A run that has not been validated, or whose figures are damaged."""
    state = "can't be read" if run.has_metrics else "have not been measured yet"
    st.warning(f"**The figures of {safe(run.id)} {state}.**", icon=":material/warning:")
    if run.record.family.get("name") is None:
        st.markdown(
            "The run was trained from its owner's own program, so its owner measures it, from Python: "
            "`sweep(run, data, family=family)`. Then reload this page."
        )
    else:
        st.markdown("This measures them; then reload this page:")
        command("sweep", str(run.path))
    st.caption(f"Reason: {safe(str(error))}")


def command(*words: str) -> None:
    """A command to copy, for the project's folder, with the Python that runs this."""
    own = Path(sys.prefix) == Path(__file__).resolve().parents[1] / ".venv"
    st.code(
        shlex.join([".venv/bin/python" if own else "python", "-m", "core", *words]), language="bash", wrap_lines=True
    )


def _list_broken(broken: list[BrokenRun]) -> None:
    count = "1 run can't" if len(broken) == 1 else f"{len(broken)} runs can't"
    with st.expander(f"{count} be read", icon=":material/warning:"):
        for run in broken:
            st.markdown(f"- **{safe(run.id)}**: {safe(run.reason)}")
