"""Figures and names as text for people. No Streamlit here."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Collection, Mapping
from typing import Any

import pandas as pd

from core.runs.record import RunRecord
from core.runs.run import Run
from core.sweep.budget import log_spaced
from core.tasks.base import Metric
from core.tasks.registry import task
from core.utils.formatting import kilobytes, milliseconds, printable

JOINER = "\u2060"  # no width, no break
GLUE = "\u00a0"  # a space at which no line breaks
UNITS = re.compile(r"(?<=\d) (?=(?:%|kB|MB|ms|s|dB)(?!\w))")  # the space before a unit
SAID_AS_THEY_ARE = ("the same", "not known")  # what `Metric.format_difference` says without a direction
LONGEST_NAME = 40  # in a chart or a sentence; names may have a hundred characters

SETTINGS = {  # what run.json calls it: what people read
    "name": "recipe",
    "hidden": "units at full size",
    "inputs": "values of an example",
    "outputs": "labels, or numbers predicted",
    "layers": "hidden layers",
    "lower": "smallest size trained",
    "epochs": "passes over the data (epochs)",
    "batch_size": "examples a step (batch size)",
    "lr": "learning rate, at its peak",
    "warmup": "share of the steps spent warming up",
    "weight_decay": "weight decay",
    "alpha": "exponent of the scale (alpha)",
    "p": "chance that a step is cut (p)",
    "each_layer": "every layer is cut on its own",
    "model each_layer": "a size of its own for every layer",
    "strata": "sizes trained in a step (strata)",
    "full_share": "share of the steps with full size",
    "least_share": "share of the steps with an end of a range",
    "own_below": "share of full size under which sizes have weights of their own",
    "smoothing": "share of a label that every answer has alike, for large sizes (label smoothing)",
    "own_share": "share of the examples that these sizes see",
    "finer": "fewer sizes that share such weights",
    "single": "one set of such weights for them all",
    "starts": "times that the smallest sizes are begun",
    "whiten": "inputs evened out for the first layer",
    "widest_share": "share of the large sizes' examples that the widest sees",
    "turns": "large and small sizes take turns",
    "whole_batch": "every size sees the whole batch",
    "between": "random sizes in a step",
    "distil": "small sizes learn from full size",
    "seconds": "seconds of training",
    "classes": "labels",
    "size": "pixels a side",
    "channels": "channels at full size",
    "heads": "attention heads at full size",
    "waves": "waves that a place is turned into",
    "frequency": "how fast these waves change",
    "patch": "pixels a side that are seen at once",
    "dim": "numbers that describe a patch",
    "depth": "blocks in a row",
    "head_dim": "numbers an attention head works with",
    "tables": "biases that change with the size (tables over width)",
}


def safe(text: str) -> str:
    """Text from a file as plain text inside Markdown: whatever could format, link or break a line is disarmed.

    A backslash disarms Markdown. What Streamlit looks for in the finished text (addresses, arrows, its logo) is no
    Markdown any more, so there an invisible joiner parts what it looks for.
    """
    sought = r"www(?=\.)|@|:(?=//|streamlit:)|(?<!\S)[-<>~](?=[-=>](?!\S))"
    parted = re.sub(sought, rf"\g<0>{JOINER}", joined(printable(text)), flags=re.IGNORECASE)
    return re.sub(r"([\\`*_{}\[\]()#+\-.!|<>~$:&])", r"\\\1", parted)


def safe_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table of texts for `st.table`, which reads Markdown, with index, columns and cells as plain text."""
    return frame.map(safe).rename(index=safe, columns=safe)


def joined(text: str) -> str:
    """Text for a page, on which a number and its unit stay on one line. Files and addresses keep their plain spaces."""
    return UNITS.sub(GLUE, text)


def short(text: str, longest: int = LONGEST_NAME) -> str:
    """A name that may be long with its middle left out, since names that belong together often begin alike."""
    line = printable(text)
    if len(line) <= longest:
        return line
    tail = longest // 2
    return f"{line[: longest - tail - 1]}…{line[-tail:]}"


