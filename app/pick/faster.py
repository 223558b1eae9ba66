"""Sizes nearby that answer sooner and lose nothing, in words. No Streamlit here."""

from __future__ import annotations

from app import words
from app.store import cache
from core.runs.run import Run
from core.sweep.budget import faster

Offer = dict[str, str | int]


def offers(run: Run) -> list[Offer | None]:
    """For each size the one to take in its place, where there is one: `width`, `take`, and why as `text` and `how`."""
    metrics, metric = cache.timed(run), run.task.metric
    how = (
        "Time does not grow evenly with the size, as processors like some sizes more than others. "
        f"Measured on {words.printable(cache.machine(run))}."
    )
    rows, found = metrics.to_dict("records"), list[Offer | None]()
    for row, here in enumerate(rows):
        other = None if here["ms"] != here["ms"] else faster(metrics, metric, row)
        if other is None:
            found.append(None)
            continue
        there = rows[other]
        near = words.units(int(there["width"]))
        change = words.difference(metric, there[metric.name], here[metric.name])
        gap = words.gap(metric, there[metric.name], here[metric.name])
        worth = "just as good" if change == "the same" else f"{gap} better"
        times = f"{words.milliseconds(there['ms'])} instead of {words.milliseconds(here['ms'])} a prediction"
        text = f"{near} nearby answers faster, {times}, and is {worth}."
        found.append({"width": int(there["width"]), "take": f"Take {near}", "text": words.joined(text), "how": how})
    return found
