"""The download: a file that is built when it is asked for."""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

import streamlit as st

from app import links, polished, store
from app.copy_link import copy_link
from app.words import safe, short, units
from core.delivered import Delivered, check
from core.errors import UserError
from core.export import FORMATS, export, file_name, size_before
from core.report import kilobytes
from core.runs import Run

SNIPPETS = {
    "bundle": ("python", "from load import predict   # or: from load_onnx import predict\n\nprint(predict(inputs))"),
    "safetensors": ("python", 'from safetensors.torch import load_file\n\nmodel.load_state_dict(load_file("{name}"))'),
    "onnx": (
        "python",
        'import onnxruntime\n\nsession = onnxruntime.InferenceSession("{name}")\n'
        'outputs = session.run(None, {{"input": inputs}})[0]   # float32, raw values',
    ),
    "pt2": ("python", 'import torch\n\nmodel = torch.export.load("{name}").module()\noutputs = model(inputs)'),
}
INSIDE = {  # of the zip
    "model.onnx": "the model for almost any language and device",
    "model.safetensors": "its weights alone",
    "load_onnx.py": "runs the model with ONNX Runtime",
    "load.py": "runs it with PyTorch",
    "config.json": "labels, input format and widths",
    "metrics.json": "how good it was measured to be",
    "model_card.md": "what it is, in words",
    "SHA256SUMS": "a checksum of each file",
}
LONGEST_WAIT = 300.0  # seconds until a click counts as lost
POLL = 0.1
JOBS_KEPT = 4  # of a visitor; a click that meets a page on its way belongs to the button before

_LOG = logging.getLogger(__name__)


@dataclass(eq=False)
class Job:
    """One button's file: built on another thread when it is clicked, and what came of it, for the page to say."""

    run: Run
    width: int
    format: str
    done: threading.Event = field(default_factory=threading.Event)
    failure: str = ""
    size: int = 0
    sha256: str = ""
    told: bool = False
    found: Delivered = field(default_factory=Delivered)

    def __call__(self) -> bytes:
        """Build the file. What is raised here reaches the visitor as Streamlit's own words, hence `failure`."""
        self.failure, self.told = "", False
        self.done.clear()
        try:
            data = export(self.run, self.width, self.format).data
            self.found = check(self.run, self.width, self.format, data)
        except UserError as error:
            self.failure = str(error)
            raise
        except Exception as error:
            _LOG.exception("export of %s", self.run.path)
            self.failure = f"something failed that nobody foresaw ({type(error).__name__}); the log says more"
            raise
        else:
            self.size, self.sha256 = len(data), hashlib.sha256(data).hexdigest()
            return data
        finally:
            self.done.set()


def choose(run: Run) -> None:
    """Choose a format. What is drawn here does not depend on the size."""
    st.subheader("Take it with you", anchor="download")
    formats = _formats(run)
    if _own(run):
        st.caption(
            "This run was trained from a program of its owner's, which is not stored with it, so only its numbers can "
            "be taken here; the owner can export the other formats from Python."
        )
    st.session_state["download-format"] = _format(run)
    st.radio(
        "File",
        formats,
        format_func=lambda name: FORMATS[name].label,
        captions=[FORMATS[name].meaning for name in formats],
        key="download-format",
        on_change=_keep_format,
    )


def button(run: Run, width: int) -> None:
    """Take the file, in the format that was chosen."""
    _which(run, width)
    _button(_taken(run, width)[0], width, _format(run))


def inside(run: Run, width: int) -> None:
    """What the file holds, in a box that is closed at first."""
    box = st.expander(
        "What is inside, and how to use it in a program", icon=":material/code:", key="inside-open", on_change="rerun"
    )
    if not box.open:  # what is closed costs nothing
        return
    (taken, _), chosen = _taken(run, width), _format(run)
    with box:
        if chosen == "bundle":
            st.markdown("\n".join(f"- `{name}`: {what}" for name, what in INSIDE.items()))
        else:
            st.markdown(FORMATS[chosen].meaning)
        language, text = SNIPPETS[chosen]
        st.code(text.format(name=file_name(taken, run.widths_at(width), chosen)), language=language, wrap_lines=True)
        st.caption(f"Inputs: {safe(run.record.input.meaning)}, as they are; the model brings its own normalisation.")


def link(query: Mapping[str, str]) -> None:
    """What is on the screen as an address, to be copied."""
    st.caption("A link to what is on this page now, to keep or to send:")
    copy_link(links.address(query), key="link-copy")


def _own(run: Run) -> bool:
    """Whether its owner's own program makes the network, which is not stored with the run."""
    return run.record.family.get("name") is None


