"""Asking a visitor for an example of their own: drawn, uploaded, typed, or a stored one to start from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from app import words
from app.charts import images as charts_images
from app.components.draw_pad import draw_pad
from app.pick.try_it import parsing
from app.store import cache
from app.store.examples import Stored, is_cloud, stored
from app.web import access
from app.widgets import number_field
from app.widgets.read_number import write_number
from core.errors import UserError
from core.runs.run import Run

DRAW, UPLOAD, STORED = "Draw it", "Upload a picture", "Take a test example"
MOST_FIELDS = 12  # numbers that have a field each; more are a table
MOST_VALUES = 500  # of a row that can be typed at all
MOST_OFFERED = 500  # stored examples to choose from
NUMBER = number_field.Field(low=-1e9, high=1e9, start=0.0)  # a typed value
LONGEST_WRITTEN = 2  # characters of labels that people draw: digits, letters


@dataclass(frozen=True, kw_only=True, eq=False)
class Example:
    """One example as a network takes it."""

    x: np.ndarray  # (*input shape) float32, raw values
    picture: np.ndarray | None = None  # (height, width, 1 or 3) in [0, 1]
    truth: str = ""  # where it is a test example as it is stored


def ask(run: Run) -> Example | None:
    """The visitor's example, once there is one. Raises UserError where it is none, RunError for damaged examples."""
    kept, form = stored(run), run.record.input
    if not len(kept):
        st.caption("No test example is stored with this run, so nothing is known of how its inputs look.")
        return None
    if kept.images is not None:
        return _picture(run, kept)
    if is_cloud(run, kept.x):
        return _cloud(run, kept)
    if len(form.shape) == 1 and form.shape[0] <= MOST_VALUES:
        return _row(run, kept)
    row = _choose(run, kept, "Test example")
    st.caption(f"The network takes {words.safe(form.meaning)}, which can't be typed here.")
    return Example(x=kept.x[row].astype(np.float32), truth=_truth(run, kept, row))


def _picture(run: Run, kept: Stored) -> Example | None:
    assert kept.images is not None
    usual = _habits(run.path, run.stamp)
    written = all(0 < len(label) <= LONGEST_WRITTEN for label in run.record.labels) and run.task.classes
    ways = [*([DRAW] if usual and written else []), *([] if access.read_only() else [UPLOAD]), STORED]
    way = st.radio("Your example", ways, horizontal=True, key=f"try-way-{run.id}")
    if way == STORED:
        row = _choose(run, kept, "Test example")
        return Example(x=kept.x[row].astype(np.float32), picture=kept.images[row], truth=_truth(run, kept, row))
    pixels = _drawn(run, kept, usual) if way == DRAW and usual else _uploaded(run, kept, usual)
    if pixels is None:
        return None
    form = run.record.input
    low = float(kept.x.min()) if form.low is None else form.low
    high = float(kept.x.max()) if form.high is None else form.high
    return Example(x=parsing.as_input(pixels, form, low, high), picture=pixels)


def _drawn(run: Run, kept: Stored, usual: parsing.Habits) -> np.ndarray | None:
    assert kept.images is not None
    labels = [words.safe(label) for label in run.record.labels]
    st.caption(
        f"Draw one of {', '.join(labels[:12])}{' …' if len(labels) > 12 else ''} large, with one finger or the mouse."
    )
    ink = parsing.drawn(draw_pad(parsing.PAD_SIDE, key=f"try-pad-{run.id}"))
    if ink is None:
        return None
    shades = parsing.placed(ink, usual, (kept.images.shape[1], kept.images.shape[2]))
    return None if shades is None else shades[..., None]


def _uploaded(run: Run, kept: Stored, usual: parsing.Habits | None) -> np.ndarray | None:
    assert kept.images is not None
    height, width, colours = kept.images.shape[1:]
    alone = " It works best with one thing alone on plain ground." if usual else ""
    file = st.file_uploader(
        "PNG or JPEG picture",
        type=["png", "jpg", "jpeg"],
        max_upload_size=parsing.MOST_BYTES // 10**6,
        key=f"try-upload-{run.id}",
        help="It is looked at in this program's memory, and not kept.",
    )
    st.caption(f"It is made into {height} x {width} pixels, as the network takes them.{alone}")
    if file is None:
        return None
    if file.size > parsing.MOST_BYTES:
        raise UserError(
            f"the picture has {file.size / 1e6:.1f} MB; take one of at most {parsing.MOST_BYTES / 1e6:.0f} MB"
        )
    picture = parsing.opened(file.getvalue())
    if usual is None:
        return parsing.fitted(picture, (height, width), colours)
    shades = parsing.placed(parsing.lone_object(picture), usual, (height, width))
    if shades is None:
        raise UserError("the picture is all of one shade; choose one that shows something")
    return shades[..., None]


