"""Add a run on My runs: a zip from elsewhere is read and checked, shown, and joins the store when that is wanted."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import streamlit as st

from app import run_actions, store
from app.summary import Summary, line, of_run
from app.words import safe, short
from core.archive import free_name
from core.errors import UserError
from core.run_zip import import_zip, opened
from core.store import RunStore

MOST_MEGABYTES = 200  # held in memory for each visitor who uploads

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Looked:
    """What a look into an upload found: a run, or why it is refused."""

    upload: str  # the upload's own mark
    run: Summary | None = None
    refused: str = ""


def section() -> None:
    """Choose a zip, see what it is, add it."""
    with st.expander("Add a run from a file", icon=":material/upload:", key="my-import", on_change="rerun"):
        version = st.session_state.get("my-upload-version", 0)
        upload = st.file_uploader(
            "A zip that “Download the whole run” has made",
            type="zip",
            max_upload_size=MOST_MEGABYTES,
            key=f"my-upload-{version}",
        )
        if upload is None:
            st.session_state.pop("my-looked", None)
            return
        looked = _look_into(upload)
        if looked.run is None:
            st.error(safe(_sentence(looked.refused)), icon=":material/block:")
            return
        _offer(upload, looked.run)


def _look_into(upload: Any) -> Looked:
    """Once for each upload: all of it is read."""
    known: Looked | None = st.session_state.get("my-looked")
    if known is not None and known.upload == upload.file_id:
        return known
    try:
        with st.spinner("Reading and checking it…"), opened(upload, upload.name) as run:
            found = Looked(upload.file_id, of_run(run))
    except UserError as error:
        found = Looked(upload.file_id, refused=str(error))
    except Exception as error:  # whatever it holds, the page stays usable
        _LOG.exception("upload")
        found = Looked(upload.file_id, refused=f"this zip can't be read ({type(error).__name__})")
    st.session_state["my-looked"] = found
    return found


def _offer(upload: Any, run: Summary) -> None:
    """What it is, the name it will have, and the button that adds it."""
    taken = RunStore(store.folder()).ids()
    st.markdown(f"**{safe(short(run.id, 60))}** is a whole run. {safe(line(run))}\\.")
    if run.tenth is not None:
        st.markdown(f"At a tenth of that file: {safe(run.figure(run.tenth))}\\.")
    if run.id in taken:
        st.info("There is a run of that name already, so it gets another one.", icon=":material/info:")
    key = f"my-add-name-{upload.file_id}"
    st.text_input("Name in my runs", free_name(taken, run.id), max_chars=100, key=key)
    st.button(
        "Add to my runs", type="primary", icon=":material/add:", key="my-add", on_click=_add, args=(upload, run.id, key)
    )


def _add(upload: Any, name: str, key: str) -> None:
    wanted = (st.session_state[key] or "").strip() or name
    if run_actions.act(
        f"{wanted} is one of your runs now.",
        lambda: import_zip(RunStore(store.folder()), upload, upload.name, wanted),
    ):
        st.session_state["my-upload-version"] = st.session_state.get("my-upload-version", 0) + 1
        st.session_state.pop("my-looked", None)
        run_actions.open_run(wanted)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
