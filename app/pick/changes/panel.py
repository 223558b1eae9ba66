"""The box with the changes against full size: by label, mix-ups, and examples whose prediction changes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st

from app import words
from app.charts import images as charts_images
from app.charts.images import Said
from app.components.live_part import Line, line
from app.components.live_slider import needed
from app.pick.changes import charts as changes_charts
from app.pick.changes import compute
from app.pick.changes.compute import Pair, name_of
from app.store import cache
from app.store.examples import is_cloud, stored
from core.errors import RunError
from core.runs.run import Run

MOST = 12  # examples that are shown at once
MOST_CLOUDS = 4  # each needs a drawing context of its own, of which browsers have few
LABELS, MIXED, FLIPS = "Label by label", "Mixed up", "Examples that change"
ALL = "all"
LOST, GAINED = "lost", "gained"
WAYS = {True: {LOST: "right → wrong", GAINED: "wrong → right"}, False: {LOST: "farther off", GAINED: "closer"}}


@dataclass(frozen=True, kw_only=True, eq=False)
class Flips:
    """Rows of the stored examples that change, those that change most first; both (k,)."""

    lost: np.ndarray
    gained: np.ndarray

    def of(self, way: str) -> np.ndarray:
        """The rows that change one way."""
        return self.lost if way == LOST else self.gained


@lru_cache(maxsize=16)
def lines(path: Path, stamp: tuple[Any, ...]) -> list[list[Line]]:
    """Return the heading and sentence of each size; nothing where the predictions are not stored."""
    run = cache.opened(path, stamp)
    found: list[list[Line]] = []
    for width in cache.metrics(run)["width"].tolist():
        pair = compute.pair(run, width)
        if pair is None:
            found.append([])
            continue
        full = "This is full size. Pick a smaller size to see what changes against it."
        text = full if width == pair.full.width else pair.sentence
        found.append([line("heading", "What changes"), line("text", text)])
    return found


def box(run: Run, width: int) -> None:
    """Draw the box, closed at first; nothing where the run's predictions are not stored.

    The box is there at every size, as picks are not sent to the server while it is closed.
    """
    full = int(cache.metrics(run)["width"].iloc[-1])
    if _pair(run.path, run.stamp, full) is None:
        return
    classes = run.task.classes
    inside = f"{LABELS}, mix-ups, single examples" if classes else FLIPS
    opened = st.expander(inside, icon=":material/difference:", key="changes-open", on_change="rerun")
    if not opened.open:  # what is closed costs nothing
        return
    with opened:
        needed("changes")
        found = _pair(run.path, run.stamp, width)
        if width == full or found is None:
            st.caption(
                "At full size nothing changes, so this box is empty; a smaller size fills it."
                if width == full
                else "The answers of this size are not stored with the run, or are damaged; pick another one."
            )
            return
        if not classes:
            _examples(run, found)
            return
        for tab, show in zip(
            tabs := st.tabs([LABELS, MIXED, FLIPS], key="changes-tab", on_change="rerun"),
            (_labels, _mixed, _examples),
            strict=True,
        ):
            if tab.open or (tab is tabs[0] and not any(t.open for t in tabs)):
                with tab:
                    show(run, found)


def _labels(run: Run, found: Pair) -> None:
    part = compute.by_label(found)
    st.markdown(words.safe(part.sentence))
    st.plotly_chart(
        changes_charts.label_changes(part, _dark()),
        key="changes-labels",
        config={"displayModeBar": False},
        alt="Change of each label against full size; the table below says the same.",
    )
    st.caption(
        "Points lost (left) or won (right) on the examples of each label. The line through a mark is the 95\u00a0% "
        "interval of the change, on the same examples. A filled mark is more than chance would make; a ring may be "
        "chance."
    )
    _cut(len(part.names), changes_charts.MOST_LABELS, "labels are drawn: those that lose most")
    st.dataframe(compute.label_table(part), hide_index=True, alt="Change of each label")


def _mixed(run: Run, found: Pair) -> None:
    labels, part = run.record.labels, compute.mix_ups(found)
    st.markdown(words.safe(compute.mix_up_sentence(part, labels)))
    st.plotly_chart(
        changes_charts.change_map(found, _dark()),
        key="changes-map",
        config={"displayModeBar": False},
        alt="How many more examples of each label are taken for each other one; the table below says the same.",
    )
    st.caption(
        "How many more test examples than at full size. On the line from the top left to the bottom right are the "
        "right answers; everywhere else is one label taken for another. **Orange is worse** than full size, "
        "**blue is better**, an empty square is the same."
    )
    present = len(np.unique(np.concatenate([found.here.targets, found.here.predicted, found.full.predicted])))
    _cut(present, changes_charts.MOST_SQUARES, "labels are drawn: those with most changes")
    st.dataframe(compute.mix_up_table(part, labels), hide_index=True, alt="What is mixed up")


def _examples(run: Run, found: Pair) -> None:
    """Stored examples that change, with both answers."""
    try:
        kept = stored(run)
    except RunError as error:
        st.caption(f"The stored examples can't be shown: {words.safe(str(error))}")
        return
    flips, ways = _flips(run.path, run.stamp, found.here.width), WAYS[run.task.classes]
    total = {LOST: int(found.lost.sum()), GAINED: int(found.gained.sum())}
    st.caption(
        f"Of {len(found.lost):,} test examples, {total[LOST]:,} go {ways[LOST]} and {total[GAINED]:,} "
        f"{ways[GAINED]}. {len(kept):,} test examples are stored with the run; what changes among these is shown."
    )
    way = st.segmented_control(
        "Which way",
        list(ways),
        default=LOST,
        required=True,
        format_func=lambda key: f"{ways[key]} ({len(flips.of(key)):,})",
        key="changes-way",
    )
    rows = flips.of(way or LOST)
    if run.task.classes and len(rows):
        rows = _of_label(run, kept.y, rows)
    if not len(rows):
        st.markdown("No stored example changes this way.")
        return
    most = MOST_CLOUDS if is_cloud(run, kept.x) else MOST
    if len(rows) > most:
        order = "the first" if run.task.classes else "those that change most"
        st.caption(f"{most} of {len(rows):,} are shown, {order}.")
    _show(run, found, rows[:most])


def _of_label(run: Run, y: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The rows of the label that is asked for."""
    kinds, counts = np.unique(y[rows], return_counts=True)
    names = {str(k): f"{name_of(run.record.labels, int(k))} ({n:,})" for k, n in zip(kinds, counts, strict=True)}
    chosen = st.selectbox(
        "Only examples that are",
        [ALL, *names],
        format_func=lambda key: words.printable(names.get(key, "of any label")),
        key="changes-label",
    )
    return rows[y[rows] == int(chosen)] if chosen in names else rows


