"""Light and dark, phone and desk: nothing wider than the window, everything reachable, nothing asked of strangers."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from app.charts.style import DARK, INK, LIGHT
from tests.helpers.browser import Open

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


@pytest.mark.parametrize(
    ("scheme", "window"), [("dark", PHONE), ("light", {"viewport": {"width": 1280, "height": 900}})]
)
def test_it_fits_the_window_and_all_of_it_is_reachable(visit: Open, scheme: str, window: dict) -> None:
    visitor = visit("/", color_scheme=scheme, **window)
    page, width = visitor.page, window["viewport"]["width"]
    visitor.expect_link(run="digits-stratified")
    expect(page.get_by_text("Your choice:")).to_be_visible()
    expect(page.get_by_text("It tells 10 kinds apart")).to_be_visible()
    expect(page.get_by_text("The link")).to_have_count(0)
    ground = page.locator(".stApp").evaluate("e => getComputedStyle(e).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", ground)[:3])) < 200) == (scheme == "dark")
    for part in (
        page.get_by_role("combobox", name="Model"),
        visitor.slider,
        page.locator(".live .card").last,
        page.locator(".stPlotlyChart"),
        page.get_by_role("button", name=re.compile("^Download")),
        page.get_by_role("link", name="Is another run better?"),
    ):
        part.scroll_into_view_if_needed()
        box = part.bounding_box()
        assert box
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width, part
        assert box["height"] >= 24, part
    page.get_by_text("Keep at least a certain accuracy").click()
    visitor.expect_link(ask="keep")
    assert visitor.overflow() <= 0
    if window is PHONE:  # the pages are behind a button there
        page.get_by_test_id("stExpandSidebarButton").click()
    page.get_by_role("link", name="Compare runs", exact=True).first.click()
    expect(page.get_by_role("heading", name="Compare runs", level=1)).to_be_visible()
    expect(page).to_have_url(re.compile("runs="))
    expect(page.get_by_test_id("stSidebar")).to_be_hidden()  # the list of pages does not stay over the page
    expect(page.locator(".stPlotlyChart .legendtext").first).to_be_visible()
    assert visitor.overflow() <= 0
    assert not visitor.elsewhere, "no request leaves this machine"
    assert not visitor.errors


def test_the_page_goes_light_and_dark_with_the_system(visit: Open) -> None:
    visitor = visit("/?run=digits-stratified&width=9", color_scheme="light")
    page = visitor.page
    line = page.locator(".stPlotlyChart .js-line").last
    expect(line).to_have_css("stroke", rgb(LIGHT[0]))
    page.emulate_media(color_scheme="dark")
    expect(line).to_have_css("stroke", rgb(DARK[0]))  # what the server drew was asked for anew
    expect(page.locator(".stPlotlyChart .xtick text").first).to_have_css("fill", rgb(INK[True]))
    page.get_by_role("link", name="Compare runs", exact=True).first.click()
    expect(page.get_by_role("heading", name="Compare runs", level=1)).to_be_visible()
    expect(line).to_have_css("stroke", re.compile("|".join(map(re.escape, map(rgb, DARK)))))
    page.emulate_media(color_scheme="light")
    expect(line).to_have_css("stroke", re.compile("|".join(map(re.escape, map(rgb, LIGHT)))))
    visitor.settle()
    assert not visitor.errors


def rgb(colour: str) -> str:
    """As a browser writes it."""
    return "rgb({}, {}, {})".format(*(int(colour[k : k + 2], 16) for k in (1, 3, 5)))


def test_labels_from_a_file_format_nothing(visit: Open) -> None:
    visitor = visit("/?run=hostile&width=9")
    caption = visitor.page.get_by_text(re.compile("It tells 2 kinds apart"))
    expect(caption).to_contain_text("**yes** <b>x</b>")
    assert caption.locator("strong, b, a, img, code, .katex").count() == 0
    expect(visitor.page.locator('a[href*="evil"]')).to_have_count(0)
    assert not visitor.errors


def test_a_broken_link_is_said(visit: Open) -> None:
    visitor = visit("/?run=gone-%3Cb%3E&width=nine&ask=why&limit=nan")
    expect(visitor.page.get_by_text("The link names a run that is not here: gone-<b>")).to_be_visible()
    visitor.expect_link(run="digits-stratified")
    expect(visitor.page.get_by_text("The link names")).to_be_visible()
    expect(visitor.page.get_by_test_id("stException")).to_have_count(0)
    assert not visitor.errors
