"""The model card of a download in plain Markdown: size, metrics, training, limits and loading."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from core.runs.run import Run
from core.utils.formatting import printable

ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "|": "&#124;"}  # a backslash doesn't keep a pipe in its cell


def model_card(run: Run, widths: Mapping[str, int], row: Mapping[str, Any]) -> str:
    """Return the card as Markdown.

    Parameters
    ----------
    run
        The run.
    widths
        Size of each named width.
    row
        Metrics at these widths, from `bundle.metrics_at`.
    """
    record, metric = run.record, run.task.metric
    full = run.layout.full
    size = ", ".join(f"{name} {widths[name]} of {full[name]}" for name in widths)
    facts = [
        ("Parameters", f"{row['params']:,}"),
        ("Weights' file", f"{row['bytes'] / 1000:,.1f} kB"),
        ("Input", f"{record.input.meaning}; as float32 in a batch of shape {batch_shape(run)}"),
        ("Output", output_meaning(run)),
        ("Trained on", record.data.get("source") or record.data.get("name")),
        (
            "Recipe",
            f"{record.recipe.get('name')}, {record.recipe.get('epochs')} epochs, seed {record.training.get('seed')}",
        ),
    ]
    # a picture is tested on all its pixels, those of training included
    apart = "" if "picture" in record.data else " that were used neither for training nor for choosing a size"
    for each in run.task.metrics:
        if _measured(row, each.name):
            interval = each.format_interval(row[f"{each.name}_low"], row[f"{each.name}_high"])
            figure = f"{each.format(row[each.name])} (95 % interval {interval})"
            facts.append((each.label, f"{figure}, on {row['n']:,} test {run.task.example}s{apart}"))
    measured = _measured(row, metric.name)
    lines = [
        f"# {plain(run.id)}: {plain(size)}",
        "",
        f"A {run.task.name} model cut from one Structural Dropout training (arXiv 2205.06906), {_after(run, row)}.",
        "",
        *_table("", "", facts),
        "",
    ]
    by_class = row.get(f"per_class_{metric.name}")
    if measured and isinstance(by_class, list):
        shown = [metric.format(v) if isinstance(v, int | float) else f"no test {run.task.example}" for v in by_class]
        lines += [f"## {metric.label} by label", ""]
        lines += [*_table("label", metric.label.lower(), zip(record.labels, shown, strict=False)), ""]
    if not measured:
        lines += [f"{metric.label} was not measured at this size.", ""]
    own = record.family.get("name") is None
    lines += [
        "## Limits",
        "",
        f"It was measured on {run.task.example}s like those it was trained on; on others it can be worse. It always "
        + (
            "names one of its labels, also for an input that is none of them."
            if run.task.classes
            else "answers with a number, also for an input that makes no sense."
        ),
        "",
        *_warnings(record.data.get("warnings", [])),
        "## Loading it",
        "",
        "`load_onnx.py` needs onnxruntime and NumPy and gives `predict(x)`. `load.py` needs torch and safetensors and "
        + ("gives `load(build)`, where `build` is its owner's own factory." if own else "gives `predict(x)` too."),
        "",
    ]
    return "\n".join(lines)


def _warnings(sentences: Iterable[object]) -> list[str]:
    """List the warnings about the training data (`core.data.checks`)."""
    lines = [f"- {plain(sentence)}" for sentence in sentences]
    return ["Before the training, its data gave reason to warn:", "", *lines, ""] if lines else []


def _after(run: Run, row: Mapping[str, Any]) -> str:
    """Describe what was done to the slice after it was cut."""
    if run.polished_width is None:
        return "with no retraining"
    metric, seconds = run.task.metric, f"{row['seconds']:,.0f} s"
    gain = metric.format_difference(row[metric.name], row["unpolished"])
    than = f"on the test {run.task.example}s it is {gain}{'' if gain == 'the same' else ' what it was'}"
    if row["method"] == "refit":
        return f"then its output layer alone was fitted anew in {seconds}: {than}"
    epochs = f"{row['epochs']:,} epoch{'' if row['epochs'] == 1 else 's'}"
    return f"then polished: trained by itself for {epochs} more, in {seconds}; {than}"


def output_meaning(run: Run) -> str:
    """Describe the model's output in plain words."""
    labels = run.record.labels
    if run.task.classes:
        return f"one score for each of {len(labels)} labels; the highest is the prediction"
    named = labels[0] if len(labels) == 1 else f"{', '.join(labels[:-1])} and {labels[-1]}"
    if run.task.bounded:
        return f"{len(labels)} numbers, {named}, each of which counts as 0 below 0 and as 1 above 1"
    return f"the number {named}" if len(labels) == 1 else f"{len(labels)} numbers: {named}"


def batch_shape(run: Run) -> str:
    """Return the shape of a batch of inputs as text: `(n, 28, 28)`."""
    return f"({', '.join(['n', *map(str, run.record.input.shape)])})"


def plain(text: object) -> str:
    """Escape a text so that Markdown shows it literally: one line, no markup, no link, no end of a table cell."""
    words = re.sub(r"[\\`*_\[\]~$#]", r"\\\g<0>", printable(str(text)))
    words = re.sub(r"[&<>|]", lambda match: ENTITIES[match[0]], words)
    # some pages turn text that looks like an address into a link
    return re.sub(r"(?<=www)\.|:(?=/)|@", lambda match: f"&#{ord(match[0])};", words, flags=re.IGNORECASE)


def _table(left: str, right: str, rows: Iterable[tuple[object, object]]) -> list[str]:
    return [f"| {left} | {right} |", "|---|---|", *(f"| {plain(name)} | {plain(value)} |" for name, value in rows)]


def _measured(row: Mapping[str, Any], metric: str) -> bool:
    """Whether the row has a finite value of the metric, with its interval."""
    values = (row.get(name) for name in (metric, f"{metric}_low", f"{metric}_high", "n"))
    return all(isinstance(value, int | float) and math.isfinite(value) for value in values)
