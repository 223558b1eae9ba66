"""Compare runs: two and three at once, at the same size, metric and width; and the way there and back."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.helpers_browser import Open

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]


def test_two_and_three_runs(visit: Open) -> None:
    visitor = visit("/compare?runs=digits-stratified,digits-paper&at=size&value=6")
    page = visitor.page
    legend = page.locator(".stPlotlyChart .legendtext")
    expect(legend).to_have_text(["digits-stratified", "digits-paper"])
    better = page.get_by_text("digits-stratified is better than digits-paper by")
    expect(better).to_be_visible()
    expect(page.get_by_text("No clear difference")).to_have_count(0)
    page.get_by_role("combobox", name="Runs").fill("twin")
    page.get_by_role("option", name="twin (digits)").click()
    expect(legend).to_have_text(["digits-stratified", "digits-paper", "twin"])
    expect(page.get_by_text("digits-stratified is better than twin by")).to_be_visible()
    expect(page.get_by_text("digits-paper is better")).to_have_count(0)
    expect(page).to_have_url(re.compile("twin"))
    page.keyboard.press("Escape")
    page.get_by_role("radiogroup", name="Compare them at").get_by_text("the same number of units").click()
    visitor.expect_link(at="width")
    field = page.get_by_role("spinbutton", name="Units", exact=True)
    field.fill("128")
    field.press("Enter")
    visitor.expect_link(at="width", value="128")
    expect(page.get_by_role("link", name="at 128 units")).to_be_visible()
    page.get_by_role("radiogroup", name="Compare them at").get_by_text("the same accuracy").click()
    field = page.get_by_role("spinbutton", name="At least this accuracy, in %", exact=True)
    field.fill("100")
    field.press("Enter")
    expect(page.get_by_text("None of these runs has a size that fits.")).to_be_visible()
    expect(better).to_have_count(0)
    field.fill("90")
    field.press("Enter")
    visitor.expect_link(at="metric", value="90")
    expect(page.get_by_role("heading", name="What differs in how they were made")).to_be_visible()
    assert not visitor.errors


def test_from_one_page_to_the_other_and_back(visit: Open) -> None:
    visitor = visit("/?run=digits-paper&width=17")
    page = visitor.page
    page.get_by_role("link", name="Is another run better?").click()
    expect(page.get_by_role("heading", name="Compare runs", level=1)).to_be_visible()
    expect(page).to_have_url(re.compile("runs=digits-paper"))
    visitor.settle()
    page.get_by_role("link", name=re.compile("^Take ")).click()
    expect(page.get_by_role("heading", name="Pick a size", level=1)).to_be_visible()
    expect(page).to_have_url(re.compile("width="))
    visitor.settle()
    taken = visitor.width
    page.get_by_role("link", name="Compare runs", exact=True).first.click()
    expect(page.get_by_role("heading", name="Compare runs", level=1)).to_be_visible()
    expect(page).to_have_url(re.compile("runs=digits-paper"))
    page.get_by_role("link", name="Pick a size", exact=True).first.click()
    expect(page.get_by_role("heading", name="Pick a size", level=1)).to_be_visible()
    visitor.expect_link(width=str(taken))
    assert not visitor.errors
