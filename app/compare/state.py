"""State of Compare runs: one visitor's choices, read from links and changed by widgets."""

from __future__ import annotations

from dataclasses import dataclass, field

import streamlit as st

from app import url_state
from app.widgets import number_field
from core.tasks.base import Metric

MOST = 4
SIZE, METRIC, WIDTH = "size", "metric", "width"
CLASSES, AGREE, STORE = "labels", "agreement", "all"  # parts of the page that can be opened
PARTS = (CLASSES, AGREE, STORE)
LINK = ("runs", "at", "value", "axis", "open", "budget")  # names in a link


@dataclass
class Choice:
    """One visitor's choices. They outlive the widgets, whose state is lost when another page is shown."""

    runs: list[str] | None = None  # None until chosen
    at: str = SIZE
    values: dict[str, float] = field(default_factory=dict)  # `value_name` -> in shown units
    whole: bool = False  # the chart's axis
    open: set[str] = field(default_factory=set)  # of `PARTS`
    budget: float | None = None  # in kB, among all runs; None until chosen

    def link(self) -> dict[str, str]:
        """Return the part of a link that holds the view: axis, open parts, budget."""
        found = {"axis": "whole"} if self.whole else {}
        if self.open:
            found["open"] = ",".join(part for part in PARTS if part in self.open)
        if STORE in self.open and self.budget is not None:
            found["budget"] = f"{self.budget:.12g}"
        return found


def choice() -> Choice:
    """Return this visitor's choices."""
    found: Choice = st.session_state.setdefault("compare", Choice())
    return found


def bounds(at: str, metric: Metric) -> tuple[float, float]:
    """Return the bounds of a figure that runs are compared at."""
    if at == METRIC:
        return number_field.bounds(metric)
    return (1.0 if at == WIDTH else number_field.LEAST), number_field.MOST


def value_name(at: str, metric: Metric) -> str:
    """Return the name that a figure is kept by: one for each metric, as 95 % is not 95 dB."""
    return f"{at}-{metric.name}" if at == METRIC else at


def follow(link: dict[str, str], known: set[str], choice: Choice) -> None:
    """Take runs and axis from the link; a notice names each part that can't be followed."""
    if not link:
        return
    url_state.unknown(link, LINK)
    choice.whole = link.get("axis") == "whole"
    if not choice.whole and "axis" in link:
        url_state.broken("asks for an axis that is not known", link["axis"])
    _follow_parts(link, choice)
    if "runs" in link:
        wanted = list(dict.fromkeys(name for name in link["runs"].split(",") if name))
        missing = [name for name in wanted if name not in known]
        here = [name for name in wanted if name in known]
        if missing:
            url_state.broken("names a run that is not here", ", ".join(missing))
        if len(here) > MOST:
            url_state.broken(
                f"names more than {MOST} runs, so these are left out", ", ".join(here[MOST:]), ignored=False
            )
        choice.runs = here[:MOST] or None


def _follow_parts(link: dict[str, str], choice: Choice) -> None:
    wanted = {name for name in link.get("open", "").split(",") if name}
    choice.open = wanted & set(PARTS)
    if strange := sorted(wanted - choice.open):
        url_state.broken("opens a part of the page that is not known", ", ".join(strange))
    if "budget" in link:
        choice.budget = url_state.number(link["budget"], number_field.LEAST, number_field.MOST)
        if choice.budget is None:
            url_state.broken("asks for a file size that can't be", link["budget"])


def follow_value(link: dict[str, str], metric: Metric, choice: Choice) -> None:
    """Take from the link what the runs are compared at."""
    if "at" not in link:
        if "value" in link:
            url_state.broken("has a figure without what it belongs to", link["value"])
        return
    if link["at"] not in (SIZE, METRIC, WIDTH):
        url_state.broken("compares runs at something that is not known", link["at"])
        return
    choice.at = link["at"]
    value = url_state.number(link.get("value", ""), *bounds(choice.at, metric))
    if value is not None:
        choice.values[value_name(choice.at, metric)] = value
    elif "value" in link:
        url_state.broken("compares runs at a figure that can't be", link["value"])


def runs_chosen() -> None:
    """Keep the chosen runs; a widget's callback, as all below."""
    url_state.touch("compare")
    choice().runs = list(st.session_state["compare-runs"])


def at_chosen() -> None:
    """Keep the question at which the runs are compared."""
    url_state.touch("compare")
    choice().at = st.session_state["compare-at"]


def value_chosen(metric: Metric, value: float | None) -> None:
    """Keep the figure that the runs are compared at; None keeps the one before it."""
    url_state.touch("compare")
    mine = choice()
    if value is not None:
        mine.values[value_name(mine.at, metric)] = value


def part_opened(part: str) -> None:
    """Keep which parts of the page are open."""
    url_state.touch("compare")
    mine = choice()
    (mine.open.add if st.session_state[f"compare-open-{part}"] else mine.open.discard)(part)


def budget_chosen(value: float | None) -> None:
    """Keep the file size that all runs are searched for, in kB; None keeps the one before it."""
    url_state.touch("compare")
    if value is not None:
        choice().budget = value
