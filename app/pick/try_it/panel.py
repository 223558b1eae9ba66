"""Try it: an example of a visitor's own through full size and the picked size, on the ONNX files themselves."""

from __future__ import annotations

import logging
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st

from app import words
from app.charts import images
from app.components.live_slider import needed
from app.pick.try_it import parsing
from app.pick.try_it.inputs import Example, ask
from app.store import cache
from app.widgets import notices
from core.errors import RunError, UserError
from core.runs.run import Run

TOP = 3  # labels that are shown of each size

_LOG = logging.getLogger(__name__)


def section(run: Run, width: int) -> None:
    """A closed box that opens on a click; nothing where a network paints one picture and takes no other."""
    notices.guarded(lambda: _section(run, width))()


def _section(run: Run, width: int) -> None:
    if run.task.bounded:
        return
    st.subheader("Try it", anchor="try")
    if run.record.family.get("name") is None:
        st.caption(
            "This run was trained from a program of its owner's, which is not stored with it, so it can't be run here."
        )
        return
    box = st.expander("Try an example of your own", icon=":material/science:", key="try-open", on_change="rerun")
    if not box.open:  # the first one to be opened makes the files, which takes seconds
        return
    with box:
        needed("try")
        try:
            example = ask(run)
            if example is not None:
                _show(run, width, example)
        except UserError as error:
            st.error(words.safe(str(error)), icon=":material/error:")


def _show(run: Run, width: int, example: Example) -> None:
    full = int(cache.metrics(run)["width"].iloc[-1])
    if example.picture is not None:
        image = images.data_uri(example.picture, images.THUMB_SIDE)
        st.html(images.one(image, "Your example as the network takes it", "What the network sees"))
    with st.spinner("Making the two files ready; the first time takes a few seconds…"):
        found = {size: _scores(run, size, example.x) for size in dict.fromkeys((width, full))}
    if run.task.classes:
        _labels(run, width, full, found, example.truth)
    else:
        _numbers(run, width, full, found, example.truth)
    st.caption("Both sizes ran as the ONNX files that a download hands over.")


def _labels(run: Run, width: int, full: int, found: dict[int, np.ndarray], truth: str) -> None:
    """Draw the most likely labels of each size, and whether both sizes agree."""
    names = [words.short(label, images.LONGEST_LABEL) for label in run.record.labels]
    says = {size: names[int(scores.argmax())] for size, scores in found.items()}
    if width == full:
        verdict = f":material/info: Full size says **{words.safe(says[full])}**."
    elif found[width].argmax() == found[full].argmax():
        verdict = f":material/check_circle: Both sizes say **{words.safe(says[width])}**."
    else:
        verdict = (
            f":material/difference: They differ: {words.units(width)} {'says' if width == 1 else 'say'} "
            f"**{words.safe(says[width])}**, full size says **{words.safe(says[full])}**."
        )
    st.markdown(verdict + (f" It is **{words.safe(truth)}**." if truth else ""))
    for column, (size, scores) in zip(st.columns(2), found.items(), strict=False):
        with column:
            st.markdown(f"**{_name(size, full)}**")
            parts = parsing.shares(scores)
            for k in np.argsort(-parts, kind="stable")[:TOP]:
                st.progress(float(min(max(parts[k], 0.0), 1.0)), text=words.safe(f"{names[k]}: {_percent(parts[k])}"))
    st.caption(
        "The percentages are how a network shares its vote among the labels. They add up to 100\u00a0%, also for a "
        "picture of something else, and are no promise to be right that often."
    )


def _numbers(run: Run, width: int, full: int, found: dict[int, np.ndarray], truth: str) -> None:
    names = tuple(words.short(label, images.LONGEST_LABEL) for label in run.record.labels)
    said = {size: run.task.say(scores, names) for size, scores in found.items()}
    lines = [f"- **{_name(size, full)}**: {words.safe(text)}" for size, text in said.items()]
    if truth:
        lines.append(f"- Truth: {words.safe(truth)}")
    st.markdown("\n".join(lines))
    if width != full:
        apart = float(np.sqrt(np.square(found[width].astype(np.float64) - found[full]).mean()))
        st.markdown(words.safe(f"They are {apart:.3g} apart; {_usual(run, width)}."))


def _usual(run: Run, width: int) -> str:
    """How far off this size usually is, to weigh a difference by."""
    metrics, metric = cache.metrics(run), run.task.metric
    value = metrics.loc[metrics["width"] == width, metric.name].iloc[0]
    return f"the {metric.label.lower()} of this size is {metric.format(value)}"


def _name(size: int, full: int) -> str:
    return f"Full size ({words.units(size)})" if size == full else words.units(size)


def _percent(share: float) -> str:
    percent = 100 * share
    return "under 0.1 %" if percent < 0.1 else "over 99.9 %" if percent > 99.9 else f"{percent:.1f} %"


def _scores(run: Run, width: int, x: np.ndarray) -> np.ndarray:
    """Run the ONNX file of a size on one example; return its scores, (labels,). Raises UserError."""
    from core.export.program import run_onnx

    try:
        scores = np.asarray(run_onnx(_program(run.path, run.stamp, width), x[None].astype(np.float32))[0])
    except (UserError, ImportError):
        raise
    except Exception as error:  # onnxruntime fails in ways of its own
        _LOG.exception("trying %s", run.path)
        raise RunError(f"the ONNX file of run {run.id} at {words.units(width)} can't be run here") from error
    if scores.shape != (len(run.record.labels),) or not np.isfinite(scores).all():
        raise RunError(
            f"{words.units(width)} of run {run.id} gave no finite answer; try values nearer to the usual ones"
        )
    return scores


@lru_cache(maxsize=8)
def _program(path: Path, stamp: tuple[Any, ...], width: int) -> bytes:
    """The size as an ONNX file, made as for a download; torch is imported for it."""
    from core.export.formats import export

    return export(Run(path), width, "onnx").data
