"""The download: a file that is built when it is asked for."""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

import streamlit as st

from app import links, polished, store
from app.words import safe, short, units
from core.delivered import Delivered, check
from core.errors import UserError
from core.export import FORMATS, export, file_name
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


def section(run: Run, width: int, link: Mapping[str, str]) -> None:
    """Choose a format and take the file; `link` is what an address says of what is on the screen."""
    st.subheader("Take it with you", anchor="download")
    own = run.record.family.get("name") is None
    formats = [name for name, f in FORMATS.items() if not (own and f.needs_torch)]
    if own:
        st.caption(
            "This run was trained from a program of its owner's, which is not stored with it, so only its numbers can "
            "be taken here; the owner can export the other formats from Python."
        )
    taken = _which(run, width)
    kept = st.session_state.get("download-format-kept")
    st.session_state["download-format"] = kept if kept in formats else formats[0]
    chosen = st.radio(
        "File",
        formats,
        format_func=lambda name: FORMATS[name].label,
        captions=[FORMATS[name].meaning for name in formats],
        key="download-format",
        on_change=_keep_format,
    )
    _button(taken, width, chosen)
    with st.expander("What is inside, and how to use it in a program", icon=":material/code:"):
        if chosen == "bundle":
            st.markdown("\n".join(f"- `{name}`: {what}" for name, what in INSIDE.items()))
        else:
            st.markdown(FORMATS[chosen].meaning)
        language, text = SNIPPETS[chosen]
        st.code(text.format(name=file_name(taken, run.widths_at(width), chosen)), language=language, wrap_lines=True)
        st.caption(f"Inputs: {safe(run.record.input.meaning)}, as they are; the model brings its own normalisation.")
    st.caption("A link to what is on this page now, to keep or to send:")
    st.code(links.address(link), language=None, wrap_lines=True)


def _which(run: Run, width: int) -> Run:
    """The run that a file is made of: as it is, or of which the size that was trained on by itself is taken.

    Where the size has only one of the two, nothing is asked.
    """
    found = polished.points(run)
    if found.problem:
        st.caption(f"Sizes that were trained on by themselves can't be shown: {safe(found.problem)}")
    row = found.at(width)
    if row is None:
        return run
    metric, metrics = run.task.metric, store.metrics(run)
    together = metrics[metrics["width"] == width].to_dict("records")[0]
    names = {False: polished.TOGETHER, True: polished.ALONE[row["method"]]}
    st.session_state["download-alone"] = bool(st.session_state.get("download-alone-kept"))
    alone = st.radio(
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
    try:
        return run.with_polished(width) if alone else run
    except UserError as error:
        st.warning(f"{safe(str(error))}. The one that was trained together is taken.", icon=":material/warning:")
        return run


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
    if FORMATS[format].needs_torch:
        care = ". Opened again and run on stored examples before you get it. The first one takes a few seconds."
    else:
        care = f", {kilobytes(run.layout.file_bytes(widths))}. Opened again and compared before you get it."
    st.caption(safe(short(name, 80) + care))
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
            f"Handed over: {kilobytes(job.size)}. {_checked(job)} To check that the copy is whole, compare its "
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


def _keep_format() -> None:
    links.touch("pick")
    st.session_state["download-format-kept"] = st.session_state["download-format"]
