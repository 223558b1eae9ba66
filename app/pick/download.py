"""The download: a file that is built when it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import streamlit as st

from app import url_state
from app.components.copy_link import copy_link
from app.components.live_part import Line, line, live_part
from app.components.live_slider import needed
from app.components.take_file import address, take_file
from app.pick import polished
from app.pick import state as choice_of
from app.store import cache, file_sizes
from app.store import polished as store_polished
from app.words import joined, safe, short, units
from core.export.formats import FORMATS, file_name, size_before
from core.runs.run import Run
from core.utils.formatting import kilobytes

UNSURE = 0.05  # of a size that is estimated
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


def choose(run: Run, max_bytes: float | None, width: int) -> None:
    """Choose a format, beside the size of the file in each; the sizes follow the slider, at first at `width`.

    `max_bytes` is the file size that was asked for, if any.
    """
    st.subheader("Download", anchor="download")
    formats = file_sizes.formats(run)
    if len(formats) < len(FORMATS):
        st.caption(
            "This run was trained from a program of its owner's, which is not stored with it, so only its weights can "
            "be downloaded here; the owner can export the other formats from Python."
        )
    st.session_state["download-format"] = choice_of.format_of(run)
    st.radio(
        "File",
        formats,
        format_func=lambda name: FORMATS[name].label,
        captions=[FORMATS[name].meaning for name in formats],
        key="download-format",
        on_change=_keep_format,
    )
    widths = cache.metrics(run)["width"].tolist()
    live_part(run.id, widths, _sizes(run.path, run.stamp, max_bytes), width, key="download-sizes")


def button(run: Run, width: int) -> None:
    """Take the file, in the format that was chosen. It follows the slider, so it is drawn once for all sizes."""
    format, alone = choice_of.format_of(run), _alone()
    labels, said = _said(run.path, run.stamp, format, alone)
    widths = cache.metrics(run)["width"].tolist()
    take_file(run.id, widths, labels, said, width, address(run.id, format, alone=alone), key="download")


def inside(run: Run, width: int) -> None:
    """Draw the file's contents and use, in a box that is closed at first."""
    box = st.expander(
        "What is inside, and how to use it in a program", icon=":material/code:", key="inside-open", on_change="rerun"
    )
    if not box.open:  # what is closed costs nothing
        return
    taken, chosen = store_polished.taken(run, width, alone=_alone())[0], choice_of.format_of(run)
    with box:
        needed("inside")
        if chosen == "bundle":
            st.markdown("\n".join(f"- `{name}`: {what}" for name, what in INSIDE.items()))
        else:
            st.markdown(FORMATS[chosen].meaning)
        if usage := FORMATS[chosen].usage:
            name = file_name(taken, run.widths_at(width), chosen)
            st.code(usage.format(name=name), language="python", wrap_lines=True)
        st.caption(f"Inputs: {safe(run.record.input.meaning)}, as they are; the model brings its own normalisation.")


def link(run: Run, query: Mapping[str, str]) -> None:
    """Draw the page's address, to be copied."""
    st.caption("A link to what is on this page now, to keep or to send:")
    copy_link(url_state.address(query), key="link-copy", run=run.id)


def which(run: Run, width: int) -> None:
    """Ask for the size as it was trained together or on by itself, where the run has both."""
    found = store_polished.points(run)
    if found.problem:
        st.caption(f"Sizes that were trained on by themselves can't be shown: {safe(found.problem)}")
    row = found.at(width)
    if row is None:
        return
    metric, metrics = run.task.metric, cache.metrics(run)
    row = {**row, "bytes": file_sizes.bytes_of(run, choice_of.format_of(run))[width]}
    together = {**metrics[metrics["width"] == width].to_dict("records")[0], "bytes": row["bytes"]}
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
    if problem := store_polished.taken(run, width, alone=_alone())[1]:
        st.warning(f"{safe(problem)}. The one that was trained together is taken.", icon=":material/warning:")


def _alone() -> bool:
    """Whether the visitor chose sizes that were trained on by themselves."""
    return bool(st.session_state.get("download-alone-kept"))


@lru_cache(maxsize=32)
def _sizes(path: Path, stamp: tuple[Any, ...], max_bytes: float | None) -> list[list[Line]]:
    """Return a line for each format at each measured width: the file's size, and whether it is within the limit."""
    run = cache.opened(path, stamp)
    by_format = {name: file_sizes.bytes_of(run, name) for name in file_sizes.formats(run)}
    found = []
    for width in cache.metrics(run)["width"].tolist():
        lines = []
        for name, sizes in by_format.items():
            text = f"{FORMATS[name].roughly} {kilobytes(sizes[width])}".strip()
            if max_bytes is not None:
                doubt = UNSURE * sizes[width] if FORMATS[name].roughly else 0
                fits, limit = sizes[width] <= max_bytes, f"{max_bytes / 1e3:,.12g} kB"
                near = abs(sizes[width] - max_bytes) < doubt
                text += f", close to {limit}" if near else f", fits in {limit}" if fits else f", larger than {limit}"
            lines.append(line("small", f"{text}.", f"{FORMATS[name].label}:"))
        found.append(lines)
    return found


@lru_cache(maxsize=32)
def _said(path: Path, stamp: tuple[Any, ...], format: str, alone: bool) -> tuple[list[str], list[str]]:
    """Return the button's label and the line under it, at each size."""
    run, labels, said = cache.opened(path, stamp), [], []
    how = "run on stored examples" if FORMATS[format].holds_program else "compared"
    wait = " The first one takes a few seconds." if format == "pt2" else ""
    for width in cache.metrics(run)["width"].tolist():
        taken = store_polished.taken(run, width, alone=alone)[0]
        widths = taken.widths_at(width)
        size, roughly = size_before(taken, widths, format)
        name = short(file_name(taken, widths, format), 80)
        labels.append(f"Download {units(width)}")
        about = f"{roughly} {kilobytes(size)}".strip()
        said.append(joined(f"{name}, {about}. Opened again and {how} before you get it.{wait}"))
    return labels, said


def _keep_which() -> None:
    url_state.touch("pick")
    st.session_state["download-alone-kept"] = st.session_state["download-alone"]
    st.rerun()  # the box with the file's use is a part of its own


def _keep_format() -> None:
    url_state.touch("pick")
    choice_of.kept().format = st.session_state["download-format"]
    st.rerun()  # file sizes all over the page are those of the chosen format