def _show(run: Run, found: Pair, rows: np.ndarray) -> None:
    kept = stored(run)
    at = kept.index[rows]
    said = _both(run, found, at, kept.y[rows])
    if is_cloud(run, kept.x):
        st.plotly_chart(
            charts_images.clouds(kept.x[rows], said, _dark()),
            key="changes-clouds",
            config={"displayModeBar": False},
            alt="; ".join(f"a cloud of points: {', '.join(charts_images.lines(answer))}" for answer in said),
        )
    elif kept.images is not None:
        addresses = [charts_images.data_uri(kept.images[row], charts_images.THUMB_SIDE) for row in rows]
        st.html(charts_images.cards(addresses, said))
    else:
        st.dataframe(
            charts_images.table(kept.x[rows], at, run.record.input.columns, said),
            hide_index=True,
            alt="Examples that change",
        )


def _both(run: Run, found: Pair, at: np.ndarray, true: np.ndarray) -> list[Said]:
    """Return the predictions of both sizes on some test examples."""
    here, full = (
        charts_images.said(run.task, run.record.labels, side.predicted[at], true) for side in (found.here, found.full)
    )
    return [
        replace(mine, full=theirs.says if run.task.classes else f"{theirs.says} ({theirs.off})")
        for mine, theirs in zip(here, full, strict=True)
    ]


def _cut(count: int, most: int, what: str) -> None:
    if count > most:
        st.caption(f"{most} of {count:,} {what}. The table has {'all' if count <= compute.MOST_ROWS else 'more'}.")


def _dark() -> bool:
    return st.context.theme.type == "dark"


@lru_cache(maxsize=64)
def _pair(path: Path, stamp: tuple[Any, ...], width: int) -> Pair | None:
    return compute.pair(cache.opened(path, stamp), width)


@lru_cache(maxsize=64)
def _flips(path: Path, stamp: tuple[Any, ...], width: int) -> Flips:
    run, found = cache.opened(path, stamp), _pair(path, stamp, width)
    index = stored(run).index
    assert found is not None
    lost, gained = (np.flatnonzero(flags[index]) for flags in (found.lost, found.gained))
    if not run.task.classes:  # by how much the typical error of each changes
        moved = np.abs(np.sqrt(found.here.scores[index]) - np.sqrt(found.full.scores[index]))
        lost, gained = (rows[np.argsort(-moved[rows], kind="stable")] for rows in (lost, gained))
    return Flips(lost=lost, gained=gained)
