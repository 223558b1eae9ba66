"""Parts of Compare runs that open on a click; a closed part computes nothing."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import streamlit as st

from app import words
from app.compare import agreement, frontier, per_class, verdict
from app.compare import charts as compare_charts
from app.compare.state import AGREE, CLASSES, STORE, Choice, budget_chosen, part_opened
from app.store.predictions import Comparison, all_answers
from app.widgets import number_field
from core.runs.run import Run
from core.utils.formatting import kilobytes

CHART = {"displayModeBar": False}


def show(comparison: Comparison, runs: list[Run], choice: Choice) -> None:
    """Draw all parts."""
    if comparison.measured[0][0].task.classes:
        _part(CLASSES, "Label by label", ":material/category:", choice, lambda: _classes(comparison))
        agree = "Do they agree?"
    else:
        agree = "Which is closer to the truth, and how often?"
    _part(AGREE, agree, ":material/join_inner:", choice, lambda: _agreement(comparison))
    label = "Best run at any size"
    _part(STORE, label, ":material/travel_explore:", choice, lambda: _store(comparison, runs, choice))


def _part(name: str, label: str, icon: str, choice: Choice, content: Callable[[], None]) -> None:
    key = f"compare-open-{name}"
    st.session_state[key] = name in choice.open
    part = st.expander(label, icon=icon, key=key, on_change=part_opened, args=(name,))
    if part.open:
        with part:
            content()


def _classes(comparison: Comparison) -> None:
    found = per_class.by_class(all_answers(comparison))
    if found is None:
        st.info(_why_not(comparison, "they know the same labels"), icon=":material/info:")
        return
    st.markdown(f"**{words.safe(found.sentence)}**")
    table = per_class.table(found)
    st.plotly_chart(
        compare_charts.label_by_label(found, _dark()),
        key="compare-classes",
        config=CHART,
        alt="How often each run is right on the examples of each label; the table below says the same.",
    )
    left = len(table) - compare_charts.MOST_LABELS
    more = f" The chart leaves out the {left:,} labels on which they differ least." if left > 0 else ""
    st.caption(f"The bars, and the figures in brackets, are 95\u00a0% intervals: the fewer examples, the wider.{more}")
    st.dataframe(table, hide_index=True, alt="Each run on each label")


def _agreement(comparison: Comparison) -> None:
    pairs = agreement.agreements(all_answers(comparison))
    if not pairs:
        st.info(_why_not(comparison, "they were tested on the same examples"), icon=":material/info:")
        return
    for pair in pairs:
        st.markdown(words.safe(pair.sentence))
    st.dataframe(agreement.table(pairs), hide_index=True, alt="How often they agree")
    if comparison.measured[0][0].task.classes:
        st.caption("Two runs can be right equally often and yet be wrong on different examples.")


def _why_not(comparison: Comparison, condition: str) -> str:
    if len(comparison.here) < 2:
        return "This needs two runs with a size that fits; ask for another size above."
    return (
        "This can't be worked out for these runs: it needs the stored predictions of at least two runs, and that "
        f"{condition}."
    )


def _store(comparison: Comparison, runs: list[Run], choice: Choice) -> None:
    """Draw the best of all runs with the same test examples, at one file size and at every other."""
    like, metric = comparison.measured[0][0], comparison.metric
    field = _read(runs, like)
    if field.table.empty:
        st.info("No run here has figures that can be used.", icon=":material/info:")
        return
    budget = _budget(comparison, choice)
    best = field.best(metric)
    top = field.at(metric, budget * 1e3)
    count = f"{len(field.runs):,} run{'' if len(field.runs) == 1 else 's'} tested on the same examples"
    if top.empty:
        small = best.iloc[0]
        st.markdown(
            f"**No run has a size of at most {words.safe(kilobytes(budget * 1e3))}\\.** The smallest of {count} is "
            f"{words.safe(words.short(small['run']))} at {words.units(int(small['width']))}, "
            f"{words.safe(kilobytes(small['bytes']))}\\."
        )
    else:
        _answer(comparison, field, top, budget, count)
    if field.unusable:
        few = "1 run is" if field.unusable == 1 else f"{field.unusable:,} runs are"
        st.caption(f"{few} left out, since their figures can't be read.")
    st.plotly_chart(
        compare_charts.best_of_all(best, metric, budget * 1e3, _dark()),
        key="compare-all",
        config=CHART,
        alt=f"The best {metric.label.lower()} of all runs at every file size; the table below says the same.",
    )
    st.dataframe(frontier.stretches(best, metric), hide_index=True, alt="The best run at every file size")
    st.caption("Sizes and runs are chosen on validation examples; every figure that is shown comes from test examples.")


def _read(runs: list[Run], like: Run) -> frontier.Field:
    """Read the figures of all comparable runs in parts, so that the visitor's next action is not held up."""
    field = frontier.field(runs, like)
    if not field.unread:
        return field
    total, bar = field.unread + len(field.runs) + field.unusable, st.empty()
    while field.unread:
        done = total - field.unread
        bar.progress(done / total, f"Reading the figures of {total:,} runs, once: {done:,} are done")
        field = frontier.field(runs, like)
    bar.empty()
    return field


def _budget(comparison: Comparison, choice: Choice) -> float:
    """Draw the field for the file size; return it in kB. It starts at the size that runs are compared at."""
    sizes = [float(at["bytes"]) for _, at in comparison.here] or [50e3]
    entry = number_field.size_field(max(sizes))
    first = entry.start if comparison.max_kb is None else comparison.max_kb
    value = first if choice.budget is None else choice.budget
    return number_field.show("File of at most, in kB", entry, value, key="compare-budget", on_change=budget_chosen)


def _answer(comparison: Comparison, field: frontier.Field, top: pd.DataFrame, budget: float, count: str) -> None:
    metric, first = comparison.metric, top.iloc[0]
    name = words.safe(words.short(first["run"]))
    figures = f"{words.figure_of(metric, first[metric.name])}, {kilobytes(first['bytes'])}"
    st.markdown(
        f":material/emoji_events: **At {words.safe(f'{budget:,.12g} kB')}, take {name} at "
        f"{words.units(int(first['width']))}:** {words.safe(figures)}\\. It is the best of {count}\\."
    )
    verdict.take(field.runs[first["run"]], first)
    table = words.table(top, metric)
    table.insert(0, "Run", [words.short(run) for run in top["run"]])
    beside = [_beside(field, first, row, comparison) for _, row in top.iloc[1:].iterrows()]
    table.insert(1, metric.label, table.pop(metric.label))
    table.insert(2, "Against the first", ["–", *beside])
    st.dataframe(table, hide_index=True, alt="The best runs at this file size")


def _beside(field: frontier.Field, first: pd.Series, row: pd.Series, comparison: Comparison) -> str:
    told, _ = verdict.difference_is_real(
        field.runs[first["run"]], first, field.runs[row["run"]], row, comparison.metric
    )
    gap = words.difference(comparison.metric, row[comparison.metric.name], first[comparison.metric.name])
    return gap.removesuffix(" than") if told else "no clear difference"


def _dark() -> bool:
    return bool(st.context.theme.type == "dark")
