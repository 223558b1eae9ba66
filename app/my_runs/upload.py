"""Add a run on My runs: a zip or a folder is read, checked and shown, and joins the store at a click."""

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
from app.web import uploads
from app.words import safe, short
from core.errors import RunError, UserError
from core.runs.archive import free_name
from core.runs.archive_zip import MAX_ENTRIES, import_zip, opened
from core.runs.store import RunStore

ZIP, FOLDER = "A zip", "A folder"

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Upload:
    """A chosen zip or folder: its own mark, its name, how it is opened as a zip, and Streamlit's ids of its files."""

    mark: str
    name: str
    files: tuple[str, ...]
    open: Callable[[], IO[bytes]]


@dataclass(frozen=True)
class Looked:
    """The result of reading an upload: a run, or the reason why it is refused."""

    upload: str  # the upload's mark
    run: Summary | None = None
    refused: str = ""


def section() -> None:
    """Choose a zip or a folder, see what it is, add it."""
    box = st.expander("Add a run from a file or a folder", icon=":material/upload:", key="my-import", on_change="rerun")
    if not box.open:  # a closed box costs nothing
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
        max_upload_size=uploads.limit(),
        key=f"my-upload-{_version()}",
    )
    return None if chosen is None else Upload(chosen.file_id, chosen.name, (chosen.file_id,), lambda: chosen)


def _folder() -> Upload | None:
    chosen: list[Any] = st.file_uploader(
        "The folder of a run, as training writes it",
        accept_multiple_files="directory",
        max_upload_size=uploads.limit(),
        key=f"my-upload-folder-{_version()}",
    )
    if not chosen:
        return None
    files = tuple(sorted(file.file_id for file in chosen))
    mark = hashlib.sha256(" ".join(files).encode()).hexdigest()
    return Upload(mark, "imported", files, lambda: _packed(chosen))


def _packed(chosen: list[Any]) -> IO[bytes]:
    """Pack a folder's files as a zip, so that both kinds of upload pass the same checks.

    Raises RunError where it is too large.
    """
    if len(chosen) > MAX_ENTRIES:
        raise RunError(f"the folder holds {len(chosen):,} files, more than the {MAX_ENTRIES} of a run")
    if sum(file.size for file in chosen) > uploads.limit() * uploads.MIB:
        raise RunError(
            f"the folder has more than {uploads.limit()} MB; import it from a terminal: python -m core import"
        )
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as packed:
        for file in chosen:
            packed.writestr(file.name, file.getbuffer())
    return out


def _version() -> int:
    """The version in the keys of the upload fields; the next one empties them."""
    return int(st.session_state.get("my-upload-version", 0))


def _look_into(upload: Upload) -> Looked:
    """Read and check all of an upload, once for each."""
    earlier: Looked | None = st.session_state.get("my-looked")
    if earlier is not None and earlier.upload == upload.mark:
        return earlier
    try:
        with st.spinner("Reading and checking it…"), opened(upload.open(), upload.name) as run:
            looked = Looked(upload.mark, of_run(run))
    except UserError as error:
        looked = Looked(upload.mark, refused=str(error))
    except Exception as error:  # whatever it holds, the page stays usable
        _LOG.exception("upload")
        looked = Looked(upload.mark, refused=f"this zip can't be read ({type(error).__name__})")
    st.session_state["my-looked"] = looked
    return looked


def _offer(upload: Upload, run: Summary) -> None:
    """Show the run, the name that it will have, and the button that adds it."""
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
        uploads.release(upload.files)
        st.session_state["my-upload-version"] = _version() + 1
        st.session_state.pop("my-looked", None)
        actions.open_run(wanted)


def _sentence(text: str, what: str) -> str:
    if what == FOLDER:
        text = text.replace("this zip", "this folder").replace("pack the run again where", "copy it again from where")
    return f"{text[:1].upper()}{text[1:]}."
