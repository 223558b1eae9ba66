"""The table of My runs: search, order, and the row that is chosen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from app.store.summary import READY, Summary, mark
from app.widgets.run_picker import MOST_NAMES
from core.tasks.base import Metric
from core.utils.formatting import printable

NEWEST, NAME, BEST, SMALLEST = "Newest first", "Name", "Best at full size", "Smallest file"
ROW, MOST_ROWS = 35, 12  # pixels, and rows that are seen without scrolling
DIGITS = 5  # before the point: figures of one unit sort as numbers, though they are texts


def matching(runs: Sequence[Summary], search: str) -> list[Summary]:
    """The runs that hold every word of `search` somewhere."""
    words = search.casefold().split()
    return [run for run in runs if all(word in run.words for word in words)]


def named(runs: Sequence[Summary], chosen: str | None) -> list[str]:
    """Names to choose from, in order; of very many runs the first ones, and the one that is chosen."""
    names = sorted((run.id for run in runs), key=str.casefold)
    return names[:MOST_NAMES] + [name for name in names[MOST_NAMES:] if name == chosen]


def ordered(runs: Sequence[Summary], order: str) -> list[Summary]:
    """The runs in one of the orders above; those that lack the figure come last."""
    by_name = sorted(runs, key=lambda run: run.id.casefold())
    if order == NEWEST:
        return sorted(by_name, key=lambda run: run.created, reverse=True)
    if order == SMALLEST:
        return sorted(by_name, key=lambda run: (run.bytes is None, run.bytes or 0.0))
    if order == BEST:
        return sorted(by_name, key=_worst_last)
    return by_name


def frame(runs: Sequence[Summary]) -> pd.DataFrame:
    """What the table shows, a row for each run. Each figure has its own unit."""
    columns = {
        "Run": [printable(run.id) for run in runs],
        "Curve": [list(run.curve) or None for run in runs],
        "Measure": [_measure(run.metric) for run in runs],
        "Full size": [_sortable(run.figure(run.full)) for run in runs],
        "At 10 %": [_sortable(run.figure(run.tenth)) for run in runs],
        "File": [None if run.bytes is None else run.bytes / 1e3 for run in runs],
        "Made": pd.to_datetime([run.created for run in runs], errors="coerce", utc=True, format="ISO8601"),
        "Data": [run.data for run in runs],
        "Model": [run.model for run in runs],
        "Tags": [list(run.notes.tags) for run in runs],
        "Title": [run.notes.title for run in runs],
        "Note": [" ".join(run.notes.note.split()) for run in runs],
    }
    if any(run.state != READY for run in runs):
        columns["State"] = [run.state for run in runs]
    return pd.DataFrame(columns)


def table(runs: Sequence[Summary], chosen: str | None, version: int, on_choice: Callable[[str | None], None]) -> None:
    """Draw the table; a row that is clicked is chosen. `version` is another where the chosen row was set elsewhere."""
    ids = [run.id for run in runs]
    key = f"my-table-{version}-{mark(repr(ids))}"

    def clicked() -> None:
        rows = st.session_state[key].selection.rows
        on_choice(ids[rows[0]] if rows and 0 <= rows[0] < len(ids) else None)

    column = st.column_config
    st.dataframe(
        frame(runs),
        key=key,
        hide_index=True,
        height=ROW * (1 + max(1, min(len(runs), MOST_ROWS))) + 2,
        on_select=clicked,
        selection_mode="single-row",
        selection_default={"selection": {"rows": [ids.index(chosen)] if chosen in ids else []}},
        placeholder="–",
        column_order=_order(runs),
        column_config={
            "Run": column.TextColumn(pinned=True, width=150),
            "Curve": column.LineChartColumn(
                width=110, help="The measure over size, from the smallest size on the left to full size on the right."
            ),
            "Measure": column.TextColumn(width=190, help="What the two figures beside it are."),
            "Full size": column.TextColumn(width=85, help="On test examples, at full size."),
            "At 10 %": column.TextColumn(width=85, help="At the size whose file has at most a tenth of the bytes."),
            "File": column.NumberColumn(format="%.1f kB", width=90, help="At full size. 1 kB is 1,000 bytes."),
            "Made": column.DatetimeColumn(format="YYYY-MM-DD", width=100),
            "Tags": column.ListColumn(width=120),
            "Note": column.TextColumn(width=220),
        },
        alt=f"A table of {len(runs):,} runs. The box below it chooses one by name.",
    )


def _order(runs: Sequence[Summary]) -> list[str]:
    """Columns as they stand; what nobody has filled in is left out."""
    shown = ["Run", "Full size", "At 10 %", "Curve", "Measure", "File", "Made", "Data", "Model"]
    if any(run.state != READY for run in runs):
        shown.insert(4, "State")
    filled: dict[str, Callable[[Summary], Any]] = {
        "Title": lambda run: run.notes.title,
        "Tags": lambda run: run.notes.tags,
        "Note": lambda run: run.notes.note,
    }
    return shown + [name for name, has in filled.items() if any(map(has, runs))]


def _measure(metric: Metric | None) -> str:
    if metric is None:
        return ""
    return metric.label if metric.higher_is_better else f"{metric.label} (less is better)"


def _worst_last(run: Summary) -> tuple[bool, str, float]:
    """Figures of one kind beside each other, the best first."""
    if run.metric is None or run.full is None:
        return True, "", 0.0
    return False, run.metric.label, -run.full if run.metric.higher_is_better else run.full


def _sortable(figure: str) -> str | None:
    """A figure with spaces before it, so that a click on the column's head sorts it as a number."""
    return figure.rjust(DIGITS + len(figure) - len(figure.split(".")[0].split(" ")[0])) if figure else None
