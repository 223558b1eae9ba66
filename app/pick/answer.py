"""A size in one sentence with its price, a badge, how sure it is, and what the next steps would bring."""

from __future__ import annotations

from collections.abc import Hashable
from functools import lru_cache
from pathlib import Path
from typing import Any

import streamlit as st

from app import words
from app.components.live_part import Line, line
from app.pick.question import Asked
from app.pick.state import KEEP, LOSE, TIME
from app.store import cache
from app.store.significance import paired
from core.runs.run import Run
from core.sweep.budget import as_good_as_full
from core.sweep.report import steps

BADGES = {
    "fits": ("Fits", ":material/check_circle:", "green"),
    "just fits": ("Just fits", ":material/error:", "orange"),
    "does not fit": ("Too big", ":material/cancel:", "red"),
}
MISSED = {KEEP: "Out of reach", LOSE: "Out of reach", TIME: "Too slow"}  # what else "does not fit" is called


def badge(asked: Asked) -> None:
    """Whether what was asked for can be had, in a word; a size that is picked by hand ends the question."""
    if asked.reply is None:
        return
    word, icon, colour = BADGES[asked.reply.verdict]
    if asked.reply.verdict == "does not fit":
        word = MISSED.get(asked.ask, word)
    st.badge(word, icon=icon, color=colour)  # type: ignore[arg-type]


@lru_cache(maxsize=16)
def lines(path: Path, stamp: tuple[Any, ...]) -> list[list[Line]]:
    """What is said of each size of a run: the size and its price, what the next steps bring, how sure it is."""
    run = cache.opened(path, stamp)
    metrics, metric = cache.timed(run), run.task.metric
    bring = steps(metrics, metric)
    sizes, validated = metrics.to_dict("records"), as_good_as_full(metrics, metric)
    found = []
    for row, size in enumerate(sizes):
        bold, price = words.choice(size, sizes[-1], metric)
        next_steps = [line("small", step) for step in bring[row]]
        found.append([line("text", price, bold), *next_steps, *_certainty(run, sizes, row, validated)])
    return found


def _certainty(run: Run, sizes: list[dict[Hashable, Any]], row: int, validated: int) -> list[Line]:
    """Whether what was tested on can tell a size from full size (paired test on the same examples), and how that is
    known; nothing where it is not. `validated` is the row of the smallest that validation could not tell from it.
    """
    width, full = sizes[row]["width"], sizes[-1]["width"]
    if width == full:
        return []
    mine, theirs = cache.scores(run, width), cache.scores(run, full)
    if mine is None or theirs is None:
        return []
    test, who = paired(run.task, mine, theirs, ("this size", "full size")), f"The test {run.task.example}s"
    if test.told:
        better_one = "this" if test.first_is_better else "full"
        text = f"{who} can tell the difference: {better_one} size is better."
        if not test.first_is_better and row == validated:
            text += f" The {sizes[0]['validation_n']:,} validation {run.task.example}s could not."
    else:
        text = f"{who} can't tell this size from full size."
    return [line("text", text), line("note", test.counts)]
