"""My runs in a real browser: find a run, choose it by mouse and by keyboard, take it along, remove it, add it again."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.helpers.app import DIGITS, copy_run
from tests.helpers.browser import IDLE, Visitor, serving
from tests.helpers.visitor_by_hand import expect_held

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


@pytest.fixture(scope="module")
def own_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that these tests may change."""
    folder = tmp_path_factory.mktemp("my-runs") / "store"
    folder.mkdir()
    for name in (*DIGITS, "a-third"):
        copy_run(folder, "digits-paper" if name == "a-third" else name, name)
    (copy_run(folder, name="bad") / "run.json").write_text("{")
    return folder


@pytest.fixture(scope="module")
def own_server(own_store: Path) -> Iterator[str]:
    with serving(own_store, own_store.parent) as url:
        yield url


def visit(browser: Browser, url: str, path: str = "/runs", **context: object) -> Visitor:
    visitor = Visitor(browser, url, **context)
    visitor.page.goto(url + path)
    expect(visitor.page.get_by_role("heading", name="My runs", level=1)).to_be_visible()
    expect(visitor.page.get_by_role("combobox", name="Chosen run")).to_be_visible()
    visitor.settle()
    return visitor


def test_a_whole_run_goes_out_and_comes_back(
    browser: Browser, own_server: str, own_store: Path, tmp_path: Path
) -> None:
    visitor = visit(browser, own_server)
    page = visitor.page
    page.get_by_role("searchbox", name="Search").fill("stratified")
    expect(page.get_by_text("1 of 4 runs shown")).to_be_visible()
    visitor.settle()
    grid = page.get_by_test_id("stDataFrame")
    box = grid.bounding_box()
    assert box
    page.mouse.click(box["x"] + 16, box["y"] + 35 + 17)  # the box in the first row, which is drawn and no element
    expect(page.get_by_role("heading", name="digits-stratified")).to_be_visible()
    expect(page).to_have_url(re.compile("run=digits-stratified"))
    visitor.settle()

    with page.expect_download() as coming:
        page.get_by_role("button", name="Download the whole run").click()
    packed = tmp_path / coming.value.suggested_filename
    coming.value.save_as(packed)
    assert packed.name == "digits-stratified.zip"
    visitor.settle()

    page.get_by_role("button", name="Remove").click()
    page.get_by_role("button", name="Yes, remove it").click()
    expect(page.get_by_text("digits-stratified is in the archive now.")).to_be_visible()
    assert not (own_store / "digits-stratified").exists()

    page.get_by_text("Add a run from a file").click()
    visitor.settle()
    page.get_by_test_id("stFileUploaderDropzoneInput").set_input_files(packed)
    expect(page.get_by_text("is a whole run")).to_be_visible()
    expect_held(own_server, packed.stat().st_size)
    page.get_by_role("button", name="Add to my runs").click()
    expect(page.get_by_text("digits-stratified is one of your runs now.")).to_be_visible()
    expect_held(own_server, 0)
    for file in (own_store / ".archive" / "digits-stratified").iterdir():
        assert (own_store / "digits-stratified" / file.name).read_bytes() == file.read_bytes()
    assert not visitor.errors
    assert not visitor.elsewhere
    visitor.context.close()


def test_by_keyboard_alone_on_a_phone(browser: Browser, own_server: str, own_store: Path) -> None:
    visitor = visit(browser, own_server, color_scheme="dark", **PHONE)
    page = visitor.page
    chooser = page.get_by_role("combobox", name="Chosen run")
    chooser.focus()
    page.keyboard.type("third")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="a-third")).to_be_visible()
    visitor.settle()
    title = page.get_by_role("textbox", name="Title")
    title.focus()
    page.keyboard.type("Number <three>")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Saved with a-third.")).to_be_visible()
    expect(page.get_by_text("Number <three>").first).to_be_visible()
    assert visitor.overflow() <= 0
    page.get_by_role("link", name="Pick a size of it").press("Enter")
    expect(page.get_by_role("heading", name="Pick a size", level=1)).to_be_visible()
    expect(page).to_have_url(re.compile("run=a-third"))
    assert not visitor.errors
    visitor.context.close()


