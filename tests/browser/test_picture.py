"""The picture: what a size costs is seen when the slider is let go of, and on every screen."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Locator, expect

from tests.helpers.browser import Open, Visitor

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "color_scheme": "dark"}
DESK = {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light"}


def painted(visitor: Visitor, width: int) -> Locator:
    """The picture at a size, once it is on the page."""
    unit = "unit" if width == 1 else "units"
    found = visitor.page.get_by_role("img", name=re.compile(rf"^The picture at this size: {width} {unit}: [\d.]+ dB$"))
    expect(found).to_be_visible()
    return found


@pytest.mark.parametrize("window", [DESK, PHONE], ids=["desk", "phone"])
def test_the_picture_changes_when_the_slider_is_let_go_of(visit: Open, window: dict[str, Any]) -> None:
    visitor = visit("/?run=square&width=12", **window)
    original = visitor.page.get_by_role("img", name="The original picture")
    first, kept = painted(visitor, 12).get_attribute("src"), original.get_attribute("src")
    assert first != kept
    visitor.slider.scroll_into_view_if_needed()
    before, mouse = visitor.sent, visitor.page.mouse
    mouse.move(*visitor.at(0.95))
    mouse.down()
    for step in range(10):
        mouse.move(*visitor.at(0.95 - 0.07 * step))
    held = visitor.width
    assert held < 12, "the readout follows"
    assert visitor.sent == before, "nothing is sent while the thumb is held"
    assert painted(visitor, 12).get_attribute("src") == first
    mouse.up()
    second = painted(visitor, held).get_attribute("src")
    assert second not in (first, kept)
    assert original.get_attribute("src") == kept
    visitor.expect_link(run="square", width=str(held))
    made, true = painted(visitor, held).bounding_box(), original.bounding_box()
    assert made
    assert true
    assert abs(made["y"] - true["y"]) < 1, "side by side"
    assert made["width"] == pytest.approx(true["width"], abs=1)
    assert made["width"] / made["height"] == pytest.approx(20 / 12, rel=0.02)
    assert made["width"] > 100, "scaled up from 20 pixels"
    assert original.evaluate("e => getComputedStyle(e).imageRendering") == "pixelated"
    assert visitor.overflow() <= 0
    assert not visitor.elsewhere
    assert not visitor.errors


def test_examples_say_what_they_are(visit: Open) -> None:
    visitor = visit("/?run=digits-stratified&width=1", **PHONE)
    cards = visitor.page.locator(".shown.many figure")
    expect(cards).to_have_count(8)
    for card in cards.all():
        expect(card).to_contain_text(re.compile(r"(✓ right\s*says \d$)|(✗ wrong\s*says \d\s*it is \d$)"))
    small = cards.all_inner_texts()
    visitor.slider.press("End")
    visitor.expect_link(width="128")
    expect(visitor.page.get_by_text(re.compile("128 units get . of these 8 right"))).to_be_visible()
    assert cards.all_inner_texts() != small
    assert visitor.overflow() <= 0
    assert not visitor.errors
