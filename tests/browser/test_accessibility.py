"""Every page is judged by axe-core (WCAG 2.2, A and AA), in light and dark, on a phone and on a desk."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, expect

from tests.helpers.axe import violations
from tests.helpers.browser import Visitor
from tests.helpers.pages import PAGES, settled, whole

GROUND = {"light": "rgb(255, 255, 255)", "dark": "rgb(17, 22, 28)"}
WIDTHS = (390, 1280)
NAMED = """found => found.map(e => [e.outerHTML.slice(0, 80),
  e.matches(".stDataFrame") ? e.querySelector("[role=region]")?.ariaLabel : e.alt || e.ariaLabel])"""

# Texts that may break between a number and its unit; what is drawn, or copied into a program, breaks otherwise.
PARTED = r"""() => {
  const texts = document.createTreeWalker(document.querySelector('.stApp'), NodeFilter.SHOW_TEXT), found = [];
  while (texts.nextNode()) {
    const { parentElement: parent, textContent: text } = texts.currentNode;
    const parted = text.match(/.{0,30}\d (%|kB|MB|ms|s|dB)(?!\w).{0,30}/);
    if (parted && !parent.closest('style, pre, .stPlotlyChart, table[role=grid]')) found.push(parted[0]);
  }
  return found;
}"""


def turn(visitor: Visitor, scheme: str) -> None:
    """The system goes light or dark, and the page with it."""
    visitor.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    expect(visitor.page.locator(".stApp")).to_have_css("background-color", GROUND[scheme])
    settled(visitor)


def test_the_judge_judges(browser: Browser) -> None:
    page = browser.new_page()
    page.set_content('<html lang="en"><title>t</title><p style="color: #aaa; background: #fff">faint</p><img src="x">')
    found = " ".join(violations(page))
    assert "color-contrast" in found
    assert "image-alt" in found
    page.context.close()


@pytest.mark.parametrize("name", PAGES)
def test_nothing_stands_in_anybody_s_way(opened: Callable[..., Visitor], name: str) -> None:
    visitor = opened(PAGES[name], color_scheme="light")
    for scheme in GROUND:
        turn(visitor, scheme)
        for width in WIDTHS:
            whole(visitor, width)
            assert violations(visitor.page) == [], (scheme, width)
            assert visitor.overflow() <= 0, (scheme, width)
    assert visitor.page.evaluate(PARTED) == []
    drawn = visitor.page.locator(".stPlotlyChart, .stDataFrame, img, svg[role=img]")
    for what, label in drawn.evaluate_all(NAMED):
        assert label, f"a screen reader can't name {what}"
    assert not visitor.errors
    assert not visitor.elsewhere