def test_another_visitor_sees_what_changed(browser: Browser, own_server: str, own_store: Path) -> None:
    mine, theirs = (visit(browser, own_server, "/runs?run=digits-paper") for _ in range(2))
    theirs.page.get_by_text("Rename").first.click()
    theirs.settle()
    theirs.page.get_by_role("textbox", name="New name").fill("renamed")
    theirs.page.get_by_role("textbox", name="New name").press("Enter")
    theirs.page.get_by_role("button", name="Rename").click()
    expect(theirs.page.get_by_text("digits-paper is now called renamed.")).to_be_visible()
    mine.page.get_by_role("button", name="Remove").click()
    expect(mine.page.get_by_text("There is no run digits-paper here")).to_be_visible()
    assert (own_store / "renamed" / "run.json").exists()
    for visitor in (mine, theirs):
        assert not visitor.errors
        visitor.context.close()


# The key of each table on the page, which is another one for other rows or another order.
TABLES = "[...document.querySelectorAll('[class*=\"st-key-my-table-\"]')].map(e => e.className)"


def test_the_table_is_ordered_and_fits_every_window(browser: Browser, own_server: str, own_store: Path) -> None:
    visitor = visit(browser, own_server)
    page = visitor.page
    grid = page.get_by_test_id("stDataFrame")
    grid.scroll_into_view_if_needed()
    expect(grid.locator("canvas").first).to_be_visible()
    for order, first in (("Name", "^a-third"), ("Best at full size", "digits-stratified")):
        before = page.evaluate(TABLES)
        box = page.get_by_role("combobox", name="Order")
        box.fill(order)
        box.press("Enter")
        # The box says the order at once; the server has heard when another table alone stands in the place of this one.
        alone = f"old => {{ const now = {TABLES}; return now.length === 1 && now[0] !== old[0] }}"
        page.wait_for_function(alone, arg=before)
        visitor.settle()
        page.wait_for_function("() => document.querySelector('.stDataFrame').getBoundingClientRect().width > 200")
        grid.click(position={"x": 16, "y": 35 + 17})  # the box in the first row
        expect(page.get_by_role("heading", level=3).first).to_have_text(re.compile(first))
        visitor.settle()
    for width in visitor.looks():
        assert visitor.overflow() <= 0
        left, right = grid.evaluate("e => [e.getBoundingClientRect().left, e.getBoundingClientRect().right]")
        assert 0 <= left < right <= width
        expect(page.get_by_role("button", name="Download the whole run")).to_be_visible()
    page.get_by_role("searchbox", name="Search").fill("no such run")
    expect(page.get_by_text("No run holds all of these words.")).to_be_visible()
    assert not visitor.errors
    visitor.context.close()


