"""Verdicts: which run is better at the size asked for, and whether the test examples can tell."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
import streamlit as st

from app import url_state, words
from app.store import cache
from app.store.predictions import Comparison
from app.store.significance import paired
from core.runs.run import Run
from core.tasks.base import Metric


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A sentence in two parts, the first in bold, and the evidence for it. Plain text."""

    icon: str
    lead: str
    rest: str = ""
    how: str = ""


def verdicts(comparison: Comparison) -> list[Verdict]:
    """Return the best run against each other one; none is named best of runs that had different tests."""
    here, metric = comparison.here, comparison.metric
    if not comparison.same_examples:
        lead = "No run is called better here, as they were tested on different examples"
        return [Verdict(icon="block", lead=lead, rest=": a difference may come from the data.")]
    if len(here) < 2:
        left = f"Only {words.short(here[0][0].id)} has" if here else "None of these runs has"
        return [Verdict(icon="block", lead=f"{left} a size that fits.")]
    (best, first), *others = _order(here, metric)
    return [against(best, first, run, second, metric) for run, second in others]


def against(best: Run, first: pd.Series, run: Run, second: pd.Series, metric: Metric) -> Verdict:
    """Return the verdict on two runs, the first of which has the better figure."""
    known, how = difference_is_real(best, first, run, second, metric)
    gap, names = words.gap(metric, first[metric.name], second[metric.name]), (words.short(best.id), words.short(run.id))
    if known:
        return Verdict(icon="emoji_events", lead=f"{names[0]} is better than {names[1]}", rest=f" by {gap}.", how=how)
    chance = "the figures are the same" if gap == "the" else f"{gap}, which may be chance"
    lead = f"No clear difference between {names[0]} and {names[1]}"
    return Verdict(icon="balance", lead=lead, rest=f" ({chance}).", how=how)


def show(comparison: Comparison) -> None:
    """Draw the verdicts, and a link that opens the best run."""
    for found in verdicts(comparison):
        text = f":material/{found.icon}: **{words.safe(found.lead)}**{_second(found.rest)}"
        st.markdown(text, help=words.safe(found.how) or None)
    if len(comparison.here) > 1 and comparison.same_examples:
        take(*_order(comparison.here, comparison.metric)[0])


def take(run: Run, at: pd.Series) -> None:
    """A link to Pick a size, where the run can be taken at that size."""
    width = int(at["width"])
    label = f"Take {words.safe(words.short(run.id))} at {words.units(width)}"
    url_state.to("pick", label, {"run": run.id, "width": str(width)})


def _second(rest: str) -> str:
    """Escape the second part, but keep the space that it begins with."""
    return (" " if rest.startswith(" ") else "") + words.safe(rest)


def _order(here: list[tuple[Run, pd.Series]], metric: Metric) -> list[tuple[Run, pd.Series]]:
    return sorted(here, key=lambda pair: pair[1][metric.name], reverse=metric.higher_is_better)


def difference_is_real(a: Run, at_a: pd.Series, b: Run, at_b: pd.Series, metric: Metric) -> tuple[bool, str]:
    """Paired test of two runs with the same test examples; where scores are not stored, whether intervals are apart."""
    mine, theirs = cache.scores(a, int(at_a["width"])), cache.scores(b, int(at_b["width"]))
    if mine is not None and theirs is not None and len(mine) == len(theirs):
        test = paired(a.task, mine, theirs, (words.short(a.id), words.short(b.id)))
        return test.significant, test.counts
    low, high = f"{metric.name}_low", f"{metric.name}_high"
    apart = bool(at_a[low] > at_b[high] or at_b[low] > at_a[high])
    return apart, f"The 95 % intervals {'do not overlap' if apart else 'overlap'}."
