"""What experts ask for: a size's widths, cost and loss, and the recipe. Off until it is switched on."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from app import words
from app.components.live_slider import needed
from app.pick import state as choice_of
from app.pick.state import Choice
from core.runs.run import Run


def details(run: Run, metrics: pd.DataFrame, width: int, choice: Choice) -> None:
    """The switch, kept for the visit, and what it shows of the picked size."""
    st.session_state["pick-expert"] = choice.expert
    st.toggle(
        "Details for experts",
        key="pick-expert",
        on_change=choice_of.expert_chosen,
        help="Widths of every layer, multiply-accumulates, loss, and the recipe of the training.",
    )
    if not choice.expert:
        return
    needed("details")
    found = figures(run, metrics[metrics["width"] == width].iloc[0], width) | words.settings(run.record)
    rows = pd.DataFrame({"What": [words.printable(name) for name in found], "Value": list(found.values())})
    st.dataframe(rows, hide_index=True, height="content", alt="Details for experts")


def figures(run: Run, row: pd.Series, width: int) -> dict[str, str]:
    """Figures of one size by readable names; a figure that the table lacks is left out."""
    found = {f"units in {words.short(name)}": f"{size:,}" for name, size in run.widths_at(width).items()}
    found["parameters"] = f"{int(row['params']):,}"
    if "macs" in row and row["macs"] == row["macs"]:
        found["multiply-accumulates of one example (MACs)"] = f"{int(row['macs']):,}"
    for column, part in (("loss", "test"), ("validation_loss", "validation")):
        if column in row:
            found[f"loss on {part} ({run.task.loss})"] = f"{float(row[column]):.4g}"
    for metric in run.task.metrics[1:]:
        interval = metric.format_interval(row[f"{metric.name}_low"], row[f"{metric.name}_high"])
        found[f"{metric.label.lower()} on test"] = f"{metric.format(row[metric.name])} (95 % interval {interval})"
    return found
