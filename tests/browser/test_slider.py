"""The slider: the readout follows the hand in the browser, and the server hears of it when the hand lets go."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.helpers_app import metrics_of
from tests.helpers_browser import Open, Visitor

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]


def says_the_truth(visitor: Visitor, store: Path, run: str) -> int:
    """The readout against the parquet, at whatever size it is; gives the size."""
    row = metrics_of(store / run).set_index("width").loc[visitor.width]
    assert visitor.shown("value") == f"{100 * row['accuracy']:.1f} %"
    assert visitor.shown("params") == f"{int(row['params']):,}"
    return visitor.width


def settled_at(visitor: Visitor, width: int) -> None:
    """The whole page is on the size: address, sentence, chart and download."""
    visitor.expect_link(width=str(width))
    unit = "unit" if width == 1 else "units"
    expect(visitor.page.get_by_text(re.compile(rf"Your choice: (full size, )?{width} {unit}\."))).to_be_visible()
    expect(visitor.page.locator(".stPlotlyChart .legendtext", has_text=f"picked: {width} {unit}")).to_be_visible()
    expect(visitor.page.get_by_role("button", name=f"Download {width} {unit}")).to_be_visible()


def test_drag_with_the_mouse(visit: Open, store: Path) -> None:
    visitor = visit("/?run=digits-stratified&width=64")
    settled_at(visitor, 64)
    before, mouse = visitor.sent, visitor.page.mouse
    mouse.move(*visitor.at(0.8))
    mouse.down()
    seen = []
    for step in range(12):
        mouse.move(*visitor.at(0.8 - 0.05 * step))
        seen.append(says_the_truth(visitor, store, "digits-stratified"))
    assert seen == sorted(seen, reverse=True)
    assert len(set(seen)) >= 8, "the readout follows the thumb"
    assert visitor.sent == before, "nothing is sent while the thumb is held"
    assert "width=64" in visitor.page.url
    expect(visitor.page.get_by_text("Your choice: 64 units.")).to_be_visible()
    mouse.up()
    settled_at(visitor, seen[-1])
    assert says_the_truth(visitor, store, "digits-stratified") == seen[-1], "the thumb does not jump back"
    assert visitor.sent > before


def test_an_answer_that_comes_during_a_drag_does_not_move_the_thumb(desk: Visitor) -> None:
    desk.slider.press("Home")
    settled_at(desk, 1)
    desk.slider.press("ArrowRight")
    mouse = desk.page.mouse
    mouse.move(*desk.at(0.5))
    mouse.down()
    mouse.move(*desk.at(0.6))
    held, sent = desk.width, desk.sent
    settled_at(desk, 2)  # the page is on what the key picked
    assert desk.width == held > 2
    mouse.move(*desk.at(0.7))
    assert desk.width > held, "and the thumb is still in the hand"
    assert desk.sent == sent
    mouse.up()
    settled_at(desk, desk.width)


def test_every_key(desk: Visitor, store: Path) -> None:
    slider = desk.slider
    slider.press("Home")
    assert desk.width == 1, "in the browser, at once"
    for key, width in [("ArrowRight", 2), ("ArrowUp", 3), ("ArrowLeft", 2), ("ArrowDown", 1), ("ArrowLeft", 1)]:
        slider.press(key)
        assert says_the_truth(desk, store, "digits-paper") == width
    slider.press("PageUp")
    assert desk.width > 1
    slider.press("PageDown")
    assert desk.width == 1
    for key in ("End", "ArrowRight"):
        slider.press(key)
        assert desk.width == 128
    slider.press("PageDown")
    paged = desk.width
    assert 64 < paged < 127, "a page is a tenth of the slider"
    assert f"{paged} units: " in (slider.get_attribute("aria-valuetext") or ""), "and is read out"
    settled_at(desk, paged)
    expect(slider).to_be_focused()


def test_held_keys_send_one_message(desk: Visitor) -> None:
    desk.slider.press("Home")
    settled_at(desk, 1)
    before = desk.sent
    press = "for (let k = 0; k < 20; k++) e.dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowRight'}))"
    desk.slider.evaluate(f"e => {{ {press} }}")
    assert desk.width == 21
    settled_at(desk, 21)
    assert desk.sent == before + 1


def test_a_screen_readers_small_step_moves_to_the_next_size(desk: Visitor) -> None:
    desk.slider.press("Home")
    settled_at(desk, 1)
    nudge = "e.value = Number(e.value) + 0.01; for (const t of ['input', 'change']) e.dispatchEvent(new Event(t))"
    desk.slider.evaluate(f"e => {{ {nudge} }}")
    settled_at(desk, 2)


def test_drag_with_a_finger(visit: Open, store: Path) -> None:
    visitor = visit("/?run=digits-stratified&width=100", viewport={"width": 390, "height": 844}, has_touch=True)
    visitor.slider.scroll_into_view_if_needed()
    settled_at(visitor, 100)
    before, finger = visitor.sent, visitor.context.new_cdp_session(visitor.page)

    def touch(kind: str, share: float | None = None) -> None:
        points = [] if share is None else [dict(zip("xy", visitor.at(share), strict=True))]
        finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", 0.9)
    for step in range(8):
        touch("touchMove", 0.9 - 0.08 * step)
    held = says_the_truth(visitor, store, "digits-stratified")
    assert held < 60
    assert visitor.sent == before, "nothing is sent while the finger is down"
    touch("touchEnd")
    settled_at(visitor, held)


def test_click_a_point_of_the_chart(visit: Open, store: Path) -> None:
    visitor = visit("/?run=digits-stratified&width=128")
    settled_at(visitor, 128)
    chart = visitor.page.locator(".stPlotlyChart")

    def click(trace: str, k: int) -> None:
        """The k-th point that is in view of the trace with this name in the legend."""
        found = chart.locator(".scatterlayer .trace", has=visitor.page.locator(".points path"))
        names = [
            t["name"] for t in chart.locator(".js-plotly-plot").evaluate("e => e.data.filter(t => t.mode != 'lines')")
        ]
        point = found.nth(names.index(trace)).locator('.points path:not([display="none"])').nth(k)
        point.scroll_into_view_if_needed()
        box = point.bounding_box()
        assert box
        visitor.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)

    click("every size", 3)
    visitor.expect_link(run="digits-stratified")
    expect(visitor.page).not_to_have_url(re.compile("width=128"))
    first = visitor.width
    settled_at(visitor, first)
    visitor.slider.press("End")
    settled_at(visitor, 128)
    click("every size", 3)
    settled_at(visitor, first)  # the same point again, which must not count as letting go of it
    says_the_truth(visitor, store, "digits-stratified")
    click("below this view", 0)
    settled_at(visitor, 1)
