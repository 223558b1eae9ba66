"""A run's figures as text for a terminal. Needs pandas, not torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.errors import UserError
from core.frontier import Budget, answer, log_spaced
from core.runs import BrokenRun, Run

if TYPE_CHECKING:
    import pandas as pd


def kilobytes(size: float) -> str:
    """Bytes as people read them: `78 kB`, `1.2 MB` (1 kB is 1,000 bytes)."""
    if size < 1e4:
        return f"{size / 1e3:.1f} kB"
    return f"{size / 1e3:,.0f} kB" if size < 1e6 else f"{size / 1e6:,.2f} MB"


def size_table(run: Run, metrics: pd.DataFrame) -> str:
    """Sizes at powers of two: units, parameters, file, and the metric on test with its interval and on validation."""
    metric = run.task.metric
    low, high = int(metrics["width"].min()), int(metrics["width"].max())
    rows = metrics[metrics["width"].isin(log_spaced(low, high))]
    lines = [
        f"{run.id}: {metric.label.lower()} on {int(metrics['n'].iloc[0]):,} test examples (95 % interval); sizes are "
        f"chosen on {int(metrics['validation_n'].iloc[0]):,} validation examples",
        f"{'units':>6} {'parameters':>12} {'file':>9} {'test':>8} {'interval':>16} {'validation':>11}",
    ]
    for row in rows.itertuples():
        values = {name: getattr(row, name) for name in (metric.name, f"{metric.name}_low", f"{metric.name}_high")}
        interval = metric.format_interval(values[f"{metric.name}_low"], values[f"{metric.name}_high"])
        chosen = metric.format(getattr(row, f"validation_{metric.name}"))
        lines.append(
            f"{row.width:>6} {row.params:>12,} {kilobytes(row.bytes):>9} {metric.format(values[metric.name]):>8} "
            f"{interval:>16} {chosen:>11}"
        )
    return "\n".join(lines)


def answer_sentence(
    run: Run, metrics: pd.DataFrame, *, max_kb: float | None = None, at_least: float | None = None
) -> str:
    """The size that answers a budget, in one sentence. Raises UserError for a budget that can't be meant."""
    metric = run.task.metric
    if max_kb is not None and not max_kb > 0:
        raise UserError(f"--max-kb is {max_kb:g}; a file wants more than 0 kB")
    if at_least is not None and metric.unit.strip() == "%" and not 0 < at_least <= 1:
        raise UserError(f"--min-accuracy is {at_least:g}; give a fraction up to 1, such as 0.97 for 97 %")
    found = answer(metrics, metric, Budget(max_bytes=None if max_kb is None else max_kb * 1e3, at_least=at_least))
    row, full = metrics.iloc[found.row], metrics.iloc[-1]
    wanted = " and ".join(
        [
            *([f"keeps at least {metric.format(at_least)}"] if at_least is not None else []),
            *([f"stays under {max_kb:g} kB"] if max_kb is not None else []),
        ]
    )
    if not found.fits:
        lead = f"Nothing here {wanted}; the closest is"
    elif at_least is not None:
        lead = f"Smallest model that {wanted}:"
    else:
        lead = f"Best model that {wanted}:"
    difference = metric.format_difference(row[metric.name], full[metric.name])
    against = "as good as full size" if difference == "the same" else f"{difference} full size"
    return (
        f"{lead} {int(row['width'])} units, {int(row['params']):,} parameters, {kilobytes(row['bytes'])}; "
        f"{metric.format(row[metric.name])} on test "
        f"({metric.format_interval(row[f'{metric.name}_low'], row[f'{metric.name}_high'])}), {against}."
    )


def run_line(run: Run | BrokenRun) -> str:
    """One line of a list of runs."""
    if isinstance(run, BrokenRun):
        return f"{run.id}: can't be read: {run.reason}"
    head = f"{run.id}: {run.record.data.get('name')}, {run.record.recipe.get('name')}"
    try:
        full = run.metrics().iloc[-1]
    except UserError as error:
        return f"{head}: {error}"
    metric = run.task.metric
    return f"{head}, {int(full['width'])} units, {kilobytes(full['bytes'])}, {metric.format(full[metric.name])} at full size"