def _cloud(run: Run, kept: Stored) -> Example:
    row = _choose(run, kept, "Test example")
    degrees = st.slider("Turn it by", 0, 355, 0, 5, format="%d°", key=f"try-turn-{run.id}")
    cloud = parsing.turned(kept.x[row].astype(np.float32), degrees)
    truth = _truth(run, kept, row)
    chart = charts_images.clouds(cloud[None], [], st.context.theme.type == "dark")
    st.plotly_chart(
        chart, key="try-cloud", config={"displayModeBar": False}, alt="The cloud of points as it is turned."
    )
    st.caption("A cloud of points can't be drawn or typed here, so a stored one is turned about its upright axis.")
    return Example(x=cloud, truth=truth)


def _row(run: Run, kept: Stored) -> Example:
    """Numbers to change, from those of a stored example."""
    row = _choose(run, kept, "Start from")
    start = np.array([float(str(value)) for value in kept.x[row].astype(np.float32)])  # the shortest that is the same
    columns, count = run.record.input.columns, len(start)
    names = [words.short(columns[k]) if k < len(columns) else "" for k in range(count)]
    names = [name or f"value {k + 1}" for k, name in enumerate(names)]
    low, high = kept.x.min(axis=0).tolist(), kept.x.max(axis=0).tolist()
    if count > MOST_FIELDS:
        # as text, since a cell for numbers drops a decimal comma
        frame = pd.DataFrame({"Column": names, "Value": [write_number(value) for value in start]})
        edited = st.data_editor(
            frame, hide_index=True, disabled=["Column"], num_rows="fixed", key=f"try-table-{run.id}-{row}"
        )
        values = np.array([_value(name, text) for name, text in zip(names, edited["Value"], strict=True)])
    else:
        fields = [column for _ in range(0, count, 2) for column in st.columns(2)][:count]
        typed = st.session_state.setdefault(f"try-numbers-{run.id}-{row}", {})
        values = np.empty(count)
        for k, (place, name) in enumerate(zip(fields, names, strict=True)):
            with place:
                values[k] = number_field.show(
                    words.safe(name),
                    NUMBER,
                    typed.get(k, start[k]),
                    key=f"try-number-{run.id}-{row}-{k}",
                    on_change=lambda typed, k, value: None if value is None else typed.update({k: value}),
                    args=(typed, k),
                    help=f"In the stored examples from {low[k]:.4g} to {high[k]:.4g}.",
                    width="stretch",
                )
    same = np.array_equal(values.astype(np.float32), start.astype(np.float32))
    return Example(x=values.astype(np.float32), truth=_truth(run, kept, row) if same else "")


def _choose(run: Run, kept: Stored, label: str) -> int:
    """A row of the stored examples."""
    return int(
        st.selectbox(
            label,
            range(min(len(kept), MOST_OFFERED)),
            format_func=lambda row: words.printable(
                f"Test example {int(kept.index[row]) + 1:,}: {words.short(_truth(run, kept, row), 60)}"
            ),
            key=f"try-row-{run.id}",
        )
    )


@lru_cache(maxsize=8)
def _habits(path: Path, stamp: tuple[Any, ...]) -> parsing.Habits | None:
    images = stored(cache.opened(path, stamp)).images
    return None if images is None else parsing.habits(images[:MOST_OFFERED])


def _truth(run: Run, kept: Stored, row: int) -> str:
    return run.task.say(
        kept.y[row], tuple(words.short(label, charts_images.LONGEST_LABEL) for label in run.record.labels)
    )


def _value(name: str, text: object) -> float:
    """A typed value of a table. Raises UserError, which names its row."""
    try:
        return NUMBER.read("" if text is None else str(text))
    except UserError as error:
        raise UserError(f"{name}: {error}") from None
