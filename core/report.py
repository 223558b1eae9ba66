"""A run's figures as text for a terminal. Needs pandas, not torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from core.errors import RunError, UserError
from core.frontier import Answer, Budget, answer, log_spaced
from core.runs import METRICS, Run
from core.store import BrokenRun
from core.tasks import Metric

if TYPE_CHECKING:
    import pandas as pd


def kilobytes(size: float) -> str:
    """Bytes as people read them: `78 kB`, `1.2 MB` (1 kB is 1,000 bytes)."""
    if size < 1e4:
        return f"{size / 1e3:.1f} kB"
    return f"{size / 1e3:,.0f} kB" if size < 1e6 else f"{size / 1e6:,.2f} MB"


def printable(text: str) -> str:
    """Text as one line that moves no cursor and has bytes: names and labels may come from anybody's run.json."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def size_table(run: Run, metrics: pd.DataFrame) -> str:
    """Sizes near powers of two: units, parameters, file, and the metric on test, its interval, and on validation.

    A task's further metrics follow, on test.
    """
    metric, kind = _check(run, metrics), f"{run.task.example}s"
    more = run.task.metrics[1:]
    widths = metrics["width"].to_numpy()
    # not every run has every width, so the nearest one that was validated
    nearest = {int(np.abs(widths - width).argmin()) for width in log_spaced(int(widths[0]), int(widths[-1]))}
    rows = metrics.iloc[sorted(nearest)]
    lines = [
        f"{printable(run.id)}: {metric.label.lower()} on {int(metrics['n'].iloc[0]):,} test {kind} (95 % interval); "
        f"sizes are chosen on {int(metrics['validation_n'].iloc[0]):,} validation {kind}",
        f"{'units':>6} {'parameters':>12} {'file':>9} {'test':>8} {'interval':>18} {'validation':>11}"
        + "".join(f" {other.label.lower():>18}" for other in more),
    ]
    for row in rows.to_dict("records"):
        interval = metric.format_interval(row[f"{metric.name}_low"], row[f"{metric.name}_high"])
        lines.append(
            f"{row['width']:>6} {row['params']:>12,} {kilobytes(row['bytes']):>9} {metric.format(row[metric.name]):>8} "
            f"{interval:>18} {metric.format(row[f'validation_{metric.name}']):>11}"
            + "".join(f" {other.format(row[other.name]):>18}" for other in more)
        )
    return "\n".join(lines)


@dataclass(frozen=True, kw_only=True)
class Reply:
    """The size that answers a budget, and how to say so."""

    answer: Answer
    verdict: str  # "fits", "just fits" or "does not fit"
    sentence: str


def reply(run: Run, metrics: pd.DataFrame, *, max_kb: float | None = None, at_least: float | None = None) -> Reply:
    """Answer a budget in plain words. `at_least` is in the metric's stored unit, and the most where lower is better.

    Sizes are chosen on validation examples and judged on test examples; where the two disagree, it is said.
    "Just fits" is a file within 5 % of the limit, or a test interval that reaches below what was asked.
    Raises UserError for a budget that can't be meant.
    """
    metric = _check(run, metrics)
    if max_kb is not None and not 0 < max_kb < math.inf:
        raise UserError(f"the size limit is {max_kb:g} kB; give more than 0 kB")
    if at_least is not None and metric.percent and not 0 < at_least <= 1:
        raise UserError(
            f"the {metric.label.lower()} asked for is {at_least:g}, which is not a fraction up to 1; 0.97 means 97 %"
        )
    if at_least is not None and not math.isfinite(at_least):
        raise UserError(f"the {metric.label.lower()} asked for is {at_least:g}; give a finite number")
    found = answer(metrics, metric, Budget(max_bytes=None if max_kb is None else max_kb * 1e3, at_least=at_least))
    row = metrics.iloc[found.row]
    wishes = []
    if at_least is not None:
        wishes.append(f"keeps {_wish(metric)} {_exactly(metric, at_least)}")
    if max_kb is not None:
        wishes.append(f"stays under {max_kb:,.12g} kB")
    wanted = " and ".join(wishes)
    tight = max_kb is not None and row["bytes"] > 0.95 * max_kb * 1e3
    if at_least is not None:
        worst = row[f"{metric.name}_low" if metric.higher_is_better else f"{metric.name}_high"]
        tight = tight or not metric.at_least(worst, at_least)
    if not found.fits:
        lead, verdict = f"No size here {wanted}. The closest is", "does not fit"
    else:
        lead = f"{'Smallest' if at_least is not None else 'Best'} model that {wanted}:"
        verdict = "just fits" if tight else "fits"
    sentence = f"{lead} {describe(row, metrics.iloc[-1], metric, run.task.example)}."
    if found.fits and at_least is not None and not metric.at_least(row[metric.name], at_least):
        chosen = metric.format(row[f"validation_{metric.name}"])
        kind, misses = f"{run.task.example}s", "falls short of" if metric.higher_is_better else "is above"
        sentence += (
            f" It was chosen on {int(row['validation_n']):,} validation {kind}, where it has {chosen}; on the test "
            f"{kind} it {misses} {_exactly(metric, at_least)}."
        )
    return Reply(answer=found, verdict=verdict, sentence=sentence)


