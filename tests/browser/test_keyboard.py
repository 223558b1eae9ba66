"""With the keyboard alone: everything is reached, it is seen where the keyboard is, and nothing holds it fast."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.helpers.browser import Visitor
from tests.helpers.pages import PAGES, settled

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True, "color_scheme": "dark"}
MOST_STOPS = 160  # a page that needs more has a trap, or might as well
# Of the element that has the keyboard: its name, whether its ring is seen, whether it is in the window, and
# whether it was met before. What a radio button or a box is drawn as is its label; a table's cell is drawn on a canvas,
# which marks it by itself, and stands in the page for screen readers alone.
STOP = """() => {
  let e = document.activeElement;
  while (e?.shadowRoot?.activeElement) e = e.shadowRoot.activeElement;
  if (!e || e === document.body) return null;
  const met = (window.metByKeyboard ??= new Set()), again = met.has(e);
  met.add(e);
  const drawn = ["radio", "checkbox"].includes(e.type) ? e.closest("label") : e;
  const style = getComputedStyle(drawn), box = drawn.getBoundingClientRect();
  return {
    name: (e.ariaLabel || e.labels?.[0]?.innerText || e.innerText || e.title || e.tagName).replace(/\\s+/g, " ").trim(),
    ring: !!e.closest("canvas")
      || (style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2 && !/, 0\\)$/.test(style.outlineColor)),
    inside: box.width > 0 && box.right > 0 && box.left < innerWidth && box.bottom > 0 && box.top < innerHeight,
    again,
  };
}"""
TO_THE_TOP = """() => {
  window.metByKeyboard = new Set();
  document.body.tabIndex = -1; // else the browser goes on from where the mouse was last
  document.body.focus();
  document.body.removeAttribute("tabindex");
}"""
# Every control that can be seen and used and that the keyboard did not come to. Of a group of radio buttons or tabs
# the keyboard stops at one, and arrows lead to the others; a field's arrows do what its little buttons do.
MISSED = """() => {
  const met = window.metByKeyboard, groups = new Set([...met].map(e => e.type === "radio" && e.name).filter(Boolean));
  const found = [], inside = root => {
    for (const e of root.querySelectorAll("*")) {
      if (e.shadowRoot) inside(e.shadowRoot);
      const control = e.matches("a[href], button, input, textarea, select, summary, [role=tab], [role=slider]");
      if (!control || met.has(e) || e.disabled || !e.checkVisibility({ visibilityProperty: true })) continue;
      if (e.closest("[aria-hidden=true], [inert]") || groups.has(e.name) || e.type === "file") continue;
      const mine = e.closest("[role=tablist], .stNumberInput, .stMultiSelect, .stSelectbox, .stTextInput");
      if (mine && [...met].some(other => mine.contains(other))) continue;
      found.push(e.outerHTML.slice(0, 160));
    }
  };
  inside(document);
  return found;
}"""


def walk(page: Page) -> list[dict[str, Any]]:
    """Tab from the top of the page until the keyboard leaves it."""
    page.evaluate(TO_THE_TOP)
    stops: list[dict[str, Any]] = []
    for _ in range(MOST_STOPS):
        page.keyboard.press("Tab")
        stop = page.evaluate(STOP)
        if stop is None:
            return stops
        if not stop["again"]:  # a table takes a few steps, from cell to cell
            stops.append(stop)
    raise AssertionError(f"the keyboard never leaves the page: {[stop['name'] for stop in stops[-10:]]}")


WANTED = {  # how the names of controls begin, behind their icons
    "pick": (
        "Model; Got it; Let me choose; Recommended; Smallest that does the job; Full size; Size; Show every "
        "size; Details for experts; Label by label, mix-ups; Label by label; Try an example; Take a test example; Test "
        "example; ONNX; Download 4 units; What is inside; The chart as a table; How it was measured; "
        "Is another run better"
    ),
    "answer": "Keep at least a certain accuracy; Least accuracy, in %; Size; Download",
    "compare": (
        "Runs; the same file size; File of at most, in kB; Show every size; Take digits-stratified; The chart as a "
        "table; Label by label; Do they agree; Best run at any size; Report; Figures"
    ),
    "runs": (
        "Search; Order; Chosen run; Pick a size of it; Download the whole run; Title; Tags; Note; Save; Rename; New "
        "name; Yes, remove it; No, keep it; Add a run from a file; Upload"
    ),
    "help": "arXiv; Pick a size; Compare runs; My runs",
}


@pytest.mark.parametrize("name", PAGES)
def test_everything_is_met_and_seen(opened: Callable[..., Visitor], name: str) -> None:
    visitor = opened(PAGES[name])
    stops = walk(visitor.page)
    names = [stop["name"] for stop in stops]
    for wanted in ("Pick a size", "Compare runs", "My runs", "Help", *WANTED[name].split("; ")):
        assert any(re.match(rf"(\w+ )?{wanted}", found) for found in names), (wanted, names)
    assert visitor.page.evaluate(MISSED) == []
    assert [stop["name"] for stop in stops if not stop["ring"]] == []
    assert [stop["name"] for stop in stops if not stop["inside"]] == []
    assert not visitor.errors


def test_what_is_met_is_used(opened: Callable[..., Visitor]) -> None:
    visitor = opened(PAGES["pick"], **PHONE)
    page = visitor.page
    assert not [stop["name"] for stop in walk(page) if not (stop["ring"] and stop["inside"])]
    tab = page.get_by_role("tab", name="Label by label")
    tab.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(page.get_by_text("What grows most:")).to_be_visible()
    settled(visitor)
    page.get_by_role("radio", name="Let me choose").focus()
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("textbox", name=re.compile("^Largest file"))).to_be_visible()
    visitor.expect_link(ask="under")
    visitor.slider.focus()
    page.keyboard.press("Home")
    visitor.expect_link(width="1")
    button = page.get_by_role("button", name="Download 1 unit")
    button.focus()
    with page.expect_download():
        page.keyboard.press("Enter")
    assert not visitor.errors
