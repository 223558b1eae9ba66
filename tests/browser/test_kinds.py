"""Networks of other kinds: rows and clouds whose answers change, a class alone, and a row that a person types."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.helpers.app import SAMPLES
from tests.helpers.browser import Open, placed


@pytest.fixture(scope="module")
def rows(store: Path, server: str) -> Iterator[Path]:
    with placed(SAMPLES / "diabetes", store, "rows") as path:
        yield path


@pytest.fixture(scope="module")
def clouds(store: Path, server: str) -> Iterator[Path]:
    with placed(SAMPLES / "solids", store, "clouds") as path:
        yield path


def test_only_examples_of_one_label(visit: Open) -> None:
    visitor = visit("/?run=digits-stratified&width=3")
    page = visitor.page
    page.get_by_text("Label by label, mix-ups, single examples").click()
    page.get_by_role("tab", name="Examples that change").click()
    cards = page.get_by_role("tabpanel").locator("figure:visible")
    expect(cards.first).to_contain_text("✗ wrong")
    visitor.settle()  # a page that is drawn again closes a list that was opened meanwhile
    box = page.get_by_role("combobox", name="Only examples that are")
    box.click()
    option = page.get_by_role("option").nth(1)
    label = option.inner_text().split(" ")[0]
    option.click()
    expect(box).to_have_value(re.compile(f"^{label} "))
    visitor.settle()
    expect(cards.filter(has_text=re.compile(f"truth: {label}$"))).not_to_have_count(0)
    expect(cards.filter(has_not_text=re.compile(f"truth: {label}$"))).to_have_count(0)
    for width in visitor.looks():
        assert visitor.overflow() <= 0
        right = cards.last.evaluate("e => e.getBoundingClientRect().right")
        assert right <= width
    assert not visitor.errors


def test_rows_that_change_and_a_row_of_ones_own(visit: Open, rows: Path) -> None:
    visitor = visit("/?run=rows&width=2")
    page = visitor.page
    page.get_by_text("Examples that change").click()
    expect(page.get_by_text(re.compile("test examples, [0-9,]+ go farther off and [0-9,]+ closer"))).to_be_visible()
    tables = page.get_by_test_id("stDataFrame")
    shown = tables.count()
    assert shown >= 2, "a few rows, and those that change"
    page.get_by_role("radio", name=re.compile("^closer")).click()
    visitor.settle()
    page.get_by_text("Try an example of your own").click()
    said = page.get_by_text(re.compile(r"They are [0-9.e+-]+ apart; the typical error of this size is"))
    expect(said).to_be_visible(timeout=90_000)
    expect(page.get_by_text(re.compile("^Full size \\([0-9]+ units\\)"))).to_be_visible()
    expect(page.get_by_text("Truth:")).to_be_visible()
    visitor.settle()
    before, field = said.inner_text(), page.get_by_role("textbox").first
    field.fill("40" if field.input_value() != "40" else "41")
    field.press("Enter")
    expect(page.get_by_text("Truth:")).to_have_count(0)  # of no test example any more
    expect(said).not_to_have_text(before)
    for width in visitor.looks():
        assert visitor.overflow() <= 0
        box = said.bounding_box()
        assert box
        assert 0 <= box["x"] < box["x"] + box["width"] <= width
    assert not visitor.errors


def test_clouds_that_change(visit: Open, clouds: Path) -> None:
    visitor = visit("/?run=clouds&width=8")
    page = visitor.page
    scenes = page.locator(".stPlotlyChart:has(.gl-container canvas)")
    expect(scenes).to_have_count(1)
    page.get_by_text("Label by label, mix-ups, single examples").click()
    page.get_by_role("tab", name="Examples that change").click()
    expect(scenes).to_have_count(2)
    expect(page.get_by_text(re.compile("go right → wrong"))).to_be_visible()
    for width in visitor.looks():
        assert visitor.overflow() <= 0
        right = scenes.last.evaluate("e => e.getBoundingClientRect().right")
        assert right <= width
    assert not visitor.errors
