"""The model card: what a downloaded model is, how good, how made, and what it can't do, in plain Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.runs import Run


def model_card(run: Run, widths: Mapping[str, int], row: Mapping[str, Any]) -> str:
    """Markdown text; `row` is the measured figures at these widths (`bundle.metrics_at`)."""
    record, metric = run.record, run.task.metric
    full = run.layout.full
    size = ", ".join(f"{name} {widths[name]} of {full[name]}" for name in widths)
    lines = [
        f"# {run.id}: {size}",
        "",
        f"A {run.task.name} model cut from one Structural Dropout training (arXiv 2205.06906), with no retraining.",
        "",
        "| | |",
        "|---|---|",
        f"| Parameters | {row['params']:,} |",
        f"| Weights' file | {row['bytes'] / 1000:,.1f} kB |",
        f"| Input | {record.input.meaning}; shape {list(record.input.shape)}, float32, raw values |",
        f"| Output | one score for each of {len(record.labels)} labels; the highest is the prediction |",
        f"| Trained on | {record.data.get('source', record.data.get('name'))} |",
        f"| Recipe | {record.recipe.get('name')}, {record.recipe.get('epochs')} epochs, seed "
        f"{record.training.get('seed')} |",
    ]
    if metric.name in row:
        interval = metric.format_interval(row[f"{metric.name}_low"], row[f"{metric.name}_high"])
        lines += [
            f"| {metric.label} | {metric.format(row[metric.name])} (95 % interval {interval}), on {row['n']:,} test "
            f"{run.task.example}s that were used neither for training nor for choosing a size |",
            "",
            f"## {metric.label} by label",
            "",
            f"| label | {metric.label.lower()} |",
            "|---|---|",
        ]
        by_class = row.get(f"per_class_{metric.name}") or []
        for label, value in zip(record.labels, by_class, strict=False):
            lines.append(f"| {_plain(label)} | {'no test example' if value is None else metric.format(value)} |")
    else:
        lines += ["", f"{metric.label} was not measured at this size."]
    lines += [
        "",
        "## Limits",
        "",
        "It was measured on examples like those it was trained on; on others it can be worse. It always names one of "
        "its labels, also for an input that is none of them.",
        "",
        "## Loading it",
        "",
        "`load.py` needs torch and safetensors; `load_onnx.py` needs onnxruntime and NumPy. Either gives `predict(x)`.",
        "",
    ]
    return "\n".join(lines)


def _plain(text: str) -> str:
    """A label as text in a table: what would end the cell or the line is taken out."""
    return "".join(c if c.isprintable() else " " for c in text).replace("|", "\\\\|")
