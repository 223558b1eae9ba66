"""The archive on My runs: what was removed, to bring back or to be rid of."""

from __future__ import annotations

import streamlit as st

from app import url_state
from app.my_runs import actions
from app.store import cache
from app.store.summary import mark
from app.words import safe, short
from core.errors import RunError
from core.runs import archive
from core.runs.store import RunStore
from core.utils.formatting import printable


def section() -> None:
    """Nothing where nothing was removed."""
    try:
        names = archive.archived(RunStore(cache.folder()))
    except RunError as error:
        st.warning(safe(str(error)), icon=":material/warning:")
        return
    if not names:
        return
    with st.expander(
        f"Archive: {len(names):,} removed", icon=":material/inventory_2:", key="my-archive", on_change="rerun"
    ):
        chosen = st.selectbox("Removed run", names, format_func=lambda name: short(name, 60), key="my-archived")
        if chosen is None:
            return
        key = f"my-back-name-{mark(chosen)}"
        st.text_input(
            "Bring it back as", printable(chosen), max_chars=120, key=key, help="Choose another name where it is taken."
        )
        st.button("Bring it back", icon=":material/unarchive:", key="my-back", on_click=_bring_back, args=(chosen, key))
        st.divider()
        _empty(len(names))


def _bring_back(name: str, key: str) -> None:
    wanted = (st.session_state[key] or "").strip() or name
    back = RunStore(cache.folder())
    if actions.act(f"{wanted} is back.", lambda: archive.restore(back, name, wanted)):
        actions.open_run(wanted)
    elif wanted in back.ids():  # taken: offer one that is not
        st.session_state[key] = archive.free_name([*back.ids(), *archive.archived(back)], wanted)


def _empty(count: int) -> None:
    """For good, asked once more."""
    if not st.session_state.get("my-empty"):
        st.button(
            "Empty the archive", icon=":material/delete_forever:", key="my-empty-ask", on_click=_ask, args=(True,)
        )
        return
    what = "the run" if count == 1 else f"all {count:,} runs"
    st.warning(f"Delete {what} in the archive? This can't be taken back.", icon=":material/help:")
    with st.container(horizontal=True):
        st.button("Yes, delete for good", type="primary", key="my-empty-yes", on_click=_do_empty)
        st.button("No, keep them", key="my-empty-no", on_click=_ask, args=(False,))


def _ask(asked: bool) -> None:
    url_state.touch("runs")
    st.session_state["my-empty"] = asked


def _do_empty() -> None:
    st.session_state["my-empty"] = False
    actions.act("The archive is empty.", lambda: archive.empty(RunStore(cache.folder())))