def _check(run: Run, metrics: pd.DataFrame) -> Metric:
    """The run's metric, once its columns are known to be there. Raises RunError."""
    metric = run.task.metric
    judged = (metric.name, f"validation_{metric.name}")
    wanted = ["n", "validation_n", *(f"{name}{end}" for name in judged for end in ("", "_low", "_high"))]
    missing = [name for name in wanted if name not in metrics]
    if missing:
        raise RunError(f"{METRICS} lacks {', '.join(missing)}; make it again with: python -m core sweep {run.path}")
    return metric


def _wish(metric: Metric) -> str:
    """`at least`; a figure without a unit is named, for alone it says nothing."""
    return metric.limit if metric.unit else f"a {metric.label.lower()} of {metric.limit}"


def _exactly(metric: Metric, target: float) -> str:
    """A figure that was asked for: never rounded to one that was not."""
    shown = metric.format(target)
    return (
        shown
        if float(metric.format(target, unit=False)) == target * metric.scale
        else (f"{target * metric.scale:.12g}{metric.unit}")
    )


def describe(row: pd.Series, full: pd.Series, metric: Metric, example: str = "example") -> str:
    """A size and its price: `24 units, 19,000 parameters, 78 kB; 97.1 % (95 % interval ...), 1.1 points below ...`."""
    width = int(row["width"])
    difference = metric.format_difference(row[metric.name], full[metric.name])
    interval = metric.format_interval(row[f"{metric.name}_low"], row[f"{metric.name}_high"])
    against = "as good as full size" if difference == "the same" else f"{difference} full size"
    if width == int(full["width"]):
        against = "full size"
    return (
        f"{width:,} unit{'' if width == 1 else 's'}, {int(row['params']):,} parameters, {kilobytes(row['bytes'])}; "
        f"{metric.format(row[metric.name])} on {int(row['n']):,} test {example}s (95 % interval {interval}), {against}"
    )


def run_line(run: Run | BrokenRun) -> str:
    """One line of a list of runs, whatever a run's files hold."""
    if isinstance(run, BrokenRun):
        return printable(f"{run.id}: can't be read: {run.reason}")
    head = f"{run.id}: {run.record.data.get('name')}, {run.record.recipe.get('name')}"
    try:
        full, metric = run.metrics().iloc[-1], run.task.metric
        size = f"{int(full['width'])} units, {kilobytes(full['bytes'])}"
        return printable(f"{head}, {size}, {metric.label.lower()} {metric.format(full[metric.name])} at full size")
    except UserError as error:
        return printable(f"{head}: {error}")
    except Exception as error:  # a table of the wrong types: the other runs are still listed
        return printable(f"{head}: {METRICS} can't be used ({type(error).__name__} {error})")
