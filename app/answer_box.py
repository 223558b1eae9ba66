"""The picked size in one sentence with its price, a badge, how sure it is, and what the next steps would bring."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from app import store, words
from app.choice import KEEP, LOSE, TIME
from app.paired import paired
from app.question import Asked
from core.frontier import as_good_as_full
from core.report import steps
from core.runs import Run

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


def answer_box(run: Run, metrics: pd.DataFrame, width: int, asked: Asked) -> None:
    """All that is said of the size in one element: a browser takes as long for each, whatever is in it."""
    metric, row = run.task.metric, int((metrics["width"] == width).to_numpy().argmax())
    if asked.reply is None:
        lead = words.choice(metrics.iloc[row], metrics.iloc[-1], metric)
    else:
        lead = words.safe(asked.reply.sentence)
    sure, how = _certainty(run, metrics, row)
    next_steps = "  \n".join(f":small[{words.safe(line)}]" for line in steps(metrics, metric, row))
    st.markdown("\n\n".join(part for part in (lead, next_steps, sure) if part), help=how or None)


def _certainty(run: Run, metrics: pd.DataFrame, row: int) -> tuple[str, str]:
    """Whether what was tested on can tell the picked size from full size (paired test on the same examples), and how
    that is known; nothing where it is not.
    """
    width, full = int(metrics["width"].iloc[row]), int(metrics["width"].iloc[-1])
    if width == full:
        return "", ""
    mine, theirs = store.scores(run, width), store.scores(run, full)
    if mine is None or theirs is None:
        return "", ""
    test, who = paired(run.task, mine, theirs, ("this size", "full size")), f"The test {run.task.example}s"
    if test.told:
        icon, better_one = ("trending_up", "this") if test.first_is_better else ("trending_down", "full")
        text, care = f"{who} can tell the difference: {better_one} size is better.", "Chance does this under 1 in 20."
        if not test.first_is_better and row == as_good_as_full(metrics, run.task.metric):
            text += f" The {int(metrics['validation_n'].iloc[0]):,} validation {run.task.example}s could not."
    else:
        icon, text = "balance", f"{who} can't tell this size from full size."
        care = "A difference this small may be chance."
    return f":material/{icon}: {text}", f"{test.counts} {care}"
