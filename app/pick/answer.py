"""Sentences about one size: its figures and price, how sure they are, the next steps, a faster size nearby.

No page layout here; `selected.py` places what these functions return.
"""

from __future__ import annotations

from collections.abc import Hashable
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from app import words
from app.components.live_part import Line, line
from app.pick.question import Asked
from app.pick.state import KEEP, LOSE, TIME
from app.store import cache, file_sizes, latency
from app.store.significance import paired
from core.runs.run import Run
from core.sweep.budget import as_good_as_full, faster
from core.sweep.report import steps

BADGES = {
    "fits": ("Fits", ":material/check_circle:", "green"),
    "just fits": ("Just fits", ":material/error:", "orange"),
    "does not fit": ("Too big", ":material/cancel:", "red"),
}
Offer = dict[str, str | int]
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
def lines(path: Path, stamp: tuple[Any, ...], format: str) -> list[list[Line]]:
    """Return the paragraphs of each size of a run: its figures and price, the next steps, how sure it is.

    File sizes are those of `format`.
    """
    run = cache.opened(path, stamp)
    metrics, metric = file_sizes.timed(run, format), run.task.metric
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
    if test.significant:
        better_one = "this" if test.first_is_better else "full"
        text = f"{who} can tell the difference: {better_one} size is better."
        if not test.first_is_better and row == validated:
            text += f" The {sizes[0]['validation_n']:,} validation {run.task.example}s could not."
    else:
        text = f"{who} can't tell this size from full size."
    return [line("text", text), line("note", test.counts)]


def offers(run: Run) -> list[Offer | None]:
    """For each size the one to take in its place, where there is one: `width`, `take`, and why as `text` and `how`."""
    metrics, metric = latency.timed(run), run.task.metric
    how = (
        "Time does not grow evenly with the size, as processors like some sizes more than others. "
        f"Measured on {words.printable(latency.machine(run))}."
    )
    rows, found = metrics.to_dict("records"), list[Offer | None]()
    for row, here in enumerate(rows):
        other = None if here["ms"] != here["ms"] else faster(metrics, metric, row)
        if other is None:
            found.append(None)
            continue
        there = rows[other]
        near = words.units(int(there["width"]))
        change = words.difference(metric, there[metric.name], here[metric.name])
        gap = words.gap(metric, there[metric.name], here[metric.name])
        worth = "just as good" if change == "the same" else f"{gap} better"
        times = f"{words.milliseconds(there['ms'])} instead of {words.milliseconds(here['ms'])} a prediction"
        text = f"{near} nearby answers faster, {times}, and is {worth}."
        found.append({"width": int(there["width"]), "take": f"Take {near}", "text": words.joined(text), "how": how})
    return found


def figures(run: Run, row: pd.Series, width: int) -> dict[str, str]:
    """Figures of one size by readable names; a figure that the table lacks is left out."""
    found = {f"units in {words.short(name)}": f"{size:,}" for name, size in run.widths_at(width).items()}
    found["parameters"] = f"{int(row['params']):,}"
    if "macs" in row and row["macs"] == row["macs"]:
        found["multiply-accumulates of one example (MACs)"] = f"{int(row['macs']):,}"
    for column, part in (("loss", "test"), ("validation_loss", "validation")):
        if column in row:
            found[f"loss on {part} ({run.task.loss})"] = f"{float(row[column]):.4g}"
    for metric in run.task.metrics[1:]:
        interval = metric.format_interval(row[f"{metric.name}_low"], row[f"{metric.name}_high"])
        found[f"{metric.label.lower()} on test"] = f"{metric.format(row[metric.name])} (95 % interval {interval})"
    return found
