"""Which of several runs is better at what was asked, and whether the data can tell."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from app import links, store, words
from app.paired import paired
from core.runs import Run
from core.tasks import Metric

Measured = list[tuple[Run, pd.DataFrame]]


def say(measured: Measured, metric: Metric, rows: list[int | None]) -> None:
    """Who is better at what was asked, and whether the data can tell."""
    here = [(run, metrics.iloc[row]) for (run, metrics), row in zip(measured, rows, strict=True) if row is not None]
    if len(here) < 2:
        left = f"Only {_name(here[0][0])} has" if here else "None of these runs has"
        st.markdown(f":material/block: **{left} a size that fits.**")
        return
    order = sorted(here, key=lambda pair: pair[1][metric.name], reverse=metric.higher_is_better)
    (best, first), others = order[0], order[1:]
    for run, second in others:
        known, how = _difference_is_real(best, first, run, second, metric)
        gap = words.gap(metric, first[metric.name], second[metric.name])
        if known:
            text = f"**{_name(best)} is better than {_name(run)}** by {words.safe(gap)}\\."
            st.markdown(f":material/emoji_events: {text}", help=how)
        else:
            chance = "the figures are the same" if gap == "the" else f"{gap}, which may be chance"
            text = f"**No clear difference between {_name(best)} and {_name(run)}** ({words.safe(chance)})\\."
            st.markdown(f":material/balance: {text}", help=how)
    here_is = {"run": best.id, "width": str(int(first["width"]))}
    links.to("pick", f"Take {_name(best)} at {words.units(int(first['width']))}", here_is)


def _name(run: Run) -> str:
    return words.safe(words.short(run.id))


def _difference_is_real(a: Run, at_a: pd.Series, b: Run, at_b: pd.Series, metric: Metric) -> tuple[bool, str]:
    """Paired test where both were tested on the same examples, else whether their intervals are apart."""
    if store.same_examples(a, b):
        mine, theirs = store.scores(a, int(at_a["width"])), store.scores(b, int(at_b["width"]))
        if mine is not None and theirs is not None and len(mine) == len(theirs):
            test = paired(a.task, mine, theirs, (_name(a), _name(b)))
            return test.told, test.counts
    low, high = f"{metric.name}_low", f"{metric.name}_high"
    apart = bool(at_a[low] > at_b[high] or at_b[low] > at_a[high])
    return apart, f"The 95 % intervals {'do not overlap' if apart else 'overlap'}."
