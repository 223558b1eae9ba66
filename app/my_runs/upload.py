"""Add a run on My runs: a zip or a folder is read and checked, shown, and joins the store when that is wanted."""

from __future__ import annotations

import hashlib
import io
import logging
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any

import streamlit as st

from app.my_runs import actions
from app.store import cache
from app.store.summary import Summary, line, of_run
from app.words import safe, short
from core.errors import RunError, UserError
from core.runs.archive import free_name
from core.runs.archive_zip import MAX_ENTRIES, import_zip, opened
from core.runs.store import RunStore

MOST_MEGABYTES = 200  # held in memory for each visitor who uploads
ZIP, FOLDER = "A zip", "A folder"

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Upload:
    """What was chosen: its own mark, the name that it brings, and how it is opened as a zip."""

    mark: str
    name: str
    open: Callable[[], IO[bytes]]


@dataclass(frozen=True)
class Looked:
    """What a look into an upload found: a run, or why it is refused."""

    upload: str  # the upload's mark
    run: Summary | None = None
    refused: str = ""


def section() -> None:
    """Choose a zip or a folder, see what it is, add it."""
    box = st.expander("Add a run from a file or a folder", icon=":material/upload:", key="my-import", on_change="rerun")
    if not box.open:  # what is closed costs nothing
        return
    with box:
        what = st.radio("What you have", (ZIP, FOLDER), horizontal=True, key="my-upload-kind")
        upload = _zip() if what == ZIP else _folder()
        if upload is None:
            st.session_state.pop("my-looked", None)
            return
        looked = _look_into(upload)
        if looked.run is None:
            st.error(safe(_sentence(looked.refused, what)), icon=":material/block:")
            return
        _offer(upload, looked.run)


def _zip() -> Upload | None:
    chosen = st.file_uploader(
        "A zip that “Download the whole run” has made",
        type="zip",
        max_upload_size=MOST_MEGABYTES,
        key=f"my-upload-{_version()}",
    )
    return None if chosen is None else Upload(chosen.file_id, chosen.name, lambda: chosen)


def _folder() -> Upload | None:
    chosen: list[Any] = st.file_uploader(
        "The folder of a run, as training writes it",
        accept_multiple_files="directory",
        max_upload_size=MOST_MEGABYTES,
        key=f"my-upload-folder-{_version()}",
    )
    if not chosen:
        return None
    mark = hashlib.sha256(" ".join(sorted(file.file_id for file in chosen)).encode()).hexdigest()
    return Upload(mark, "imported", lambda: _packed(chosen))


def _packed(chosen: list[Any]) -> IO[bytes]:
    """A folder's files as a zip, which is then believed as little as any other. Raises RunError where it is too large.

    So there is one way in, with one set of checks.
    """
    if len(chosen) > MAX_ENTRIES:
        raise RunError(f"the folder holds {len(chosen):,} files, more than the {MAX_ENTRIES} of a run")
    if sum(file.size for file in chosen) > MOST_MEGABYTES * 10**6:
        raise RunError(
            f"the folder has more than {MOST_MEGABYTES} MB; import it from a terminal: python -m core import"
        )
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as packed:
        for file in chosen:
            packed.writestr(file.name, file.getbuffer())
    return out


def _version() -> int:
    """Of the upload fields, which are emptied by another one."""
    return int(st.session_state.get("my-upload-version", 0))


def _look_into(upload: Upload) -> Looked:
    """Once for each upload: all of it is read."""
    known: Looked | None = st.session_state.get("my-looked")
    if known is not None and known.upload == upload.mark:
        return known
    try:
        with st.spinner("Reading and checking it…"), opened(upload.open(), upload.name) as run:
            found = Looked(upload.mark, of_run(run))
    except UserError as error:
        found = Looked(upload.mark, refused=str(error))
    except Exception as error:  # whatever it holds, the page stays usable
        _LOG.exception("upload")
        found = Looked(upload.mark, refused=f"this zip can't be read ({type(error).__name__})")
    st.session_state["my-looked"] = found
    return found


def _offer(upload: Upload, run: Summary) -> None:
    """What it is, the name it will have, and the button that adds it."""
    taken = RunStore(cache.folder()).ids()
    st.markdown(f"**{safe(short(run.id, 60))}** is a whole run. {safe(line(run))}\\.")
    if run.tenth is not None:
        st.markdown(f"At a tenth of that file: {safe(run.figure(run.tenth))}\\.")
    if run.id in taken:
        st.info("There is a run of that name already, so it gets another one.", icon=":material/info:")
    key = f"my-add-name-{upload.mark}"
    st.text_input("Name in my runs", free_name(taken, run.id), max_chars=100, key=key)
    st.button(
        "Add to my runs", type="primary", icon=":material/add:", key="my-add", on_click=_add, args=(upload, run.id, key)
    )


def _add(upload: Upload, name: str, key: str) -> None:
    wanted = (st.session_state[key] or "").strip() or name
    if actions.act(
        f"{wanted} is one of your runs now.",
        lambda: import_zip(RunStore(cache.folder()), upload.open(), upload.name, wanted),
    ):
        st.session_state["my-upload-version"] = _version() + 1
        st.session_state.pop("my-looked", None)
        actions.open_run(wanted)


def _sentence(text: str, what: str) -> str:
    if what == FOLDER:
        text = text.replace("this zip", "this folder").replace("pack the run again where", "copy it again from where")
    return f"{text[:1].upper()}{text[1:]}."
