"""The slider: the page follows the hand in the browser, and the server hears of a size once it must."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.helpers.app import shown_metrics
from tests.helpers.browser import IDLE, Open, Visitor


def says_the_truth(visitor: Visitor, store: Path, run: str) -> int:
    """The readout against the parquet, at whatever size it is; gives the size."""
    row = shown_metrics(store / run).set_index("width").loc[visitor.width]
    assert visitor.shown("value") == f"{100 * row['accuracy']:.1f} %"
    assert visitor.shown("params") == f"{int(row['params']):,}"
    return visitor.width


def mark_at(visitor: Visitor) -> tuple[float, float]:
    """Where the mark of the picked size is in the window."""
    mark = visitor.page.locator(".picked-mark svg").bounding_box()
    assert mark
    return mark["x"] + mark["width"] / 2, mark["y"] + mark["height"] / 2


def settled_at(visitor: Visitor, width: int) -> None:
    """The whole page is on the size: address, download, the sentence and the mark on the chart too."""
    visitor.expect_link(width=str(width))
    unit = "unit" if width == 1 else "units"
    expect(visitor.page.get_by_role("button", name=f"Download {width} {unit}", exact=True)).to_be_visible()
    expect(visitor.page.get_by_text(re.compile(rf"Your choice: (full size, )?{width} {unit}\."))).to_be_visible()
    expect(visitor.page.locator(".picked-mark")).to_contain_text(re.compile(rf"^\s*{width} {unit}\b"))


@contextmanager
def details(visitor: Visitor) -> Iterator[None]:
    """The switch for experts is on: what it shows only the server can say, so it hears of each pick at once."""
    switch, table = visitor.page.get_by_text("Details for experts"), visitor.page.locator(".stDataFrame canvas").first
    switch.click()
    expect(table).to_be_visible()
    visitor.settle()
    yield
    switch.click()
    expect(table).to_be_hidden()
    visitor.settle()


def test_drag_with_the_mouse(visit: Open, store: Path) -> None:
    visitor = visit("/?run=digits-stratified&width=64")
    settled_at(visitor, 64)
    before, mouse = visitor.sent, visitor.page.mouse
    mouse.move(*visitor.at(0.8))
    mouse.down()
    seen, marks = [], []
    for step in range(12):
        mouse.move(*visitor.at(0.8 - 0.05 * step))
        seen.append(says_the_truth(visitor, store, "digits-stratified"))
        marks.append(mark_at(visitor)[0])
        expect(visitor.page.locator(".picked-mark")).to_contain_text(f"{seen[-1]} unit")
    assert marks == sorted(marks, reverse=True)
    assert marks[0] - marks[-1] > 100, "the mark on the chart follows the thumb"
    assert seen == sorted(seen, reverse=True)
    assert len(set(seen)) >= 8, "the readout follows the thumb"
    assert visitor.sent == before, "nothing is sent while the thumb is held"
    assert "width=64" in visitor.page.url
    expect(visitor.page.get_by_text(f"Your choice: {seen[-1]} units.")).to_be_visible()
    expect(visitor.page.get_by_text(re.compile(rf"^{seen[-1]} units get [0-9] of these 8 right"))).to_be_visible()
    expect(visitor.page.get_by_role("button", name=f"Download {seen[-1]} units")).to_be_visible()
    mouse.up()
    settled_at(visitor, seen[-1])
    assert visitor.sent == before, "nor when it is let go of: nothing on the page needs the server"
    address = visitor.page.get_by_role("code").inner_text()
    assert address == visitor.page.url
    visitor.page.mouse.click(2, 400)  # the hand goes on to something else
    expect(visitor.page.locator(IDLE)).to_be_attached()
    visitor.settle()
    assert visitor.sent == before + 1
    settled_at(visitor, seen[-1])
    assert says_the_truth(visitor, store, "digits-stratified") == seen[-1], "the thumb does not jump back"
    assert visitor.page.url == address


def test_what_the_hand_does_next_is_about_the_picked_size(visit: Open, store: Path) -> None:
    visitor = visit("/?run=digits-stratified&width=64")
    page = visitor.page
    visitor.slider.press("End")
    settled_at(visitor, 128)
    visitor.slider.press("PageDown")
    picked = visitor.width
    page.get_by_text("Details for experts").click()  # sooner than a key is told by itself
    table = page.locator(".stDataFrame canvas").first
    expect(table).to_be_visible()
    settled_at(visitor, picked)
    assert picked not in (64, 128)
    page.get_by_text("Details for experts").click()
    expect(table).to_be_hidden()
    visitor.settle()
    visitor.slider.press("Home")
    settled_at(visitor, 1)
    page.get_by_role("link", name="Help").first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Help")
    page.get_by_role("link", name="Pick a size").first.click()
    settled_at(visitor, 1)
    visitor.slider.press("ArrowRight")
    settled_at(visitor, 2)
    visitor.slider.press("ArrowRight")
    settled_at(visitor, 3)
    page.go_back()
    settled_at(visitor, 2)
    page.go_back()
    settled_at(visitor, 1)
    page.go_forward()
    settled_at(visitor, 2)
    page.reload()
    settled_at(visitor, 2)
    page.emulate_media(color_scheme="dark")  # the server builds the whole page anew, and nobody told it of the pick
    visitor.settle()
    settled_at(visitor, 2)
    visitor.slider.press("ArrowRight")
    settled_at(visitor, 3)
    page.emulate_media(color_scheme="light")
    visitor.settle()
    settled_at(visitor, 3)
    assert not visitor.errors


def test_an_answer_that_comes_during_a_drag_does_not_move_the_thumb(desk: Visitor) -> None:
    with details(desk):
        desk.slider.press("Home")
        settled_at(desk, 1)
        desk.slider.press("ArrowRight")
        mouse = desk.page.mouse
        mouse.move(*desk.at(0.5))
        mouse.down()
        mouse.move(*desk.at(0.6))
        held, sent = desk.width, desk.sent
        desk.expect_link(width="2")  # the server is on what the key picked
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


def test_held_keys_send_one_message_where_one_is_needed(desk: Visitor) -> None:
    press = "for (let k = 0; k < 20; k++) e.dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowRight'}))"
    with details(desk):
        desk.slider.press("Home")
        settled_at(desk, 1)
        before = desk.sent
        desk.slider.evaluate(f"e => {{ {press} }}")
        assert desk.width == 21
        settled_at(desk, 21)
        assert desk.sent == before + 1
    before = desk.sent
    desk.slider.evaluate(f"e => {{ {press} }}")
    settled_at(desk, 41)
    assert desk.sent == before


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


def point(visitor: Visitor, trace: str, k: int) -> tuple[float, float]:
    """Where the k-th point that is in view is, of the trace with this name in the legend."""
    chart = visitor.page.locator(".stPlotlyChart")
    found = chart.locator(".scatterlayer .trace", has=visitor.page.locator(".points path"))
    names = [t["name"] for t in chart.locator(".js-plotly-plot").evaluate("e => e.data.filter(t => t.mode != 'lines')")]
    dot = found.nth(names.index(trace)).locator('.points path:not([display="none"])').nth(k)
    dot.scroll_into_view_if_needed()
    box = dot.bounding_box()
    assert box
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_click_a_point_of_the_chart(visit: Open, store: Path) -> None:
    visitor = visit("/?run=digits-stratified&width=128")
    settled_at(visitor, 128)
    visitor.page.mouse.click(*point(visitor, "every size", 3))
    visitor.expect_link(run="digits-stratified")
    expect(visitor.page).not_to_have_url(re.compile("width=128"))
    first = visitor.width
    settled_at(visitor, first)
    assert mark_at(visitor) == pytest.approx(point(visitor, "every size", 3), abs=2), "the mark is on the point"
    visitor.slider.press("End")
    settled_at(visitor, 128)
    visitor.page.mouse.click(*point(visitor, "every size", 3))
    settled_at(visitor, first)  # the same point again
    says_the_truth(visitor, store, "digits-stratified")
    visitor.page.mouse.click(*point(visitor, "below this view", 0))
    settled_at(visitor, 1)
    expect(visitor.page.locator(".picked-mark")).to_contain_text("1 unit (outside this view)")


def test_a_pick_draws_no_chart_and_what_changes_the_chart_moves_the_mark(desk: Visitor) -> None:
    desk.slider.press("Home")
    settled_at(desk, 1)
    chart = desk.page.locator(".js-plotly-plot")
    chart.evaluate("e => { window.drawn = 0; window.chart = e; e.on('plotly_afterplot', () => window.drawn++) }")
    for key, width in (("End", 128), ("ArrowLeft", 127)):
        desk.slider.press(key)
        settled_at(desk, width)
    assert chart.evaluate("e => [e === window.chart, window.drawn]") == [True, 0]
    right, moved = mark_at(desk)[0], "x => document.querySelector('.picked-mark svg').getBoundingClientRect().left < x"
    desk.page.set_viewport_size({"width": 700, "height": 900})
    desk.page.wait_for_function(moved, arg=right - 100)  # with the chart, which is narrower now
    desk.page.wait_for_function("() => window.drawn > 0")
    desk.page.set_viewport_size({"width": 1280, "height": 900})
    lowest = "document.querySelector('.js-plotly-plot')?.layout.yaxis.range[0]"
    close = desk.page.evaluate(lowest)
    desk.page.get_by_text(re.compile("Show every size")).click()
    desk.page.wait_for_function(f"close => {lowest} < close", arg=close)
    desk.expect_link(axis="whole")
    desk.slider.press("Home")
    settled_at(desk, 1)
    expect(desk.page.locator(".picked-mark")).to_have_text(re.compile(r"^\s*1 unit\s*$"))  # in view now
    desk.page.get_by_text(re.compile("Show every size")).click()
    expect(desk.page).not_to_have_url(re.compile("axis="))


def test_the_slider_is_above_the_chart_and_the_file_below(desk: Visitor) -> None:
    parts = (desk.page.get_by_text("Your choice:"), desk.slider, desk.page.locator(".stPlotlyChart"),
             desk.page.get_by_role("heading", name="Download", exact=True))  # fmt: skip
    tops = [box["y"] for part in parts if (box := part.bounding_box())]
    assert tops == sorted(tops)
    assert len(tops) == len(parts)


def test_a_tap_on_the_chart_picks_and_a_swipe_scrolls(visit: Open) -> None:
    visitor = visit("/?run=digits-stratified&width=100", viewport={"width": 390, "height": 844}, has_touch=True)
    settled_at(visitor, 100)
    x, y = point(visitor, "every size", 2)
    finger, before = visitor.context.new_cdp_session(visitor.page), visitor.sent
    for kind, points in (("touchStart", [(x, y)]), ("touchMove", [(x, y - 90)]), ("touchEnd", [])):
        where = [dict(zip("xy", at, strict=True)) for at in points]
        finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": where})
    assert (visitor.width, visitor.sent) == (100, before), "a swipe picks nothing"
    visitor.page.touchscreen.tap(*point(visitor, "every size", 2))
    expect(visitor.page).not_to_have_url(re.compile("width=100"))
    assert visitor.width < 100
    settled_at(visitor, visitor.width)


def test_a_page_at_rest_does_nothing(desk: Visitor) -> None:
    """Each frame that changes something keeps a processor busy for nothing, also that of whoever serves the page."""
    desk.slider.press("Home")
    settled_at(desk, 1)
    changed = desk.page.evaluate("""async () => {
      const seen = [], watch = new MutationObserver((records) => seen.push(...records));
      const frame = () => new Promise((resolve) => requestAnimationFrame(resolve));
      for (let k = 0; k < 5; k++) await frame();
      watch.observe(document.querySelector(".st-key-curve"), { subtree: true, childList: true, attributes: true });
      for (let k = 0; k < 20; k++) await frame();
      return seen.length;
    }""")
    assert changed == 0
