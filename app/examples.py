"""What a size costs, to be seen: the picture that it paints, or what it says of a few examples."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from app import pictures, store, words
from app.stored import is_cloud, stored
from core.errors import UserError
from core.runs import Run

MOST = 8  # examples that are shown
MOST_CLOUDS = 4  # each wants a drawing context of its own, of which browsers have few

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A few of a run's held-out examples."""

    x: np.ndarray
    y: np.ndarray
    index: np.ndarray
    images: tuple[str, ...]  # addresses of their pictures, where they are pictures


def seen(run: Run, metrics: pd.DataFrame, width: int) -> None:
    """The picture at this size beside the original, or what this size says of a few examples."""
    if not paints(run, width):
        _few(run, width)
        return
    original = _try(run, _painted, None)
    if original:
        value = metrics.loc[metrics["width"] == width, run.task.metric.name].iloc[0]
        st.subheader("The picture at this size", anchor="picture")
        made = _try(run, _painted, width)
        st.html(pictures.pair(made, original, f"{words.units(width)}: {run.task.metric.format(value)}"))


def paints(run: Run, width: int) -> bool:
    """Whether the run paints one picture, which can be shown, so that it has no single examples."""
    return "picture" in run.record.data and bool(_try(run, _painted, width))


def _few(run: Run, width: int) -> None:
    """A few held-out examples with what this size says of each."""
    kept, predicted = _try(run, _kept), _try(run, _said, width)
    if kept is None or predicted is None:
        return
    classes, count = run.task.classes, len(kept.y)
    clouds = is_cloud(run, kept.x)
    shown = min(count, MOST_CLOUDS) if clouds else count
    answers = pictures.said(run.task, run.record.labels, predicted[:shown], kept.y[:shown])
    if classes:
        tally = f"{words.units(width).capitalize()} {'get' if width > 1 else 'gets'} "
        tally += f"{sum(bool(a.right) for a in answers):,} of these {shown:,} right. "
    else:
        tally = f"What {words.units(width)} {'predict' if width > 1 else 'predicts'} of {shown:,} examples. "
    tally += "They were held out: it has not learned from them. All figures above count every test example."
    st.markdown(f"### What it says of single examples\n\n:small[{words.safe(tally)}]")
    if clouds:
        st.plotly_chart(
            pictures.clouds(kept.x[:shown], answers, st.context.theme.type == "dark"),
            key=f"clouds-{run.id}",
            config={"displayModeBar": False},
            alt="; ".join(f"a cloud of points: {', '.join(pictures.lines(answer))}" for answer in answers),
        )
    elif kept.images:
        st.html(pictures.cards(kept.images, answers))
    else:
        st.dataframe(
            pictures.table(kept.x, kept.index, run.record.input.columns, answers),
            hide_index=True,
            alt="Single examples",
        )


def _try(run: Run, what: Any, *more: Any) -> Any:
    """What is asked of a run's files, or None where they are damaged: the rest of the page is worth as much."""
    try:
        return what(run.path, run.stamp, *more)
    except (UserError, ValueError, TypeError, IndexError, KeyError, OverflowError) as error:
        _LOG.info("examples of %s: %s", run.path, error)
        return None


@lru_cache(maxsize=32)
def _painted(path: Path, stamp: tuple[Any, ...], width: int | None) -> str:
    """The picture at a width, or the original, as an address; empty where there is none."""
    run = Run(path)
    colours = store.targets(run) if width is None else store.predicted(run, width)
    shape = pictures.picture_shape(run.record, len(colours))
    if run.task.classes or shape is None:
        return ""
    return pictures.data_uri(colours.reshape(*shape, -1))


@lru_cache(maxsize=16)
def _kept(path: Path, stamp: tuple[Any, ...]) -> Kept | None:
    """The examples that are shown: the same at every size, so that what changes is the answer."""
    run = Run(path)
    found = stored(run)
    rows = pictures.spread(run.task, found.y, MOST)
    if not len(rows):
        return None
    images = () if found.images is None else found.images[rows]
    addresses = tuple(pictures.data_uri(image, pictures.THUMB_SIDE) for image in images)
    return Kept(x=found.x[rows], y=found.y[rows], index=found.index[rows], images=addresses)


@lru_cache(maxsize=256)
def _said(path: Path, stamp: tuple[Any, ...], width: int) -> np.ndarray | None:
    """What a width predicts of the examples that are shown."""
    kept = _kept(path, stamp)
    if kept is None:
        return None
    run = Run(path)
    found: np.ndarray = store.predicted(run, width)[kept.index]
    if run.task.classes and not (found.min() >= 0 and found.max() < len(run.record.labels)):
        raise ValueError("predictions that are none of the labels")
    return found