def own_name(name: str, taken: Collection[str]) -> str:
    """Return the name, with a number behind it where another column has it already: `age (2)`."""
    numbered = (f"{name} ({k})" for k in itertools.count(2))
    return name if name not in taken else next(found for found in numbered if found not in taken)


def listed(run: Run) -> str:
    """A run in a list to choose from: `digits-16 (digits)`, or `digits` where it is called like its data."""
    data = str(run.record.data.get("name") or "own data")
    return printable(run.id if run.id == data else f"{run.id} ({data})")


def units(width: int) -> str:
    """`1 unit`, `24 units`."""
    return f"{width:,} unit" + ("" if width == 1 else "s")


def count(value: Any) -> str:
    """A number of things from run.json, which may hold anything: `1,079`, or `an unknown number of`."""
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else "an unknown number of"


def setting(value: Any) -> str:
    """A setting as people write it: `yes`, `0.3333`, `1,079`, `–` where there is none."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.0f}" if value.is_integer() and abs(value) < 1e15 else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def nearest_time(times: dict[int, float], width: int) -> str:
    """Time of one prediction at the measured width nearest to `width` (by ratio), or nothing."""
    if not times:
        return ""
    near = min(times, key=lambda measured: max(measured / width, width / measured))
    return milliseconds(times[near])


def purpose(record: RunRecord) -> str:
    """Return the network's purpose as Markdown: `It tells 10 kinds apart (Trouser, Bag and 8 more)`."""
    its = task(record.task)
    labels = [safe(short(label, 24)) for label in record.labels]
    listed = ", ".join(labels[:4])
    if len(labels) == 2:
        listed = f"{labels[0]} and {labels[1]}"
    elif len(labels) > 4:
        listed += f" and {len(labels) - 4:,} more"
    source = record.data.get("source") or record.data.get("name") or "examples that are not described"
    does = f"tells {len(labels):,} kind{'' if len(labels) == 1 else 's'} apart" if its.classes else its.goal
    learned = record.data.get("train_n")
    share = f"; it learned from {learned:,} of them" if isinstance(learned, int) and not its.bounded else ""
    return f"It {does} ({listed}). Its data: {safe(str(source))}{share}\\."


def share(part: float, full: float) -> str:
    """`25 %`, `0.6 %`: never nothing where there is something."""
    percent = 100 * part / full
    return f"{percent:.0f} %" if percent >= 9.5 else f"{percent:.2g} %"


def gap(metric: Metric, value: float, reference: float) -> str:
    """How far two figures are apart, without a direction: `3.1 points`."""
    return metric.format_difference(value, reference).rsplit(" ", 1)[0]


def difference(metric: Metric, value: float, reference: float) -> str:
    """How a figure differs: `1.1 points below`; `0.12 worse than` where less is better, as `above` misleads there."""
    change = metric.format_difference(value, reference)
    if metric.higher_is_better or change in SAID_AS_THEY_ARE:
        return change
    return f"{change.rsplit(' ', 1)[0]} {'worse' if value > reference else 'better'} than"


def against_full(metric: Metric, value: float, full: float) -> str:
    """`1.1 points below full size`, or `as good as full size`."""
    change = difference(metric, value, full)
    if change in SAID_AS_THEY_ARE:
        return "as good as full size" if change == "the same" else f"{change} against full size"
    return f"{change} full size"


def axis(metric: Metric) -> str:
    """An axis' title: `Accuracy (%)`, `Typical error (less is better)`."""
    notes = [metric.unit.strip(), "" if metric.higher_is_better else "less is better"]
    said = ", ".join(note for note in notes if note)
    return f"{metric.label} ({said})" if said else metric.label


def heading(metric: Metric) -> str:
    """Over a single figure: `Accuracy`, `Typical error (less is better)`."""
    return metric.label if metric.higher_is_better else f"{metric.label} (less is better)"


