"""Figures of a run in plain words: tables and sentences for the terminal and the app. pandas, no torch."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from core.errors import RunError, UserError
from core.runs.file_names import METRICS
from core.runs.run import Run
from core.runs.store import BrokenRun
from core.sweep.budget import ROUNDING, Answer, Budget, answer, log_spaced, neighbours, recommended
from core.tasks.base import Metric
from core.utils.formatting import kilobytes, milliseconds, printable

if TYPE_CHECKING:
    import pandas as pd

NEAR_LIMIT = 0.95  # of a limit; a size that comes closer just fits


def size_table(run: Run, metrics: pd.DataFrame) -> str:
    """Text table of sizes near powers of two: parameters, file, the metric on test with its interval, on validation.

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
    """The size that answers a budget, and the sentence about it."""

    answer: Answer
    verdict: str  # "fits", "just fits" or "does not fit"
    sentence: str


def reply(
    run: Run,
    metrics: pd.DataFrame,
    *,
    max_kb: float | None = None,
    at_least: float | None = None,
    lose_at_most: float | None = None,
    max_ms: float | None = None,
) -> Reply:
    """Answer a budget in plain words.

    Sizes are chosen on validation examples and judged on test examples; where the two disagree, the sentence tells.
    "Just fits" is a file or a time within 5 % of the limit, a test interval that reaches below the target, or a loss
    above the limit on the test examples.

    Parameters
    ----------
    run, metrics
        The run, and its metrics or those rows of them that are offered.
    max_kb
        Largest file, in kB of 1,000 bytes.
    at_least
        The metric in its stored unit; where lower is better, the most.
    lose_at_most
        Allowed loss against full size, in the metric's stored unit.
    max_ms
        Longest time of a prediction; needs the columns of `core.sweep.budget.timed`.

    Raises
    ------
    UserError
        For a budget that no size could be meant by.
    """
    metric = _check(run, metrics)
    for what, limit, unit in (("size", max_kb, "kB"), ("time", max_ms, "ms")):
        if limit is not None and not 0 < limit < math.inf:
            raise UserError(f"the {what} limit is {limit:g} {unit}; give more than 0 {unit}")
    if lose_at_most is not None and not 0 <= lose_at_most < math.inf:
        raise UserError(f"the loss allowed is {lose_at_most:g}; give 0 or more")
    if max_ms is not None and ("ms" not in metrics or not np.isfinite(metrics["ms"]).any()):
        raise UserError(f"the time of a prediction was not measured for {run.id}; ask for a size instead")
    if at_least is not None and metric.percent and not 0 < at_least <= 1:
        raise UserError(
            f"the {metric.label.lower()} asked for is {at_least:g}, which is not a fraction up to 1; 0.97 means 97 %"
        )
    if at_least is not None and not math.isfinite(at_least):
        raise UserError(f"the {metric.label.lower()} asked for is {at_least:g}; give a finite number")
    max_bytes = None if max_kb is None else max_kb * 1e3
    budget = Budget(max_bytes=max_bytes, max_ms=max_ms, at_least=at_least, lose_at_most=lose_at_most)
    chosen = answer(metrics, metric, budget)
    row, full = metrics.iloc[chosen.row], metrics.iloc[-1]
    wishes = []
    if at_least is not None:
        wishes.append(f"keeps {_wish(metric)} {_exactly(metric, at_least)}")
    if lose_at_most is not None:
        wishes.append(f"loses at most {loss(metric, lose_at_most)} against full size")
    if max_kb is not None:
        wishes.append(f"stays under {max_kb / 1e3:,.12g} MB" if max_kb >= 1e3 else f"stays under {max_kb:,.12g} kB")
    if max_ms is not None:
        wishes.append(f"takes at most {max_ms:,.12g} ms a prediction")
    limits = " and ".join(wishes)
    tight = max_bytes is not None and row["bytes"] > NEAR_LIMIT * max_bytes
    tight = tight or (max_ms is not None and row["ms"] > NEAR_LIMIT * max_ms)
    if lose_at_most is not None:
        tight = tight or _lost(metric, row, full) > lose_at_most + ROUNDING
    if at_least is not None:
        worst = row[f"{metric.name}_low" if metric.higher_is_better else f"{metric.name}_high"]
        tight = tight or not metric.at_least(worst, at_least)
    if not chosen.fits:
        lead, verdict = f"No size here {limits}. The closest is", "does not fit"
    else:
        smallest = at_least is not None or lose_at_most is not None
        lead = f"{'Smallest' if smallest else 'Best'} model that {limits}:"
        verdict = "just fits" if tight else "fits"
    sentence = f"{lead} {describe(row, full, metric, run.task.example)}."
    if max_ms is not None:
        sentence += f" One prediction takes {milliseconds(row['ms'])}."
    if chosen.fits and at_least is not None and not metric.at_least(row[metric.name], at_least):
        shown = metric.format(row[f"validation_{metric.name}"])
        kind, misses = f"{run.task.example}s", "falls short of" if metric.higher_is_better else "is above"
        sentence += (
            f" It was chosen on {int(row['validation_n']):,} validation {kind}, where it has {shown}; on the test "
            f"{kind} it {misses} {_exactly(metric, at_least)}."
        )
    if chosen.fits and lose_at_most is not None and _lost(metric, row, full) > lose_at_most + ROUNDING:
        kind = f"{run.task.example}s"
        sentence += (
            f" It was chosen on {int(row['validation_n']):,} validation {kind}, where it loses no more than that; on "
            f"the test {kind} it loses more."
        )
    return Reply(answer=chosen, verdict=verdict, sentence=sentence)


