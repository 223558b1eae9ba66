"""What changes, Try it and Help, as a person meets them: with a mouse, a finger, a file."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest
from PIL import Image, ImageDraw
from playwright.sync_api import Locator, Page, expect

from tests.helpers.browser import Open, Visitor

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "color_scheme": "dark"}
SEVEN = ((0.25, 0.2), (0.75, 0.2), (0.45, 0.85))


# Waits until an element has stood where it stands for a quarter of a second, for a finger that is sent to a place.
STEADY = """e => new Promise((done) => {
  let last = "", since = 0;
  const look = (now) => {
    const { x, y, width } = e.getBoundingClientRect(), here = [x, y, width].join();
    if (here !== last) [last, since] = [here, now];
    if (now - since > 250) done();
    else requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
})"""


def pad(visitor: Visitor) -> Locator:
    """The square to draw in, once it is on the page."""
    visitor.page.get_by_text("Try an example of your own").click()
    found = visitor.page.locator(".pad canvas")
    expect(found).to_be_visible()
    visitor.settle()
    found.scroll_into_view_if_needed()
    return found


def inked(canvas: Locator) -> int:
    """How many of its pixels are drawn on."""
    count: int = canvas.evaluate(
        "c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.filter((v, k) => k % 4 == 3 && v).length"
    )
    return count


def points(canvas: Locator) -> list[tuple[float, float]]:
    canvas.click(trial=True)  # once it stands still
    canvas.evaluate("c => c.scrollIntoView({block: 'center', behavior: 'instant'})")  # all of it, whatever came above
    canvas.evaluate(STEADY)
    box = canvas.bounding_box()
    assert box
    return [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in SEVEN]


def told_by_both(page: Page) -> None:
    """Each size has three guesses, the likeliest first, and the sentence above says whether the first two agree."""
    expect(page.locator(".stProgress")).to_have_count(6)
    sentence = page.get_by_text(re.compile("Both sizes say|They differ"))
    expect(sentence).to_be_visible()
    said, guesses = sentence.inner_text(), page.locator(".stProgress").all_inner_texts()
    small, full = (guesses[k].partition(": ")[0].strip() for k in (0, 3))
    assert (small + full).isdigit()
    assert f"Both sizes say {full}." in said if small == full else f"say {small}, full size says {full}." in said


def test_what_is_drawn_is_told_by_both_sizes(visit: Open) -> None:
    visitor = visit("/?run=digits-stratified&width=32")
    canvas, mouse = pad(visitor), visitor.page.mouse
    start, *rest = points(canvas)
    before = visitor.sent
    mouse.move(*start)
    mouse.down()
    for place in rest:
        mouse.move(*place, steps=6)
    assert inked(canvas) > 1000, "the ink follows the hand"
    assert visitor.sent == before, "nothing is sent before the stroke ends"
    mouse.up()
    page = visitor.page
    expect(page.get_by_role("img", name="Your example as the network takes it")).to_be_visible()
    told_by_both(page)
    visitor.settle()
    visitor.slider.press("Home")
    visitor.expect_link(width="1")
    expect(page.get_by_text(re.compile("They differ: 1 unit says|Both sizes say"))).to_be_visible()
    assert inked(canvas) > 1000, "another size is tried on the same drawing"
    page.get_by_role("button", name="Clear").press("Enter")
    expect(page.locator(".stProgress")).to_have_count(0)
    assert inked(canvas) == 0
    assert not visitor.elsewhere
    assert not visitor.errors


def test_a_finger_draws_and_does_not_scroll(visit: Open) -> None:
    visitor = visit("/?run=digits-stratified&width=32", **PHONE)
    canvas = pad(visitor)
    places, page = points(canvas), visitor.page
    top = page.locator(".stMain").evaluate("e => e.scrollTop")
    touch = page.context.new_cdp_session(page)
    for k, (x, y) in enumerate(places):
        kind = "touchMove" if k else "touchStart"
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y}]})
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    expect(page.locator(".stProgress")).to_have_count(6)
    assert inked(canvas) > 1000
    assert page.locator(".stMain").evaluate("e => e.scrollTop") == pytest.approx(top, abs=2)
    assert visitor.overflow() <= 0
    assert not visitor.errors


def test_a_picture_is_uploaded_and_a_file_that_is_none_is_refused(visit: Open) -> None:
    visitor = visit("/?run=digits-stratified&width=64")
    pad(visitor)
    page = visitor.page
    page.get_by_text("Upload a picture").click()
    drop = page.locator('input[type="file"]').last
    photo, out = Image.new("RGB", (300, 400), "white"), io.BytesIO()
    ImageDraw.Draw(photo).line([(90, 100), (210, 100), (140, 320)], fill="navy", width=26)
    photo.save(out, "JPEG")
    send: dict[str, Any] = {"name": "seven.jpg", "mimeType": "image/jpeg", "buffer": out.getvalue()}
    drop.set_input_files(send)  # type: ignore[arg-type]
    told_by_both(page)
    visitor.settle()
    drop.set_input_files({**send, "name": "not.jpg", "buffer": b"<svg onload=alert(1)>"})  # type: ignore[arg-type]
    expect(page.get_by_text("this file is no PNG or JPEG picture that can be read; choose another one")).to_be_visible()
    expect(page.locator(".stProgress")).to_have_count(0)
    assert not visitor.errors


def test_what_changes_is_opened_part_by_part(visit: Open) -> None:
    visitor = visit("/?run=digits-stratified&width=4", **PHONE)
    page = visitor.page
    expect(page.get_by_text(re.compile("Of 359 test examples, .* go wrong at 4 units"))).to_be_visible()
    expect(page.locator(".stPlotlyChart")).to_have_count(1)
    page.get_by_text("Label by label, mix-ups, single examples").click()
    expect(page.get_by_text("loses most:")).to_be_visible()
    expect(page.locator(".stPlotlyChart")).to_have_count(2)
    page.get_by_role("tab", name="Mixed up").click()
    expect(page.get_by_text("What grows most:")).to_be_visible()
    expect(page.get_by_text("loses most:")).to_be_hidden()
    page.get_by_role("tab", name="Examples that change").click()
    cards = page.get_by_role("tabpanel").locator("figure:visible")
    expect(cards.first).to_contain_text(re.compile(r"✗ wrong\s*this size: \d\s*full size: \d\s*truth: \d"))
    page.get_by_role("radio", name=re.compile("wrong → right")).click()
    expect(page.get_by_text(re.compile("✓ right|No stored example changes")).last).to_be_visible()
    visitor.settle()
    visitor.slider.press("End")
    visitor.expect_link(width="128")
    expect(page.get_by_text("Pick a smaller size to see what changes")).to_be_visible()
    assert visitor.overflow() <= 0
    assert not visitor.elsewhere
    assert not visitor.errors


def test_help_is_a_click_away_and_leads_back(visit: Open) -> None:
    visitor = visit("/?run=digits-stratified&width=4")
    page = visitor.page
    page.get_by_role("link", name="Help", exact=True).click()
    expect(page.get_by_role("heading", name="Help", level=1)).to_be_visible()
    figure = page.get_by_role("img", name=re.compile("^A network drawn in four rows"))
    expect(figure).to_be_visible()
    box = figure.bounding_box()
    assert box
    assert box["height"] > 200
    assert figure.evaluate("e => getComputedStyle(e).color") == page.locator(".stApp").evaluate(
        "e => getComputedStyle(e).color"
    )
    page.get_by_role("main").get_by_role("link", name="Pick a size").click()
    visitor.expect_link(run="digits-stratified", width="4")
    assert not visitor.elsewhere
    assert not visitor.errors
