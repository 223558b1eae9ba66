"""Actions on one run: open it in Pick, describe, rename, download or remove it."""

from __future__ import annotations

import io
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import streamlit as st

from app import url_state
from app.store import cache
from app.store.summary import BROKEN, READY, STARTED, Summary, line, mark
from app.web import access
from app.words import safe, short
from core.errors import UserError
from core.runs import archive, notes
from core.runs.archive_zip import pack
from core.runs.file_names import UNFINISHED
from core.runs.run import Run
from core.runs.store import RunStore
from core.utils.formatting import printable

LONGEST_WAIT = 120.0  # seconds until a click on a download counts as lost
POLL = 0.1

_LOG = logging.getLogger(__name__)


def section(run: Summary, editable: bool) -> None:
    """Show the actions of the chosen run."""
    with st.container(border=True):
        st.subheader(safe(short(run.id, 60)), anchor=False)
        if run.notes.title:
            st.markdown(f"**{safe(run.notes.title)}**")
        if run.state in (BROKEN, STARTED):
            icon = ":material/warning:" if run.state == BROKEN else ":material/hourglass_empty:"
            st.warning(f"**{run.state}.** {safe(run.reason)}", icon=icon)
            if run.state == STARTED:
                st.caption("Its training may still be going on; it comes into this list by itself when it ends.")
        else:
            st.markdown(safe(f"{line(run)}."))
        if run.state == READY:
            url_state.to("pick", "Pick a size of it", {"run": run.id})
        readable = run.state not in (BROKEN, STARTED)
        if readable:
            _download(run.id)
        if editable:
            if readable:
                _words(run)
            if run.state != STARTED:
                _rename(run.id)
            _remove(run)


def act(done: str, action: Callable[[], object]) -> bool:
    """Change the store, for a widget's callback; `said` shows the outcome on the page, and the log has a line of it.

    Every change from the explorer passes here, so a read-only server refuses it here.
    """
    url_state.touch("runs")
    try:
        access.check_changeable()
        action()
        access.log_change(done)
    except UserError as error:
        say_error(str(error))
        return False
    except Exception as error:
        _LOG.exception("my runs")
        say_error(f"it did not work ({type(error).__name__}); the log says more")
        return False
    finally:
        cache.look_again()
    st.session_state["my-said"] = ("success", done)
    return True


def say_error(text: str) -> None:
    """Have the page show why an action was not done, at its next drawing."""
    st.session_state["my-said"] = ("error", text)


def said() -> None:
    """Show the outcome of the last action, once."""
    kind, text = st.session_state.pop("my-said", ("", ""))
    if kind == "success":
        st.success(safe(text), icon=":material/check_circle:")
    elif kind:
        st.error(f"**That was not done:** {safe(text)}", icon=":material/error:")


def _words(run: Summary) -> None:
    """Edit title, tags and note. The fields start over where another visitor has changed them."""
    saved, key = run.notes, mark(f"{run.id} {run.notes}")
    with st.form(f"my-words-{key}", border=False):
        title = st.text_input("Title", saved.title, max_chars=notes.LONGEST["title"], key=f"my-title-{key}")
        tags = st.text_input("Tags, with commas between", ", ".join(saved.tags), key=f"my-tags-{key}")
        note = st.text_area("Note", saved.note, max_chars=notes.LONGEST["note"], height=100, key=f"my-note-{key}")
        if st.form_submit_button("Save", icon=":material/save:", key=f"my-save-{key}"):
            new = notes.Notes(title=title or "", tags=tuple((tags or "").split(",")), note=note or "")
            act(f"Saved with {run.id}.", lambda: notes.write_notes(cache.folder() / run.id, new))
            st.rerun()


def _rename(run_id: str) -> None:
    with st.expander("Rename", icon=":material/edit:", key=f"my-renaming-{mark(run_id)}", on_change="rerun"):
        st.text_input(
            "New name",
            printable(run_id),
            max_chars=100,
            key=f"my-name-{mark(run_id)}",
            help="Letters, digits, '.', '_' and '-'. Links to the old name will say that the run is not here.",
        )
        st.button("Rename", key=f"my-rename-{mark(run_id)}", on_click=_do_rename, args=(run_id,))


def _do_rename(run_id: str) -> None:
    name = (st.session_state[f"my-name-{mark(run_id)}"] or "").strip()
    if name == run_id:
        return
    if act(f"{run_id} is now called {name}.", lambda: archive.rename(RunStore(cache.folder()), run_id, name)):
        open_run(name)


def _remove(run: Summary) -> None:
    """Move the run into the archive, once confirmed."""
    asked = st.session_state.get("my-remove") == run.id
    if not asked:
        st.button("Remove", icon=":material/delete:", key="my-remove-ask", on_click=_ask, args=(run.id,))
        return
    going = " Its training, where it is still going on, would begin it anew." if run.id.endswith(UNFINISHED) else ""
    st.warning(
        f"Remove {safe(short(run.id))}? It goes into the archive below, from where it can be brought back.{going}",
        icon=":material/help:",
    )
    with st.container(horizontal=True):
        st.button("Yes, remove it", type="primary", key="my-remove-yes", on_click=_do_remove, args=(run.id,))
        st.button("No, keep it", key="my-remove-no", on_click=_ask, args=(None,))


def _ask(run_id: str | None) -> None:
    url_state.touch("runs")
    st.session_state["my-remove"] = run_id


def _do_remove(run_id: str) -> None:
    st.session_state["my-remove"] = None
    if act(f"{run_id} is in the archive now.", lambda: archive.archive(RunStore(cache.folder()), run_id)):
        open_run(None)


def open_run(run_id: str | None) -> None:
    """Choose another run, or none, after an action."""
    choice = st.session_state["my-choice"]
    choice.run, choice.version = run_id, choice.version + 1


@dataclass(eq=False)
class Packing:
    """The zip of one run, made on another thread when its button is clicked; `failure` is why there is none."""

    run_id: str
    done: threading.Event = field(default_factory=threading.Event)
    failure: str = ""

    def __call__(self) -> bytes:
        """Make the zip. An error raised here is shown in Streamlit's own words, hence `failure`."""
        self.failure = ""
        self.done.clear()
        try:
            out = io.BytesIO()
            pack(Run(cache.folder() / self.run_id), out)
            return out.getvalue()
        except UserError as error:
            self.failure = str(error)
            raise
        except Exception as error:
            _LOG.exception("zip of %s", self.run_id)
            self.failure = f"something failed that nobody foresaw ({type(error).__name__}); the log says more"
            raise
        finally:
            self.done.set()


@st.fragment
def _download(run_id: str) -> None:
    """Download the whole run. A fragment: nothing else on the page changes."""
    job = st.session_state.get("my-packing")
    if job is None or job.run_id != run_id:
        job = st.session_state["my-packing"] = Packing(run_id)
    clicked = st.download_button(
        "Download the whole run",
        data=job,
        file_name=f"{run_id}.zip",
        mime="application/zip",
        icon=":material/folder_zip:",
        key="my-pack",
        help="A zip with everything: all sizes, all figures, the examples. It can be added to another person's runs.",
    )
    if not clicked:
        return
    waited = 0.0
    with st.spinner("Reading the run and packing it…"):
        while waited < LONGEST_WAIT and not job.done.wait(POLL):
            waited += POLL
            st.session_state.get("my-packing")  # reading it lets Streamlit stop this run where another is wanted
    if job.failure:
        st.error(f"**The zip could not be made:** {safe(job.failure)}", icon=":material/error:")
    elif not job.done.is_set():
        st.warning("The download did not start; press the button again.", icon=":material/warning:")