def steps(metrics: pd.DataFrame, metric: Metric) -> list[list[str]]:
    """Sentences on the next size up and down the frontier from each row, where that step can be advised.

    A step up is better on validation and on test; a step down does not go below the recommended size.
    """
    rows = metrics[["width", "bytes", metric.name]].to_dict("records")
    least, sign = rows[recommended(metrics, metric)]["bytes"], 1 if metric.higher_is_better else -1
    advised = []
    for here, (up, down) in zip(rows, neighbours(metrics, metric, range(len(rows))), strict=True):
        ways = [("up", rows[up])] if up is not None and sign * (rows[up][metric.name] - here[metric.name]) > 0 else []
        ways += [("down", rows[down])] if down is not None and rows[down]["bytes"] >= least else []
        advised.append(_steps(metric, here, ways))
    return advised


def _steps(
    metric: Metric, here: Mapping[Hashable, Any], ways: Sequence[tuple[str, Mapping[Hashable, Any]]]
) -> list[str]:
    sentences = []
    for way, there in ways:
        change = metric.format_difference(there[metric.name], here[metric.name])
        size = f"{kilobytes(abs(there['bytes'] - here['bytes']))} {'more' if way == 'up' else 'less'}"
        if change == "the same":
            gain = f"the same {metric.label.lower()} on test"
        else:
            amount, up = change.rsplit(" ", 1)[0], there[metric.name] > here[metric.name]
            gain = f"{amount} {'better' if up == metric.higher_is_better else 'worse'} on test"
        sentences.append(f"One step {way}: {_units(int(there['width']))}, {gain}, for {size}.")
    return sentences


def loss(metric: Metric, amount: float) -> str:
    """An allowed loss, never rounded: `1 point`, `0.5 dB`; named where it has no unit: `0.02 of typical error`."""
    figure = f"{amount * metric.scale:.12g}"
    if not metric.difference_unit:
        return f"{figure} of {metric.label.lower()}"
    unit = metric.difference_unit
    return f"{figure} {unit.removesuffix('s') if figure == '1' else unit}"


def _lost(metric: Metric, row: pd.Series, full: pd.Series) -> float:
    """Difference to full size on the test examples, in the metric's stored unit; more is worse."""
    return float(full[metric.name] - row[metric.name]) * (1 if metric.higher_is_better else -1)


def _units(width: int) -> str:
    return f"{width:,} unit{'' if width == 1 else 's'}"


def _check(run: Run, metrics: pd.DataFrame) -> Metric:
    """The run's metric. Raises RunError where the table lacks its columns."""
    metric = run.task.metric
    judged = (metric.name, f"validation_{metric.name}")
    needed = ["n", "validation_n", *(f"{name}{end}" for name in judged for end in ("", "_low", "_high"))]
    missing = [name for name in needed if name not in metrics]
    if missing:
        raise RunError(f"{METRICS} lacks {', '.join(missing)}; make it again with: python -m core sweep {run.path}")
    return metric


def _wish(metric: Metric) -> str:
    """`at least`, with the name of a figure that has no unit."""
    return metric.limit if metric.unit else f"a {metric.label.lower()} of {metric.limit}"


def _exactly(metric: Metric, target: float) -> str:
    """A target as it was given, never rounded to another figure."""
    shown = metric.format(target)
    return (
        shown
        if float(metric.format(target, unit=False)) == target * metric.scale
        else (f"{target * metric.scale:.12g}{metric.unit}")
    )


def describe(row: pd.Series, full: pd.Series, metric: Metric, example: str = "example") -> str:
    """A size and its figures: `24 units, 19,000 parameters, 78 kB; 97.1 % (95 % interval ...), 1.1 points ...`."""
    width = int(row["width"])
    difference = metric.format_difference(row[metric.name], full[metric.name])
    interval = metric.format_interval(row[f"{metric.name}_low"], row[f"{metric.name}_high"])
    against = "as good as full size" if difference == "the same" else f"{difference} full size"
    if width == int(full["width"]):
        against = "full size"
    return (
        f"{_units(width)}, {int(row['params']):,} parameters, {kilobytes(row['bytes'])}; "
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