def test_words_are_kept_and_the_archive_gives_back(browser: Browser, own_server: str, own_store: Path) -> None:
    if not (own_store / "a-third").exists():  # this test removes it, so a second try has to begin anew
        shutil.rmtree(own_store / ".archive", ignore_errors=True)
        copy_run(own_store, "digits-paper", "a-third")
    visitor = visit(browser, own_server, "/runs?run=a-third")
    page = visitor.page
    for field, text in (("Tags, with commas between", "small, *mine*"), ("Note", "for <b>Anna</b>")):
        page.get_by_role("textbox", name=field).fill(text)
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Saved with a-third.")).to_be_visible()
    visitor.settle()
    found = json.loads((own_store / "a-third" / "notes.json").read_text())
    assert (found["tags"], found["note"]) == (["small", "*mine*"], "for <b>Anna</b>")
    page.get_by_role("searchbox", name="Search").fill("mine anna")
    expect(page.get_by_text(re.compile("^1 of [0-9]+ runs shown"))).to_be_visible()
    page.get_by_role("searchbox", name="Search").fill("")
    visitor.settle()

    page.get_by_role("button", name="Remove").click()
    page.get_by_role("button", name="No, keep it").click()
    expect(page.get_by_role("button", name="Yes, remove it")).to_have_count(0)
    page.get_by_role("button", name="Remove").click()
    page.get_by_role("button", name="Yes, remove it").click()
    expect(page.get_by_text("a-third is in the archive now.")).to_be_visible()
    page.get_by_text(re.compile("^Archive: [0-9]+ removed")).click()
    visitor.settle()
    choose(page, "Removed run", "a-third")
    page.get_by_role("button", name="Bring it back", exact=True).click()
    expect(page.get_by_text("a-third is back.")).to_be_visible()
    assert json.loads((own_store / "a-third" / "notes.json").read_text()) == found
    visitor.settle()

    page.get_by_role("button", name="Remove").click()
    page.get_by_role("button", name="Yes, remove it").click()
    expect(page.get_by_text("a-third is in the archive now.")).to_be_visible()
    visitor.settle()
    empty = page.get_by_role("button", name="Empty the archive")
    if not empty.is_visible():  # nothing else was in it, so the box is a new one
        page.get_by_text(re.compile("^Archive: [0-9]+ removed")).click()
    empty.click()
    confirmation = page.get_by_role("textbox", name="Type “empty” to confirm")
    expect(confirmation).to_be_visible()
    page.get_by_role("button", name="Empty the archive").click()
    expect(page.get_by_text("the archive was not emptied")).to_be_visible()
    assert (own_store / ".archive" / "a-third").exists(), "a word is to be typed first"
    confirmation.fill("empty")
    confirmation.press("Enter")
    visitor.settle()
    page.get_by_role("button", name="Empty the archive").click()
    expect(page.get_by_text("its runs are in the trash for a day")).to_be_visible()
    assert not list((own_store / ".archive").iterdir())
    assert list((own_store / ".trash").glob("*/a-third/run.json"))
    page.get_by_text(re.compile("^Trash: [0-9]+ emptied")).click()
    visitor.settle()
    choose(page, "Run in the trash", re.compile("^a-third"))
    page.get_by_role("button", name="Bring it back", exact=True).click()
    expect(page.get_by_text("a-third is back.")).to_be_visible()
    assert json.loads((own_store / "a-third" / "notes.json").read_text()) == found
    assert not visitor.errors
    visitor.context.close()


def test_a_folder_is_taken_in_and_a_bad_one_refused_in_a_sentence(
    browser: Browser, own_server: str, own_store: Path, tmp_path: Path
) -> None:
    visitor = visit(browser, own_server)
    page = visitor.page
    page.get_by_text("Add a run from a file").click()
    page.get_by_role("radiogroup", name="What you have").get_by_text("A folder").click()
    drop = page.locator('input[type="file"][webkitdirectory]')
    expect(drop).to_be_attached()
    visitor.settle()
    bad = copy_run(tmp_path, "digits-paper", "bad")
    (bad / "program.pkl").write_bytes(b"x")
    before = sorted(own_store.rglob("*"))
    drop.set_input_files(bad)
    refusal = page.get_by_role("alert").filter(has_text="This folder is not taken in")
    expect(refusal).to_contain_text("program.pkl")
    expect(page.get_by_role("button", name="Add to my runs")).to_have_count(0)
    assert sorted(own_store.rglob("*")) == before, "nothing is written"
    page.reload()
    visitor.settle()
    page.get_by_text("Add a run from a file").click()
    page.get_by_role("radiogroup", name="What you have").get_by_text("A folder").click()
    visitor.settle()
    good = copy_run(tmp_path, "digits-paper", "from-anna")
    drop.set_input_files(good)
    expect(page.get_by_text("from-anna is a whole run")).to_be_visible()
    assert sorted(own_store.rglob("*")) == before, "a look writes nothing"
    visitor.settle()
    page.get_by_role("button", name="Add to my runs").click()
    expect(page.get_by_text("from-anna is one of your runs now.")).to_be_visible()
    for file in good.iterdir():
        assert (own_store / "from-anna" / file.name).read_bytes() == file.read_bytes()
    assert not visitor.errors
    assert not visitor.elsewhere
    visitor.context.close()


def choose(page: Page, name: str, option: str | re.Pattern[str]) -> None:
    """An option of a box to choose from, whether it is chosen already or not."""
    expect(page.locator(IDLE)).to_be_attached()  # a page that is drawn again closes a list that was opened meanwhile
    page.get_by_role("combobox", name=name).click()
    page.get_by_role("option", name=option, exact=True).click()
