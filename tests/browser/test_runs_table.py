"""The table of My runs: what its canvas shows, and what a click on it does."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.helpers.app import DIGITS, copy_run, edit_metrics
from tests.helpers.browser import Visitor, serving

HEAD = ROW = 35  # pixels
# The head's texts, and those of each row, as a screen reader gets them from beside the canvas.
CELLS = """[...document.querySelectorAll('.stDataFrame table[role=grid] tr')].map(
  row => [...row.children].map(cell => cell.textContent.trim()))"""
# For each row the blue pixels in it, [x, y] of the canvas: of curves, as texts and lines are grey.
BLUE = """rows => {
  const canvas = document.querySelector('.stDataFrame canvas'), paint = canvas.getContext('2d');
  const scale = canvas.width / canvas.getBoundingClientRect().width;
  return rows.map(top => {
    const height = Math.round(33 * scale), found = [];
    const { data } = paint.getImageData(0, Math.round((top + 1) * scale), canvas.width, height);
    for (let k = 0; k < data.length; k += 4)
      if (data[k + 2] - data[k] > 70) found.push([(k / 4) % canvas.width, Math.floor(k / 4 / canvas.width)]);
    return found;
  });
}"""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A store with a run whose figures have a digit less than the others'."""
    folder = tmp_path_factory.mktemp("table") / "store"
    folder.mkdir()
    for name in DIGITS:
        copy_run(folder, name)
    low = copy_run(folder, "digits-paper", "low")
    judged = ["accuracy", "accuracy_low", "accuracy_high"]
    edit_metrics(low, lambda frame: frame.assign(**{name: frame[name] / 10.5 for name in judged}))
    with serving(folder, folder.parent) as url:
        yield url


@pytest.fixture
def visitor(browser: Browser, address: str) -> Iterator[Visitor]:
    found = Visitor(browser, address)
    found.page.goto(f"{address}/runs")
    expect(found.page.get_by_role("combobox", name="Chosen run")).to_be_visible()
    found.page.wait_for_function(f"() => {CELLS}.length === 4")
    found.settle()
    yield found
    found.context.close()


def rows(page: Page) -> list[dict[str, str]]:
    head, *lines = page.evaluate(CELLS)
    return [dict(zip(head, line, strict=True)) for line in lines]


def test_every_run_has_its_curve_beside_it(visitor: Visitor) -> None:
    page = visitor.page
    table = rows(page)
    assert all(line["Curve"] for line in table)
    tops = [HEAD + ROW * k for k in range(len(table))]
    for width in visitor.looks():
        aside = 170 if width < 600 else 0  # on a phone the two figures before the curves have to make room
        page.locator(".dvn-scroller").evaluate("(e, aside) => { e.scrollLeft = aside; }", aside)
        page.wait_for_function(f"rows => ({BLUE})(rows).every(found => found.length > 60)", arg=tops)
        drawn = []
        for found, line in zip(page.evaluate(BLUE, tops), table, strict=True):
            x, y = np.array(found).T
            assert np.ptp(x) > 60, "from one end of its cell to the other"
            heights = np.array([-y[x == place].mean() for place in np.unique(x)])
            values = np.array(line["Curve"].split(","), float)
            wanted = np.interp(np.linspace(0, 1, len(heights)), np.linspace(0, 1, len(values)), values)
            assert np.corrcoef(heights, wanted)[0, 1] > 0.97, line["Run"]
            drawn.append(found)
        by_name = {line["Run"]: [tuple(p) for p in found] for line, found in zip(table, drawn, strict=True)}
        assert by_name["digits-stratified"] != by_name["digits-paper"]
    assert not visitor.errors


def test_a_click_on_a_head_sorts_by_figures_and_rows_keep_their_runs(visitor: Visitor) -> None:
    page = visitor.page
    box = page.get_by_test_id("stDataFrame").bounding_box()
    assert box
    places = {"up": "↑ Full size", "down": "↓ Full size"}
    for turn, head in places.items():
        page.mouse.click(box["x"] + 225, box["y"] + HEAD / 2)
        page.wait_for_function(f"() => {CELLS}[0].includes('{head}')")
        page.wait_for_function(f"() => {CELLS}.length === 4")
        figures = [float(line[head].removesuffix(" %")) for line in rows(page)]
        assert figures == sorted(figures, reverse=turn == "down"), "as numbers: 9.0 before 94.4"
        assert min(figures) < 10 < max(figures)
        first = rows(page)[0]["Run"]
        page.mouse.click(box["x"] + 16, box["y"] + HEAD + ROW / 2)
        expect(page.get_by_role("heading", name=first, level=3)).to_be_visible()
        visitor.expect_link(run=first)
        page.wait_for_function(f"() => {CELLS}[0].includes('{head}')")
    assert not visitor.errors