def figure_of(metric: Metric, value: float) -> str:
    """A figure in a sentence: `97.1 % accuracy`, `picture quality 28.1 dB`, `typical error 54.2`."""
    name = metric.label.lower()
    return f"{metric.format(value)} {name}" if metric.percent else f"{name} {metric.format(value)}"


def choice(row: Mapping[Any, Any], full: Mapping[Any, Any], metric: Metric) -> tuple[str, str]:
    """A size that was picked by hand, and its price. Plain text."""
    width, name = int(row["width"]), metric.name
    figures = f"{figure_of(metric, row[name])} in {kilobytes(row['bytes'])}"
    figures = figures[0].upper() + figures[1:]
    if width == int(full["width"]):
        return f"Your choice: full size, {units(width)}.", f"{figures}."
    price = f"{share(row['bytes'], full['bytes'])} of full size's file; {against_full(metric, row[name], full[name])}."
    return f"Your choice: {units(width)}.", f"{figures}, {price}"


def readouts(metrics: pd.DataFrame, metric: Metric, times: dict[int, float]) -> list[dict[str, str | int | float]]:
    """Return the live slider's readout at each size, formatted here so that the browser formats nothing.

    `place` is where the size lies on the slider, which has the chart's log axis: small sizes differ most.
    """
    name, last = metric.name, metrics.iloc[-1]
    shown: list[dict[str, str | int | float]] = []
    columns = ("width", "params", "bytes", name, f"{name}_low", f"{name}_high")
    for width, params, size, value, low, high in zip(*(metrics[c].tolist() for c in columns), strict=True):
        shown.append(
            {
                "width": width,
                "place": math.log(params),
                "units": units(width),
                "value": joined(metric.format(value)),
                "interval": joined(metric.format_interval(low, high)),
                "change": "this is full size" if width == last["width"] else against_full(metric, value, last[name]),
                "params": f"{params:,}",
                "size": joined(kilobytes(size)),
                "share": joined(f"{share(size, last['bytes'])} of full size"),
                "time": joined(nearest_time(times, width)),
            }
        )
    return shown


def some_sizes(metrics: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of a few sizes, evenly spaced on the chart's log axis, for a table beside the chart."""
    measured = metrics["width"].to_numpy()
    wanted = log_spaced(int(measured[0]), int(measured[-1]))
    return metrics.iloc[sorted({int(abs(measured - width).argmin()) for width in wanted})]


def table(rows: pd.DataFrame, metric: Metric) -> pd.DataFrame:
    """Some of the chart's figures as a table with units in its headings."""
    name = metric.name
    return pd.DataFrame(
        {
            "Units": rows["width"],
            metric.label: [metric.format(v) for v in rows[name]],
            "File": [kilobytes(n) for n in rows["bytes"]],
            "Parameters": [f"{n:,}" for n in rows["params"]],
            "95 % interval": [
                metric.format_interval(low, high)
                for low, high in zip(rows[f"{name}_low"], rows[f"{name}_high"], strict=True)
            ],
        }
    )


def settings(record: RunRecord) -> dict[str, str]:
    """How a run was made, by readable names, without what was measured or a fingerprint. Takes any run.json."""
    model, recipe, training = record.family.get("settings"), record.recipe, record.training
    found: dict[str, Any] = {"data": record.data.get("name"), "training examples": record.data.get("train_n")}
    found["model"] = record.family.get("name") or "its owner's own program"
    if isinstance(model, dict):
        found |= {
            SETTINGS.get(f"model {k}") or SETTINGS.get(k) or f"model {k.replace('_', ' ')}": v for k, v in model.items()
        }
    found |= {SETTINGS.get(k, k.replace("_", " ")): v for k, v in recipe.items()}
    found |= {SETTINGS.get(k, k): training.get(k) for k in ("seed", "device", "seconds")}
    return {name: short(setting(value), 60) for name, value in found.items()}
