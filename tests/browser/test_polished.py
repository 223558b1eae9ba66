"""A size that was trained on by itself: seen on the chart of a store that is open already, and taken in its place."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from core.export.formats import export
from core.runs.run import Run
from tests.helpers.app import copy_run
from tests.helpers.browser import Open, placed

WIDTH = 16


@pytest.fixture(scope="module")
def alone(store: Path, server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A run with one such size, in the store for as long as these tests go on."""
    from core.finetune.polish import polish

    run = copy_run(tmp_path_factory.mktemp("polished"), "digits-paper")
    polish(run, WIDTH, 2, progress=False)
    with placed(run, store, "alone") as path:
        yield path


def test_it_is_marked_and_offered(visit: Open, alone: Path) -> None:
    visitor = visit(f"/?run=alone&width={WIDTH}")
    page = visitor.page
    chart = page.locator(".js-plotly-plot")
    (trace,) = chart.evaluate("e => e.data.filter(t => t.name == 'trained on by itself')")
    assert trace["marker"]["symbol"] == ["diamond"]
    drawn = chart.locator(".scatterlayer .trace").last.locator(".points path")
    drawn.scroll_into_view_if_needed()
    mark = drawn.bounding_box()
    assert mark
    page.mouse.move(mark["x"] + mark["width"] / 2, mark["y"] + mark["height"] / 2)
    expect(chart.locator(".hoverlayer")).to_contain_text(re.compile(f"{WIDTH} units, trained on by itself.*above"))
    which = page.get_by_role("radiogroup", name="Which one")
    expect(which).to_contain_text(re.compile(r"As trained together.*All figures above are about this one\."))
    expect(which).to_contain_text(re.compile(r"Trained on by itself.*points above what it was.*2 more passes"))
    for width in visitor.looks():
        assert visitor.overflow() <= 0
        expect(page.locator(".legendtext", has_text="trained on by itself")).to_be_visible()
        for part in (page.get_by_text("A diamond is a size that was trained on by itself"), drawn, which):
            part.scroll_into_view_if_needed()
            box = part.bounding_box()
            assert box
            assert 0 <= box["x"] < box["x"] + box["width"] <= width
    assert not visitor.errors


def test_the_one_that_is_chosen_is_handed_over(visit: Open, alone: Path, tmp_path: Path) -> None:
    visitor = visit(f"/?run=alone&width={WIDTH}")
    page = visitor.page
    page.get_by_text("What is inside, and how to use it").click()
    page.get_by_role("radiogroup", name="File").get_by_text("ONNX", exact=True).click()
    used = page.get_by_test_id("stCode").first
    for label, end in (("As trained together", ""), ("Trained on by itself", "-polished")):
        page.get_by_role("radiogroup", name="Which one").get_by_text(label, exact=True).click()
        name = f"alone-w{WIDTH}{end}.onnx"
        expect(used).to_contain_text(f'"{name}"')
        visitor.settle()
        with page.expect_download(timeout=90_000) as waiting:
            page.get_by_role("button", name=f"Download {WIDTH} units").click()
        assert waiting.value.suggested_filename == name
        waiting.value.save_as(tmp_path / name)
        data = (tmp_path / name).read_bytes()
        expect(page.get_by_text("Handed over:")).to_contain_text(hashlib.sha256(data).hexdigest())
        expect(page.get_by_text("Handed over:")).to_contain_text("300 stored examples are those that were measured")
        assert data == export(Run(alone), WIDTH, "onnx", polished=bool(end)).data
    visitor.slider.press("ArrowRight")
    visitor.expect_link(width=str(WIDTH + 1))
    expect(page.get_by_role("radiogroup", name="Which one")).to_have_count(0)
    expect(used).to_contain_text(f'"alone-w{WIDTH + 1}.onnx"')
    assert not visitor.errors
