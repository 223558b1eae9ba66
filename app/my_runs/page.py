"""My runs: all runs of the store in a table, and below it what can be done with the one that is chosen."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from app import url_state
from app.my_runs import actions, upload
from app.my_runs import archive as my_runs_archive
from app.my_runs import table as my_runs_table
from app.store import cache
from app.store.summary import UNREAD, Summary
from app.web import access
from app.widgets import notices
from app.words import safe, short
from core.errors import RunError
from core.runs.archive import writable
from core.runs.store import RUN_ID, RunStore

READING_ON = 0.8  # seconds of reading figures between one drawing of the table and the next


@dataclass
class Choice:
    """One visitor's choices. They outlive the widgets, whose state is lost when another page is shown."""

    run: str | None = None
    search: str = ""
    order: str = my_runs_table.NEWEST
    version: int = 0  # of the table; another one where a row was chosen elsewhere than in it


def page() -> None:
    """The whole page, top to bottom."""
    st.html("<style>.stMainBlockContainer { max-width: 1100px; }</style>")  # room for the table
    st.title("My runs")
    st.markdown("A run is one trained network at every size. Choose one to name it, note something, or hand it on.")
    choice: Choice = st.session_state.setdefault("my-choice", Choice())
    try:
        runs = cache.summaries()
    except RunError:
        notices.open_store()
        return
    if not runs:
        notices.open_store()
    link = url_state.followed("runs")
    url_state.unknown(link, ("run",))
    if "run" in link:
        choose(link["run"])
    editable = writable(RunStore(cache.folder())) and not access.read_only()
    with st.container():  # always there, so that what is below keeps its place, and with it what was opened
        actions.said()
    if runs:
        with st.container():
            _table(runs, choice)
        _chosen(runs, choice, editable)
    if editable:
        upload.section()
        my_runs_archive.section()
    else:
        reason = "this server is read-only" if access.read_only() else "their folder can't be written to from here"
        st.info(
            f"These runs can be looked at and taken along but not changed: {reason}.",
            icon=":material/lock:",
        )
    url_state.write("runs", {"run": choice.run} if choice.run and RUN_ID.fullmatch(choice.run) else {})
    if any(run.state == UNREAD for run in runs):
        cache.summaries(READING_ON)  # while the browser draws what is known by now
        st.rerun()


def choose(run_id: str | None) -> None:
    """Open a run's actions from elsewhere than the table."""
    choice: Choice = st.session_state["my-choice"]
    choice.run = run_id
    choice.version += 1


def _table(runs: list[Summary], choice: Choice) -> None:
    """Search, order, the table, and a box that chooses by name for whoever does not use a mouse."""
    above, table = st.container(horizontal=True, vertical_alignment="bottom"), st.container()
    with table:  # first, as it is what a visitor waits for: a browser loads 2 MB to draw it
        _found(runs, choice)
    with above:
        st.session_state["my-search"] = choice.search
        st.text_input(
            "Search",
            key="my-search",
            type="search",
            live=True,
            placeholder="Name, data, model, tag or note",
            on_change=lambda: _keep(choice),
            width="stretch",
        )
        st.session_state["my-order"] = choice.order
        orders = (my_runs_table.NEWEST, my_runs_table.NAME, my_runs_table.BEST, my_runs_table.SMALLEST)
        st.selectbox("Order", orders, key="my-order", on_change=lambda: _keep(choice), width=210)


def _found(runs: list[Summary], choice: Choice) -> None:
    """The runs that the search finds, in order."""
    shown = my_runs_table.ordered(my_runs_table.matching(runs, choice.search), choice.order)
    if not shown:
        st.info("No run holds all of these words. Try fewer, or empty the search.", icon=":material/search_off:")
        return
    my_runs_table.table(shown, choice.run, choice.version, lambda run_id: _row_chosen(choice, run_id))
    total = f"{len(runs):,} run{'' if len(runs) == 1 else 's'}"
    waiting = sum(run.state == UNREAD for run in runs)
    said = total if len(shown) == len(runs) else f"{len(shown):,} of {total} shown"
    st.caption(f"{said}; {waiting:,} still being read…" if waiting else f"{said}. Choose a row to open it below.")


def _chosen(runs: list[Summary], choice: Choice, editable: bool) -> None:
    by_id = {run.id: run for run in runs}
    if choice.run is not None and choice.run not in by_id:
        st.info(f"There is no run {safe(short(choice.run))} here (any more).", icon=":material/link_off:")
        choice.run = None
    found = my_runs_table.matching(runs, choice.search)
    if choice.run is not None and choice.run not in {run.id for run in found}:
        found = [*found, by_id[choice.run]]
    names = my_runs_table.named(found, choice.run)
    st.session_state["my-run"] = choice.run
    st.selectbox(
        "Chosen run",
        names,
        index=None,
        format_func=lambda run_id: short(run_id, 60),
        key="my-run",
        placeholder="Choose a row above, or a name here",
        help=None if len(names) == len(found) else f"{len(names):,} of {len(found):,} names; a search brings others.",
        on_change=_name_chosen,
    )
    if choice.run is not None:
        actions.section(by_id[choice.run], editable)


def _keep(choice: Choice) -> None:
    choice.search, choice.order = st.session_state["my-search"] or "", st.session_state["my-order"]


def _row_chosen(choice: Choice, run_id: str | None) -> None:
    url_state.touch("runs")
    choice.run = run_id


def _name_chosen() -> None:
    url_state.touch("runs")
    choose(st.session_state["my-run"])
