"""Compare runs: two and three at once, at the same size, metric and width; and the way there and back."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pandas as pd
import pytest
from playwright.sync_api import Browser, expect

from tests.helpers.app import metrics_of
from tests.helpers.axe import violations
from tests.helpers.browser import Open

# So many tables are drawn, and none has a column that is cut off.
UNCUT = """count => {
  const found = [...document.querySelectorAll('.stDataFrame .dvn-scroller')];
  return found.length === count && found.every(e => e.scrollWidth <= e.clientWidth);
}"""


def test_two_and_three_runs(visit: Open) -> None:
    visitor = visit("/compare?runs=digits-stratified,digits-paper&at=size&value=6")
    page = visitor.page
    legend = page.locator(".stPlotlyChart .legendtext")
    expect(legend).to_have_text(["digits-stratified", "digits-paper"])
    better = page.get_by_text("digits-stratified is better than digits-paper by")
    expect(better).to_be_visible()
    expect(page.get_by_text("No clear difference")).to_have_count(0)
    visitor.settle()
    page.get_by_role("combobox", name="Runs").fill("twin")
    page.get_by_role("option", name="twin (digits)").click()
    expect(legend).to_have_text(["digits-stratified", "digits-paper", "twin"])
    expect(page.get_by_text("digits-stratified is better than twin by")).to_be_visible()
    expect(page.get_by_text("digits-paper is better")).to_have_count(0)
    expect(page).to_have_url(re.compile("twin"))
    page.keyboard.press("Escape")
    page.get_by_role("radiogroup", name="Compare them at").get_by_text("the same number of units").click()
    visitor.expect_link(at="width")
    field = page.get_by_role("textbox", name="Units", exact=True)
    field.fill("128")
    field.press("Enter")
    visitor.expect_link(at="width", value="128")
    expect(page.get_by_role("link", name="at 128 units")).to_be_visible()
    page.get_by_role("radiogroup", name="Compare them at").get_by_text("the same accuracy").click()
    field = page.get_by_role("textbox", name="At least this accuracy, in %", exact=True)
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


def test_parts_open_and_the_link_keeps_them_open(visit: Open) -> None:
    visitor = visit("/compare?runs=digits-stratified,digits-paper&at=size&value=6")
    page = visitor.page
    charts = page.locator(".stPlotlyChart")
    expect(charts).to_have_count(1)
    page.get_by_text("Label by label").click()
    expect(page.get_by_text("They differ most on")).to_be_visible()
    expect(charts).to_have_count(2)
    page.get_by_text("Do they agree?").click()
    expect(page.get_by_text(re.compile("say the same on [0-9]+ of 359 test examples"))).to_be_visible()
    page.get_by_text("Best run at any size").click()
    expect(page.get_by_text("At 6 kB, take digits-stratified at")).to_be_visible()
    field = page.get_by_role("textbox", name="File of at most, in kB", exact=True).last
    field.fill("50")
    field.press("Enter")
    expect(page.get_by_text("At 50 kB, take")).to_be_visible()
    visitor.expect_link(budget="50")
    again = visit(page.url.removeprefix(visitor.url), viewport={"width": 390, "height": 844}, color_scheme="dark")
    expect(again.page.get_by_text("At 50 kB, take")).to_be_visible()
    expect(again.page.locator(".stPlotlyChart")).to_have_count(3)
    assert again.overflow() <= 0
    again.page.get_by_text("Label by label").click()
    expect(again.page.get_by_text("They differ most on")).to_have_count(0)
    again.expect_link(budget="50")
    assert not visitor.errors + again.errors
    assert not visitor.elsewhere + again.elsewhere


def test_figures_and_report_are_the_parquet_s_and_open_offline(
    visit: Open, browser: Browser, store: Path, tmp_path: Path
) -> None:
    visitor = visit("/compare?runs=digits-stratified,hostile&at=width&value=9")
    page = visitor.page
    with page.expect_download() as waited:
        page.get_by_role("button", name="Figures (CSV)").click()
    table = pd.read_csv(io.BytesIO(Path(waited.value.path()).read_bytes()), encoding="utf-8-sig")
    wanted = metrics_of(store / "digits-stratified")
    shown = table[table["Run"] == "digits-stratified"]["Accuracy on test examples (%)"]
    assert shown.tolist() == pytest.approx((100 * wanted["accuracy"]).tolist(), rel=1e-9)
    with page.expect_download() as waited:
        page.get_by_role("button", name="Report").click()
    report = tmp_path / "comparison.html"
    waited.value.save_as(report)
    assert not visitor.errors

    offline = browser.new_context(offline=True)
    try:
        alone, asked, wrong = offline.new_page(), [], []
        alone.on("request", lambda request: asked.append(request.url))
        alone.on("pageerror", lambda error: wrong.append(str(error)))
        alone.on("console", lambda message: wrong.append(message.text))
        alone.on("dialog", lambda dialog: wrong.append(dialog.message))
        alone.goto(report.as_uri())
        expect(alone.locator(".legendtext")).to_have_text(["digits-stratified", "hostile"])
        alone.get_by_text("Every size of these runs").click()
        cells = alone.locator("#figures tbody tr").evaluate_all(
            "rows => rows.map(row => [...row.cells].map(cell => cell.textContent))"
        )
        read = {int(row[1]): float(row[5]) for row in cells if row[0] == "digits-stratified"}
        assert read == pytest.approx(dict(zip(wanted["width"], 100 * wanted["accuracy"], strict=True)), rel=1e-5)
        drawn = alone.evaluate("document.querySelector('[data-figure=figure-curves]').data[1].y")
        assert drawn == pytest.approx((100 * wanted["accuracy"]).tolist(), rel=1e-6)
        assert violations(alone) == []
        assert asked == [report.as_uri()], "nothing but the file is asked for"
        assert not wrong
    finally:
        offline.close()


def test_four_runs_fit_every_window(visit: Open) -> None:
    runs = ["digits-stratified", "digits-paper", "twin", "damaged"]
    visitor = visit(f"/compare?runs={','.join(runs)}&at=size&value=6&open=labels,agreement,all")
    page = visitor.page
    charts, tables = page.locator(".stPlotlyChart"), page.locator(".stDataFrame")
    expect(charts).to_have_count(3)
    page.get_by_text("The chart as a table").click()
    expect(tables).to_have_count(6)
    for width in visitor.looks():
        visitor.page.set_viewport_size({"width": width, "height": 6000})  # what is scrolled away is not drawn
        for k in range(2):
            expect(charts.nth(k).locator(".legendtext")).to_have_text(runs)
        expect(page.get_by_text(re.compile("^(digits-stratified is better|No clear difference)"))).to_have_count(3)
        expect(page.get_by_text("At 6 kB, take digits-stratified at")).to_be_visible()
        expect(tables.first.locator("tr td:first-child")).to_have_text(runs)
        visitor.settle()
        assert visitor.overflow() <= 0
        for part in (*charts.all(), *tables.all()):
            left, right = part.evaluate("e => [e.getBoundingClientRect().left, e.getBoundingClientRect().right]")
            assert 0 <= left < right <= width
        if width >= 1280:  # a phone scrolls a table sideways
            page.wait_for_function(UNCUT, arg=tables.count())
    expect(page.get_by_test_id("stException")).to_have_count(0)
    assert not visitor.errors
    assert not visitor.elsewhere
