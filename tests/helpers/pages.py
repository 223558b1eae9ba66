"""Every page of the explorer with all that can be opened on it open, for tests that look at the whole of it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from playwright.sync_api import expect

from tests.helpers.browser import IDLE, Visitor

SLOW = 90_000  # ms; the first ONNX file of a server takes seconds, on a busy machine many
TALLEST = 12_000  # pixels of a window that any page fits into


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A page, what is opened on it, and what shows that it is open."""

    path: str
    heading: str
    opens: tuple[str, ...] = ()  # texts that are clicked, one after the other
    proof: str = ""  # a selector that is on the page in the end


PAGES = {
    "pick": Shown(
        path="/?run=digits-stratified&width=4",
        heading="Pick a size",
        opens=(
            "Details for experts",
            "Label by label, mix-ups, single examples",
            "Try an example of your own",
            "Take a test example",
            "What is inside, and how to use it in a program",
            "The chart as a table",
            "How it was measured",
        ),
        proof=".stProgress >> nth=5",
    ),
    "answer": Shown(path="/?run=digits-paper&ask=keep&limit=99.9", heading="Pick a size", proof=".stMarkdownBadge"),
    "compare": Shown(
        path="/compare?runs=digits-stratified,digits-paper,twin&at=size&value=6&open=labels,agreement,all",
        heading="Compare runs",
        opens=("The chart as a table",),
        proof=".stPlotlyChart >> nth=2",
    ),
    "runs": Shown(
        path="/runs?run=digits-paper",
        heading="My runs",
        opens=("Rename", "Remove", "Add a run from a file"),
        proof='[data-testid="stFileUploaderDropzone"]',
    ),
    "help": Shown(path="/help", heading="Help", proof="svg[role=img]"),
}


def show(visitor: Visitor, page: Shown) -> Visitor:
    """The page in a visitor's window, with everything open."""
    visitor.page.goto(visitor.url + page.path)
    expect(visitor.page.get_by_role("heading", name=page.heading, level=1)).to_be_visible()
    settled(visitor)
    for text in page.opens:
        visitor.page.get_by_role("main").get_by_text(re.compile(f"^{re.escape(text)}")).first.click()
        settled(visitor)
    if page.proof:
        expect(visitor.page.locator(page.proof)).to_be_attached()
    settled(visitor)
    return visitor


def settled(visitor: Visitor) -> None:
    """Wait until nothing is on its way, parts of Streamlit that come late included."""
    expect(visitor.page.locator(IDLE)).to_be_attached(timeout=SLOW)
    expect(visitor.page.locator('[data-testid="stSkeleton"]')).to_have_count(0)
    visitor.page.evaluate("document.fonts.ready.then(() => true)")
    visitor.settle()


def whole(visitor: Visitor, width: int) -> None:
    """Make the window so tall that all of the page is in it: what is scrolled away can't be looked at."""
    visitor.page.set_viewport_size({"width": width, "height": TALLEST})
    settled(visitor)
    assert visitor.page.evaluate("document.querySelector('.stMain').scrollHeight") <= TALLEST
