"""The archive and the trash on My runs: removed runs, to bring back, or to empty into the trash for a day."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from app import url_state
from app.my_runs import actions
from app.store import cache
from app.store.summary import mark
from app.words import safe, short
from core.errors import RunError
from core.runs import archive
from core.runs.store import RunStore
from core.sweep.report import printable

WORD = "empty"  # typed to empty the archive


def section() -> None:
    """Show the archive and the trash, each where it holds something."""
    store = RunStore(cache.folder())
    try:
        names, trashed = archive.archived(store), archive.trashed(store)
    except RunError as error:
        st.warning(safe(str(error)), icon=":material/warning:")
        return
    if names:
        with st.expander(
            f"Archive: {len(names):,} removed", icon=":material/inventory_2:", key="my-archive", on_change="rerun"
        ):
            _restore_form("Removed run", "archived", {name: short(name, 60) for name in names}, archive.restore)
            st.divider()
            _empty(len(names))
    if trashed:
        labels: dict[str, str] = {}
        for run in trashed:  # the last emptied first, which is the one that comes back
            labels.setdefault(run.name, f"{short(run.name, 60)} (until {run.until:%d %B, %H:%M} UTC)")
        with st.expander(
            f"Trash: {len(labels):,} emptied", icon=":material/delete:", key="my-trash", on_change="rerun"
        ):
            _restore_form("Run in the trash", "trashed", labels, archive.restore_trashed)


def _restore_form(label: str, kind: str, names: dict[str, str], restore: Callable[[RunStore, str, str], str]) -> None:
    """Choose a removed run, and the name under which it comes back.

    Parameters
    ----------
    label
        Of the list of runs.
    kind
        Of the keys of the widgets.
    names
        Each run's name, and the text that stands for it in the list.
    restore
        Brings a run back under a name.
    """
    chosen = st.selectbox(label, list(names), format_func=lambda name: names.get(name, name), key=f"my-{kind}")
    if chosen is None:
        return
    key = f"my-{kind}-name-{mark(chosen)}"
    st.text_input(
        "Bring it back as", printable(chosen), max_chars=120, key=key, help="Choose another name where it is taken."
    )
    st.button(
        "Bring it back",
        icon=":material/unarchive:",
        key=f"my-{kind}-back",
        on_click=_bring_back,
        args=(chosen, key, restore),
    )


def _bring_back(name: str, key: str, restore: Callable[[RunStore, str, str], str]) -> None:
    wanted = (st.session_state[key] or "").strip() or name
    store = RunStore(cache.folder())
    if actions.act(f"{wanted} is back.", lambda: restore(store, name, wanted)):
        actions.open_run(wanted)
    elif wanted in store.ids():  # taken: offer one that is not
        st.session_state[key] = archive.free_name([*store.ids(), *archive.archived(store)], wanted)


def _empty(count: int) -> None:
    """Empty the archive into the trash, once a word was typed."""
    if not st.session_state.get("my-empty"):
        st.button(
            "Empty the archive", icon=":material/delete_forever:", key="my-empty-ask", on_click=_ask, args=(True,)
        )
        return
    runs, they = ("the run", "it is") if count == 1 else (f"all {count:,} runs", "they are")
    st.warning(
        f"Empty the archive? It moves {runs} to the trash, where {they} kept for a day and then deleted for good.",
        icon=":material/help:",
    )
    st.text_input(f"Type “{WORD}” to confirm", max_chars=20, key="my-empty-word")
    with st.container(horizontal=True):
        st.button("Empty the archive", type="primary", key="my-empty-yes", on_click=_do_empty)
        st.button("No, keep them", key="my-empty-no", on_click=_ask, args=(False,))


def _ask(asked: bool) -> None:
    url_state.touch("runs")
    st.session_state["my-empty"] = asked


def _do_empty() -> None:
    if (st.session_state.get("my-empty-word") or "").strip().strip("“”\"'").lower() != WORD:
        actions.say_error(f"the archive was not emptied: type “{WORD}” first")
        return
    st.session_state["my-empty"] = False
    store = RunStore(cache.folder())
    actions.act("The archive is empty; its runs are in the trash for a day.", lambda: archive.empty(store))