def _formats(run: Run) -> list[str]:
    return [name for name, f in FORMATS.items() if not (_own(run) and f.holds_program)]


def _format(run: Run) -> str:
    """The visitor's, where the run can be had in it."""
    kept, formats = st.session_state.get("download-format-kept"), _formats(run)
    return kept if kept in formats else formats[0]


def _taken(run: Run, width: int) -> tuple[Run, str]:
    """The run that a file is made of, and why it is not the one that was asked for, where it is not."""
    if not _alone() or polished.points(run).at(width) is None:
        return run, ""
    try:
        return run.with_polished(width), ""
    except UserError as error:
        return run, str(error)


def _which(run: Run, width: int) -> None:
    """Ask for the size as it was trained together or on by itself, where the run has both."""
    found = polished.points(run)
    if found.problem:
        st.caption(f"Sizes that were trained on by themselves can't be shown: {safe(found.problem)}")
    row = found.at(width)
    if row is None:
        return
    metric, metrics = run.task.metric, store.metrics(run)
    together = metrics[metrics["width"] == width].to_dict("records")[0]
    names = {False: polished.TOGETHER, True: polished.ALONE[row["method"]]}
    st.session_state["download-alone"] = _alone()
    st.radio(
        "Which one",
        list(names),
        format_func=names.__getitem__,
        captions=[
            safe(f"{polished.figures(together, metric)}. All figures above are about this one."),
            safe(f"{polished.figures(row, metric)}: {polished.gain(run, row)}. {polished.made(row)}"),
        ],
        key="download-alone",
        on_change=_keep_which,
    )
    if problem := _taken(run, width)[1]:
        st.warning(f"{safe(problem)}. The one that was trained together is taken.", icon=":material/warning:")


def _alone() -> bool:
    """Whether the visitor wants sizes as they were trained on by themselves."""
    return bool(st.session_state.get("download-alone-kept"))


@st.fragment
def _button(run: Run, width: int, format: str) -> None:
    """The button and what came of it. A fragment: nothing else on the page changes, so nothing else runs again."""
    before: list[Job] = st.session_state.get("download-jobs", [])
    job = Job(run, width, format)
    st.session_state["download-jobs"] = [*before, job][-JOBS_KEPT:]
    widths = run.widths_at(width)
    name = file_name(run, widths, format)
    clicked = st.download_button(
        f"Download {units(width)}",
        data=job,
        file_name=name,
        mime="application/octet-stream" if format != "bundle" else "application/zip",
        icon=":material/download:",
        type="primary",
        key="download",
    )
    size, roughly = size_before(run, widths, format)
    how = "run on stored examples" if FORMATS[format].holds_program else "compared"
    wait = " The first one takes a few seconds." if format == "pt2" else ""
    said = f"{roughly} {kilobytes(size)}".strip()
    st.caption(safe(f"{short(name, 80)}, {said}. Opened again and {how} before you get it.{wait}"))
    if clicked and before:  # the click went to a button as it was before this run
        _report(before)


def _report(jobs: list[Job]) -> None:
    """Wait for the file that one of the last buttons was clicked for, then say what came of it."""
    with st.spinner("Making the file and checking it…"):
        waited = 0.0
        while (job := next((j for j in jobs if j.done.is_set() and not j.told), None)) is None:
            if waited > LONGEST_WAIT:
                st.warning("The download did not start; press the button again.", icon=":material/warning:")
                return
            jobs[-1].done.wait(POLL)
            waited += POLL
            st.session_state.get("download-jobs")  # reading it lets Streamlit stop this run where another is wanted
    job.told = True
    if job.failure:
        st.error(f"**The file could not be made:** {safe(job.failure)}", icon=":material/error:")
    else:
        st.success(
            f"Handed over: {safe(kilobytes(job.size))}. {_checked(job)} To check that the copy is whole, compare its "
            f"SHA-256: `{job.sha256}`",
            icon=":material/check_circle:",
        )


def _checked(job: Job) -> str:
    """What was compared once the file was there."""
    found = job.found
    which = "the trained network" if job.run.polished_width is None else "this size as it was trained on by itself"
    said = [f"all {found.numbers:,} numbers are those of {which}"] if found.numbers else []
    if found.examples:
        said.append(f"its answers on {found.examples:,} stored {job.run.task.example}s are those that were measured")
    return f"It was opened again: {', and '.join(said)}." if said else "This size was never measured, so not compared."


def _keep_which() -> None:
    links.touch("pick")
    st.session_state["download-alone-kept"] = st.session_state["download-alone"]
    st.rerun()  # the box with the file's use is a part of its own


def _keep_format() -> None:
    links.touch("pick")
    st.session_state["download-format-kept"] = st.session_state["download-format"]
