"""Compare runs: two to four curves in one chart, their figures side by side, and what differs in how they were made."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from app import charts, notices, store, words
from core.errors import RunError
from core.frontier import Budget, answer, recommended
from core.report import kilobytes
from core.runs import Run
from core.tasks import Metric, paired_test

MOST = 4
SIZE, METRIC, WIDTH = "size", "metric", "width"

Measured = list[tuple[Run, pd.DataFrame]]


def page() -> None:
    """The whole page, top to bottom."""
    st.title("Compare runs")
    st.markdown("Which network is the better one, and at which size? Each curve is one run at every size.")
    runs = notices.open_store()
    if not runs:
        return
    measured = _choose(runs)
    if len(measured) < 2:
        st.info("Choose at least two runs to compare.", icon=":material/compare_arrows:")
        return
    metric = measured[0][0].task.metric
    at, value = _question(measured, metric)
    rows = [_row(metrics, metric, at, value) for _, metrics in measured]
    picked = [
        None if row is None else int(metrics["width"].iloc[row])
        for (_, metrics), row in zip(measured, rows, strict=True)
    ]
    st.plotly_chart(
        charts.comparison(
            [(run.id, metrics) for run, metrics in measured],
            metric,
            picked,
            "width" if at == WIDTH else "bytes",
            st.context.theme.type == "dark",
        ),
        key="comparison",
        config={"displayModeBar": False},
        alt=f"{metric.label} over size for the chosen runs; the table below says the same.",
    )
    _table(measured, metric, rows)
    _verdict(measured, metric, rows)
    _settings(measured)
    st.query_params.from_dict({"runs": ",".join(run.id for run, _ in measured), "at": at, "value": f"{value:g}"})


def _choose(runs: list[Run]) -> Measured:
    """The visitor's runs, else the link's, else the first two on the same data."""
    by_id, state = {run.id: run for run in runs}, st.session_state
    if "compare-runs" not in state:
        linked = [name for name in st.query_params.get("runs", "").split(",") if name]
        missing = [name for name in linked if name not in by_id]
        if missing:
            names = ", ".join(words.safe(name[:60]) for name in missing[:MOST])
            st.info(f"The link names runs that are not here: {names}.", icon=":material/link_off:")
        wanted = state.get("compare-kept") or [name for name in dict.fromkeys(linked) if name in by_id]
        state["compare-runs"] = ([name for name in wanted if name in by_id] or _pair(runs))[:MOST]
    chosen = st.multiselect(
        "Runs",
        list(by_id),
        key="compare-runs",
        max_selections=MOST,
        format_func=lambda name: f"{name} ({by_id[name].record.data.get('name')})",
        placeholder="Choose two to four runs",
    )
    state["compare-kept"] = list(chosen)
    measured: Measured = []
    for name in chosen:
        try:
            measured.append((by_id[name], store.metrics(by_id[name])))
        except RunError as error:
            notices.no_metrics(by_id[name], error)
    kinds = {run.task.metric.name for run, _ in measured}
    if len(kinds) > 1:
        st.warning(
            "These runs are judged by different measures, so their curves can't share a chart. "
            "Choose runs of one kind.",
            icon=":material/warning:",
        )
        return []
    if len({run.record.data.get("test_fingerprint") for run, _ in measured}) > 1:
        st.info(
            "These runs were tested on different examples, so a difference between them may come from the data.",
            icon=":material/info:",
        )
    return measured


def _pair(runs: list[Run]) -> list[str]:
    """Two measured runs on the same test examples where there are two, else the first two."""
    ready = [run for run in runs if run.has_metrics]
    for k, first in enumerate(ready):
        for second in ready[k + 1 :]:
            if first.record.data.get("test_fingerprint") == second.record.data.get("test_fingerprint"):
                return [first.id, second.id]
    return [run.id for run in ready[:2]]


def _question(measured: Measured, metric: Metric) -> tuple[str, float]:
    """What the runs are compared at."""
    state = st.session_state
    choices = {
        SIZE: "the same file size",
        METRIC: f"the same {metric.label.lower()}",
        WIDTH: "the same number of units",
    }
    linked = st.query_params.get("at")
    state.setdefault("compare-at", state.get("compare-at-kept", linked if linked in choices else SIZE))
    at = st.radio("Compare them at", list(choices), format_func=choices.__getitem__, horizontal=True, key="compare-at")
    state["compare-at-kept"] = at
    first = measured[0][1].iloc[recommended(measured[0][1], metric)]
    widest = max(int(metrics["width"].iloc[-1]) for _, metrics in measured)
    label, start, step, high = {
        SIZE: ("File of at most, in kB", max(1.0, round(first["bytes"] / 1e3)), 1.0, 1e9),
        METRIC: (
            f"At least this {metric.label.lower()}, in {metric.unit.strip()}",
            float(round(first[metric.name] * metric.scale)),
            0.5,
            100.0 if metric.unit.strip() == "%" else 1e9,
        ),
        WIDTH: ("Units", float(first["width"]), 1.0, float(widest)),
    }[at]
    key = f"compare-value-{at}"
    kept = state.setdefault("compare-values-kept", {})
    if key not in state:
        value = kept.get(key, _number(st.query_params.get("value")) if linked == at else None)
        state[key] = float(min(max(value, 0.0), high)) if value is not None else start
    chosen = float(st.number_input(label, min_value=0.0, max_value=high, step=step, key=key))
    kept[key] = chosen
    return at, chosen


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if np.isfinite(value) else None


def _row(metrics: pd.DataFrame, metric: Metric, at: str, value: float) -> int | None:
    """The row of a run at what is compared, or None where it has none that fits."""
    if at == WIDTH:
        rows = np.flatnonzero(metrics["width"].to_numpy() == round(value))
        return int(rows[0]) if len(rows) else None
    budget = Budget(max_bytes=value * 1e3) if at == SIZE else Budget(at_least=value / metric.scale)
    found = answer(metrics, metric, budget)
    return found.row if found.fits else None


def _table(measured: Measured, metric: Metric, rows: list[int | None]) -> None:
    lines: list[dict[str, Any]] = []
    for (run, metrics), row in zip(measured, rows, strict=True):
        line: dict[str, Any] = {"Run": run.id, metric.label: "no size fits"}
        if row is not None:
            at = metrics.iloc[row]
            line |= {
                metric.label: metric.format(at[metric.name]),
                "95 % interval": metric.format_interval(at[f"{metric.name}_low"], at[f"{metric.name}_high"]),
                "File": kilobytes(at["bytes"]),
                "Units": f"{int(at['width']):,}",
                "Parameters": f"{int(at['params']):,}",
                "Below its full size": metric.format_difference(at[metric.name], metrics[metric.name].iloc[-1]),
            }
        lines.append(line)
    st.dataframe(pd.DataFrame(lines).fillna("–"), hide_index=True)


def _verdict(measured: Measured, metric: Metric, rows: list[int | None]) -> None:
    """Who is better at what was asked, and whether the data can tell."""
    here = [(run, metrics.iloc[row]) for (run, metrics), row in zip(measured, rows, strict=True) if row is not None]
    if len(here) < 2:
        left = f"Only {words.safe(here[0][0].id)} has" if here else "None of these runs has"
        st.markdown(f":material/block: **{left} a size that fits.**")
        return
    order = sorted(here, key=lambda pair: pair[1][metric.name], reverse=metric.higher_is_better)
    (best, first), others = order[0], order[1:]
    for run, second in others:
        known, how = _difference_is_real(best, first, run, second, metric)
        size = metric.format_difference(first[metric.name], second[metric.name])
        if known:
            text = f"{best.id} is better than {run.id}: {size}."
            st.markdown(f":material/emoji_events: **{words.safe(text)}**", help=how)
        else:
            text = f"No clear difference between {best.id} and {run.id}"
            gap = "" if size == "the same" else f" ({size}, which may be chance)"
            st.markdown(f":material/balance: **{words.safe(text)}**{words.safe(gap)}\\.", help=how)


def _difference_is_real(a: Run, at_a: pd.Series, b: Run, at_b: pd.Series, metric: Metric) -> tuple[bool, str]:
    """Paired test where both were tested on the same examples, else whether their intervals are apart."""
    if a.record.data.get("test_fingerprint") == b.record.data.get("test_fingerprint"):
        mine, theirs = store.correct(a, int(at_a["width"])), store.correct(b, int(at_b["width"]))
        if mine is not None and theirs is not None and len(mine) == len(theirs):
            p = paired_test(mine, theirs)
            return p < 0.05, (
                f"On the same {len(mine):,} test examples: one alone is right on {int((mine & ~theirs).sum()):,}, "
                f"the other alone on {int((theirs & ~mine).sum()):,}; p = {p:.2g}."
            )
    low, high = f"{metric.name}_low", f"{metric.name}_high"
    apart = bool(at_a[low] > at_b[high] or at_b[low] > at_a[high])
    return apart, f"The 95 % intervals {'do not overlap' if apart else 'overlap'}."


def _settings(measured: Measured) -> None:
    """How the runs were made, where that differs."""
    st.subheader("What differs in how they were made", anchor="settings")
    flat = {run.id: _flatten(run) for run, _ in measured}
    names = dict.fromkeys(name for settings in flat.values() for name in settings)
    lines = [
        {"Setting": name, **{run_id: str(settings.get(name, "–")) for run_id, settings in flat.items()}}
        for name in names
        if len({str(settings.get(name)) for settings in flat.values()}) > 1
    ]
    if lines:
        st.dataframe(pd.DataFrame(lines), hide_index=True)
    else:
        st.caption("Nothing: same data, model, recipe and seed.")


def _flatten(run: Run) -> dict[str, Any]:
    """A run's settings by readable names, without what is measured or a fingerprint."""
    record = run.record
    found: dict[str, Any] = {"data": record.data.get("name"), "training examples": record.data.get("train_n")}
    found |= {f"model {key}".replace("_", " "): value for key, value in record.family.get("settings", {}).items()}
    found |= {"recipe" if k == "name" else f"recipe {k}".replace("_", " "): v for k, v in record.recipe.items()}
    found |= {key: record.training.get(key) for key in ("seed", "device", "seconds")}
    return found
