"""What Pick a size says of a size: badge, price, next steps, presets, a faster neighbour, details, the file's use."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import Locator, Page, expect

from app.pick.download import INSIDE
from app.store.latency import timed
from core.runs.run import Run
from core.sweep.budget import as_good_as_full, recommended
from core.sweep.report import reply, steps
from core.tasks.classification import ACCURACY
from tests.helpers.app import copy_run, edit_metrics
from tests.helpers.browser import Open, Visitor, placed

BADGES = {"fits": "Fits", "just fits": "Just fits", "does not fit": "Too big"}


def fits(visitor: Visitor, *parts: Locator) -> None:
    """In every window, nothing is wider than it, and these parts are seen in it."""
    for width in visitor.looks():
        assert visitor.overflow() <= 0
        for part in parts:
            part.scroll_into_view_if_needed()
            box = part.bounding_box()
            assert box
            assert 0 <= box["x"] < box["x"] + box["width"] <= width


@pytest.mark.parametrize("verdict", BADGES)
def test_an_answer_has_a_badge_a_price_and_the_next_steps(desk: Visitor, store: Path, verdict: str) -> None:
    run = Run(store / "digits-paper")
    metrics = timed(run)
    limits = (float(f"{size / 1e3 * more:.6g}") for more in (0.5, 1.001, 1.5, 100) for size in metrics["bytes"])
    limit = next(kb for kb in limits if reply(run, metrics, max_kb=kb).verdict == verdict)
    desk.page.goto(f"{desk.url}/?run=digits-paper&ask=under&limit={limit:g}&format=safetensors")
    desk.expect_link(ask="under", limit=f"{limit:g}")
    badge, page = desk.page.locator(".stMarkdownBadge"), desk.page
    expect(badge).to_contain_text(re.compile(f"{BADGES[verdict]}$"))
    expect(badge.get_by_role("img")).to_be_visible()
    for other in set(BADGES.values()) - {BADGES[verdict]}:
        expect(page.get_by_text(other, exact=True)).to_have_count(0)
    sentence = page.get_by_text(reply(run, metrics, max_kb=limit).sentence)
    expect(sentence).to_be_visible()
    expect(sentence).to_contain_text(re.compile(r"kB; [0-9.]+\s% on 359 test examples \(95\s% interval .*full size"))
    advised = steps(metrics, ACCURACY)[reply(run, metrics, max_kb=limit).answer.row]
    for step in advised:
        expect(page.get_by_text(step)).to_be_visible()
    for way in ("up", "down"):
        if not any(f"One step {way}:" in step for step in advised):
            expect(page.get_by_text(f"One step {way}:")).to_have_count(0)
    if verdict == "does not fit":
        fits(desk, badge, sentence, page.get_by_text(advised[0]))


def test_presets_say_what_they_are(desk: Visitor, store: Path) -> None:
    run, page = Run(store / "digits-paper"), desk.page
    metrics = timed(run)
    page.goto(f"{desk.url}/?run=digits-paper&width=1")
    desk.expect_link(width="1")
    for name, row, said in (
        ("Recommended", recommended(metrics, ACCURACY), "Good value: the bend of the curve"),
        ("Smallest that does the job", as_good_as_full(metrics, ACCURACY), "a paired test at 95 %"),
        ("Full size", len(metrics) - 1, "as it was trained"),
    ):
        button = page.get_by_role("button", name=re.compile(f"^{name}: "))
        button.hover()
        expect(page.get_by_role("tooltip").filter(has_text=said)).to_be_visible()
        button.click()
        desk.expect_link(width=str(int(metrics["width"].iloc[row])))


def test_the_chart_is_a_table_too_and_experts_see_more(desk: Visitor) -> None:
    page = desk.page
    page.goto(f"{desk.url}/?run=digits-paper&width=9")
    desk.expect_link(width="9")
    page.get_by_text("The chart as a table").click()
    tables = page.get_by_test_id("stDataFrame")
    expect(tables).to_have_count(1)
    expect(tables.first).to_be_visible()
    page.get_by_text("Details for experts").click()
    expect(tables).to_have_count(2)
    said = page.locator("[role=grid]").first  # drawn on a canvas, and told to a screen reader
    for text in ("units in hidden1", "multiply-accumulates", "loss on test", "learning rate"):
        expect(said).to_contain_text(text)
    fits(desk, tables.first, tables.last)


def test_what_is_inside_is_said_and_copied(visit: Open) -> None:
    visitor = visit("/?run=digits-paper&width=9&format=bundle", permissions=["clipboard-read", "clipboard-write"])
    page = visitor.page
    page.get_by_text("What is inside, and how to use it").click()
    for name, what in INSIDE.items():
        expect(page.get_by_role("listitem").filter(has_text=name)).to_contain_text(what)
    expect(page.get_by_test_id("stCode").first.locator(".token").first).to_be_visible()  # coloured, which draws it anew
    visitor.settle()
    assert "from load import predict" in copied(page, page.get_by_test_id("stCode").first)
    assert copied(page, page.locator(".link")) == page.url
    page.get_by_role("radiogroup", name="File").get_by_text("ONNX", exact=True).click()
    expect(page.get_by_test_id("stCode").first).to_contain_text("digits-paper-w9.onnx")
    assert 'InferenceSession("digits-paper-w9.onnx")' in copied(page, page.get_by_test_id("stCode").first)
    fits(visitor, page.get_by_test_id("stCode").first, page.locator(".link"))
    assert not visitor.errors


def copied(page: Page, code: Locator) -> str:
    """What its button puts on the clipboard."""
    code.hover()
    page.evaluate("navigator.clipboard.writeText('')")
    code.get_by_role("button").click()
    page.wait_for_function("() => navigator.clipboard.readText().then(text => text.length > 0)")
    text: str = page.evaluate("navigator.clipboard.readText()")
    return text


@pytest.fixture(scope="module")
def uneven(store: Path, server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A run that is as good at every size, and slow at one."""
    run = copy_run(tmp_path_factory.mktemp("uneven"), "digits-paper")
    edit_metrics(run, lambda f: f.assign(accuracy=0.9, validation_accuracy=0.9))
    times = pd.read_parquet(run / "latency.parquet")
    for column in ("median_ms", "p25_ms", "p75_ms"):
        times[column] = np.where(times["width"] == 32, 5.0, 1.0)
    times.to_parquet(run / "latency.parquet")
    with placed(run, store, "uneven") as path:
        yield path


def test_a_faster_neighbour_is_offered_and_taken(visit: Open, uneven: Path) -> None:
    visitor = visit("/?run=uneven&width=32")
    page = visitor.page
    offer = page.get_by_text(re.compile(r"units nearby answers faster, 1\sms instead of 5\sms a prediction"))
    expect(offer).to_contain_text("just as good")
    button = page.get_by_role("button", name=re.compile("^Take [0-9]+ units"))
    fits(visitor, offer, button)
    button.click()
    expect(page).not_to_have_url(re.compile("width=32"))
    expect(offer).to_have_count(0)
    assert visitor.width in (16, 64)
    assert not visitor.errors
