"""Example predictions of a size: the picture that it paints, or its predictions on a few test examples."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from app import words
from app.charts import images as charts_images
from app.charts.images import Said
from app.components.live_part import CARDS, Card, Line, line
from app.store import cache
from app.store.examples import is_cloud, stored
from core.errors import UserError
from core.runs.run import Run

MOST = 8  # examples that are shown
MOST_CLOUDS = 4  # each needs a drawing context of its own, of which browsers have few
HEADING = "Example predictions"

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A few of a run's held-out examples."""

    x: np.ndarray
    y: np.ndarray
    index: np.ndarray
    images: tuple[str, ...]  # addresses of their pictures, where they are pictures


@dataclass(frozen=True, kw_only=True)
class Cards:
    """Pictures of a few examples, and for each size its lines, and its answer to each picture."""

    cards: list[Card]
    lines: list[list[Line]]
    answers: list[list[str]]


def cards(run: Run) -> Cards | None:
    """The examples as pictures that follow the slider; None where they are no pictures or can't be shown."""
    found: Cards | None = _try(run, _cards)
    return found


def seen(run: Run, metrics: pd.DataFrame, width: int) -> None:
    """Draw what the server has to draw for each size: a painted picture, clouds of points, or a table of examples."""
    if not paints(run, width):
        _few(run, width)
        return
    original = _try(run, _painted, None)
    if original:
        value = metrics.loc[metrics["width"] == width, run.task.metric.name].iloc[0]
        st.subheader("The picture at this size", anchor="picture")
        made = _try(run, _painted, width)
        st.html(charts_images.pair(made, original, f"{words.units(width)}: {run.task.metric.format(value)}"))


def paints(run: Run, width: int) -> bool:
    """Whether the run paints one picture, which can be shown, so that it has no single examples."""
    return "picture" in run.record.data and bool(_try(run, _painted, width))


def _few(run: Run, width: int) -> None:
    """Draw a few held-out examples with this size's predictions; nothing for pictures, which are `cards`."""
    kept, predicted = _try(run, _kept), _try(run, _said, width)
    if kept is None or predicted is None or kept.images:
        return
    clouds = is_cloud(run, kept.x)
    shown = MOST_CLOUDS if clouds else MOST
    answers = charts_images.said(run.task, run.record.labels, predicted[:shown], kept.y[:shown])
    st.markdown(f"### {HEADING}\n\n:small[{words.safe(_tally(width, answers))}]")
    if clouds:
        st.plotly_chart(
            charts_images.clouds(kept.x[:shown], answers, st.context.theme.type == "dark"),
            key=f"clouds-{run.id}",
            config={"displayModeBar": False},
            alt="; ".join(f"a cloud of points: {', '.join(charts_images.lines(answer))}" for answer in answers),
        )
    else:
        st.dataframe(
            charts_images.table(kept.x, kept.index, run.record.input.columns, answers),
            hide_index=True,
            alt="Single examples",
        )


def _tally(width: int, answers: list[Said]) -> str:
    """Return in a sentence how many of the examples a size gets right."""
    size, one, shown = words.units(width), width == 1, len(answers)
    tally = f"What {size} {'predicts' if one else 'predict'} of {shown:,} examples. "
    if all(answer.right is not None for answer in answers):
        right = sum(bool(answer.right) for answer in answers)
        tally = f"{size.capitalize()} {'gets' if one else 'get'} {right:,} of these {shown:,} right. "
    return tally + "They were held out: it has not learned from them. All figures above count every test example."


def _try(run: Run, what: Any, *more: Any) -> Any:
    """Call a reader of a run's files; None where they are damaged, as the rest of the page stays useful."""
    try:
        return what(run.path, run.stamp, *more)
    except (UserError, ValueError, TypeError, IndexError, KeyError, OverflowError) as error:
        _LOG.info("examples of %s: %s", run.path, error)
        return None


@lru_cache(maxsize=32)
def _painted(path: Path, stamp: tuple[Any, ...], width: int | None) -> str:
    """The picture at a width, or the original, as an address; empty where there is none."""
    run = cache.opened(path, stamp)
    colours = cache.targets(run) if width is None else cache.predicted(run, width)
    shape = charts_images.picture_shape(run.record, len(colours))
    if run.task.classes or shape is None:
        return ""
    return charts_images.data_uri(colours.reshape(*shape, -1))


@lru_cache(maxsize=16)
def _kept(path: Path, stamp: tuple[Any, ...]) -> Kept | None:
    """The examples that are shown: the same at every size, so that what changes is the answer."""
    run = cache.opened(path, stamp)
    found = stored(run)
    rows = charts_images.spread(run.task, found.y, MOST)
    if not len(rows):
        return None
    images = () if found.images is None else found.images[rows]
    addresses = tuple(charts_images.data_uri(image, charts_images.THUMB_SIDE) for image in images)
    return Kept(x=found.x[rows], y=found.y[rows], index=found.index[rows], images=addresses)


@lru_cache(maxsize=16)
def _cards(path: Path, stamp: tuple[Any, ...]) -> Cards | None:
    kept, run = _kept(path, stamp), cache.opened(path, stamp)
    if kept is None or not kept.images:
        return None
    truth = charts_images.said(run.task, run.record.labels, kept.y, kept.y)
    found = [
        Card(image=uri, alt=f"Example: {said.true}", says={}) for uri, said in zip(kept.images, truth, strict=True)
    ]
    lines, answers = [], []
    for width in cache.metrics(run)["width"].tolist():
        predicted = _answers(run, kept, width)
        said = charts_images.said(run.task, run.record.labels, predicted, kept.y)
        answers.append([str(guess) for guess in predicted.tolist()])
        for card, guess, answer in zip(found, answers[-1], said, strict=True):
            card.says.setdefault(guess, (charts_images.lines(answer), answer.right is False))
        lines.append([line("heading", HEADING), line("small", _tally(width, said)), CARDS])
    return Cards(cards=found, lines=lines, answers=answers)


@lru_cache(maxsize=256)
def _said(path: Path, stamp: tuple[Any, ...], width: int) -> np.ndarray | None:
    """Return a width's predictions on the examples that are shown."""
    kept = _kept(path, stamp)
    if kept is None:
        return None
    return _answers(cache.opened(path, stamp), kept, width)


def _answers(run: Run, kept: Kept, width: int) -> np.ndarray:
    found: np.ndarray = cache.predicted(run, width)[kept.index]
    if run.task.classes and not (found.min() >= 0 and found.max() < len(run.record.labels)):
        raise ValueError("predictions that are none of the labels")
    return found
