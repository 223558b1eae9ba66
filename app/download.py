"""The download: a file that is built when it is asked for."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from app.words import safe, units
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
        'scores = session.run(None, {{"input": inputs}})[0]   # float32, raw values',
    ),
    "pt2": ("python", 'import torch\n\nmodel = torch.export.load("{name}").module()\nscores = model(inputs)'),
}


def section(run: Run, width: int) -> None:
    """Choose a format and take the file."""
    st.subheader("Take it with you", anchor="download")
    own = run.record.family.get("name") is None
    formats = [name for name, f in FORMATS.items() if not (own and f.needs_torch)]
    if own:
        st.caption(
            "This run was trained from a program of its owner's, which is not stored with it, so only its numbers can "
            "be taken here; the owner can export the other formats from Python."
        )
    chosen = st.radio(
        "File",
        formats,
        format_func=lambda name: FORMATS[name].label,
        captions=[FORMATS[name].meaning for name in formats],
        key="download-format",
    )
    widths = run.widths_at(width)
    name = file_name(run, widths, chosen)
    st.download_button(
        f"Download {units(width)}",
        data=_builder(run, width, chosen),
        file_name=name,
        mime="application/octet-stream" if chosen != "bundle" else "application/zip",
        icon=":material/download:",
        type="primary",
        on_click="ignore",  # nothing on the page changes, so it need not run again
        key="download",
    )
    size = f", {kilobytes(run.layout.file_bytes(widths))}" if chosen == "safetensors" else ""
    wait = " The first one takes a few seconds." if FORMATS[chosen].needs_torch else ""
    st.caption(f"{safe(name)}{size}. Checked against the trained network before it is handed over.{wait}")
    with st.expander("How to use it in a program", icon=":material/code:"):
        language, text = SNIPPETS[chosen]
        st.code(text.format(name=name), language=language)
        st.caption(f"Inputs: {safe(run.record.input.meaning)}, as they are; the model brings its own normalisation.")
    for failure in st.session_state.get("download-failures", [])[-1:]:
        st.error(safe(failure), icon=":material/error:")


def _builder(run: Run, width: int, format: str) -> Callable[[], bytes]:
    """What makes the file on click. It runs on another thread, so it is given a list of this visitor's to report to."""
    failures: list[str] = st.session_state.setdefault("download-failures", [])

    def build() -> bytes:
        failures.clear()
        try:
            return export(run, width, format).data
        except UserError as error:
            failures.append(f"The file could not be made: {error}")
            raise

    return build
