"""What matters to you? Each question gets its answer, and picking by hand takes over from it."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
from playwright.sync_api import expect

from tests.helpers.app import metrics_of
from tests.helpers.browser import Open, Visitor


def ask(visitor: Visitor, question: str) -> None:
    questions = visitor.page.get_by_role("radiogroup", name="What matters to you?")
    questions.get_by_text(question).click()
    expect(questions.get_by_role("radio", name=question)).to_be_checked()


def answer(visitor: Visitor, label: str, value: str) -> None:
    field = visitor.page.get_by_role("textbox", name=label, exact=True)
    field.fill(value)
    field.press("Enter")


def test_let_me_choose(desk: Visitor) -> None:
    ask(desk, "Let me choose")
    desk.page.get_by_role("button", name="Full size: 128 units").click()
    desk.expect_link(run="digits-paper", width="128")
    expect(desk.page.get_by_text("Your choice: full size, 128 units.")).to_be_visible()
    desk.page.get_by_role("button", name=re.compile("Recommended")).click()
    expect(desk.page.get_by_text("Your choice: full size")).to_be_hidden()
    expect(desk.page).not_to_have_url(re.compile("ask="))


def test_stay_under_a_file_size(desk: Visitor, store: Path) -> None:
    ask(desk, "Stay under a file size")
    answer(desk, "Largest file, in kB", "20")
    desk.expect_link(ask="under", limit="20")
    sentence = desk.page.get_by_text("Best model that stays under 20 kB:")
    expect(sentence).to_be_visible()
    found = re.search(r": (\d+) units", sentence.inner_text())
    assert found
    expect(desk.page.locator(".live")).to_have_attribute("data-width", found[1])  # it follows what is said
    assert desk.width == int(found[1])
    assert metrics_of(store / "digits-paper").set_index("width").loc[desk.width]["bytes"] <= 20_000
    expect(desk.page.get_by_text("Too big")).to_have_count(0)
    answer(desk, "Largest file, in kB", "0.5")
    desk.expect_link(ask="under", limit="0.5", width="1")
    expect(desk.page.get_by_text("Too big")).to_be_visible()
    expect(desk.page.get_by_text("No size here stays under 0.5 kB. The closest is 1 unit")).to_be_visible()
    expect(sentence).to_have_count(0)


def test_keep_at_least_an_accuracy_then_take_over_by_hand(desk: Visitor, store: Path) -> None:
    ask(desk, "Keep at least a certain accuracy")
    answer(desk, "Least accuracy, in %", "85")
    desk.expect_link(ask="keep", limit="85")
    metrics = metrics_of(store / "digits-paper")
    smallest = int(metrics[metrics["validation_accuracy"] >= 0.85]["width"].iloc[0])
    expect(desk.page.get_by_text(f"Smallest model that keeps at least 85.0 %: {smallest} units")).to_be_visible()
    expect(desk.page.locator(".live")).to_have_attribute("data-width", str(smallest))  # it follows what is said
    desk.slider.press("ArrowRight")
    desk.expect_link(width=str(smallest + 1))
    expect(desk.page.get_by_role("radio", name="Let me choose")).to_be_checked()
    expect(desk.page).not_to_have_url(re.compile("ask=|limit="))
    ask(desk, "Keep at least a certain accuracy")
    desk.expect_link(ask="keep", limit="85", width=str(smallest))
    answer(desk, "Least accuracy, in %", "100")
    expect(desk.page.get_by_text("Out of reach")).to_be_visible()
    expect(desk.page.get_by_text("Too big")).to_have_count(0)


def test_a_question_right_after_a_key_has_the_last_word(desk: Visitor) -> None:
    ask(desk, "Let me choose")
    desk.settle()
    desk.slider.press("ArrowLeft")
    ask(desk, "Stay under a file size")  # sooner than the slider tells of the key by itself
    expect(desk.page.get_by_role("textbox", name="Largest file, in kB", exact=True)).to_be_visible()
    desk.expect_link(ask="under")
    expect(desk.page.get_by_role("radio", name="Stay under a file size")).to_be_checked()


def test_a_limit_in_megabytes(desk: Visitor) -> None:
    ask(desk, "Stay under a file size")
    desk.page.get_by_role("radiogroup", name="Unit").get_by_text("MB").click()
    answer(desk, "Largest file, in MB", "0.03")
    desk.expect_link(ask="under", limit="30", unit="MB")
    expect(desk.page.get_by_text("Best model that stays under 30 kB:")).to_be_visible()
    desk.page.get_by_role("radiogroup", name="Unit").get_by_text("kB").click()
    expect(desk.page.get_by_role("textbox", name="Largest file, in kB", exact=True)).to_have_value("30")
    expect(desk.page).not_to_have_url(re.compile("unit="))


def test_lose_little_against_full_size(desk: Visitor, store: Path) -> None:
    ask(desk, "Lose little against full size")
    answer(desk, "Largest loss, in points", "2")
    desk.expect_link(ask="lose", limit="2")
    metrics = metrics_of(store / "digits-paper")
    chosen = metrics["validation_accuracy"]
    smallest = int(metrics[chosen >= chosen.iloc[-1] - 0.02 - 1e-9]["width"].iloc[0])
    sentence = f"Smallest model that loses at most 2 points against full size: {smallest} units"
    expect(desk.page.get_by_text(sentence)).to_be_visible()
    assert desk.width == smallest


def test_answer_within_a_time(desk: Visitor, store: Path) -> None:
    ask(desk, "Answer within a time")
    answer(desk, "Longest time of one prediction, in ms", "1000")
    desk.expect_link(ask="time", limit="1000")
    expect(desk.page.get_by_text("Best model that takes at most 1,000 ms a prediction:")).to_be_visible()
    times = pd.read_parquet(store / "digits-paper" / "latency.parquet")
    metrics = metrics_of(store / "digits-paper").set_index("width")
    timed = metrics.loc[sorted(set(times["width"]))]
    assert metrics.loc[desk.width, "validation_accuracy"] == timed["validation_accuracy"].max()
    expect(desk.page.locator(".legendtext", has_text="known to answer in time")).to_be_visible()
    answer(desk, "Longest time of one prediction, in ms", "0.000001")
    expect(desk.page.get_by_text("Too slow")).to_be_visible()


def test_the_first_steps_stay_away_once_dismissed(visit: Open) -> None:
    visitor = visit("/?run=digits-paper")
    steps, before = visitor.page.get_by_role("region", name="How to start"), visitor.sent
    expect(steps.get_by_role("listitem")).to_have_count(3)
    steps.get_by_role("button", name="Got it").click()
    expect(steps).to_be_hidden()
    assert visitor.sent == before, "the server hears nothing of it"
    visitor.open("/?run=digits-paper")
    expect(steps).to_be_hidden()
    expect(visitor.page.locator(".first")).to_be_attached()


def test_an_emptied_field_keeps_what_was_asked_for(desk: Visitor) -> None:
    ask(desk, "Stay under a file size")
    answer(desk, "Largest file, in kB", "33.5")
    desk.expect_link(limit="33.5")
    answer(desk, "Largest file, in kB", "")
    field = desk.page.get_by_role("textbox", name="Largest file, in kB", exact=True)
    expect(field).to_have_value("33.5")
    desk.expect_link(limit="33.5")
    expect(desk.page.get_by_text("Too big")).to_have_count(0)


def test_a_shared_link_opens_the_same_for_another_person(desk: Visitor, visit: Open) -> None:
    ask(desk, "Stay under a file size")
    answer(desk, "Largest file, in kB", "12.5")
    desk.expect_link(ask="under", limit="12.5")
    other = visit(desk.page.url.removeprefix(desk.url))
    for part in ("value", "interval", "size", "params", "units"):
        assert other.shown(part) == desk.shown(part)
    expect(other.page.get_by_role("radio", name="Stay under a file size")).to_be_checked()
    expect(other.page.get_by_text("Best model that stays under 12.5 kB:")).to_be_visible()
    assert other.page.url == desk.page.url
    other.slider.press("Home")
    other.expect_link(width="1")
    other.page.go_back()
    other.expect_link(ask="under", limit="12.5")
    expect(other.page.get_by_text("Best model that stays under 12.5 kB:")).to_be_visible()
    assert "limit=12.5" in desk.page.url, "what one does is not seen by the other"
    expect(desk.page.get_by_role("radio", name="Stay under a file size")).to_be_checked()
    assert not other.errors


def test_a_figure_is_read_as_it_is_typed_or_refused(desk: Visitor) -> None:
    ask(desk, "Stay under a file size")
    field = desk.page.get_by_role("textbox", name="Largest file, in kB", exact=True)
    for typed, value in (("20,5", "20.5"), ("0,03 MB", "30"), ("1 000 kB", "1000")):
        answer(desk, "Largest file, in kB", typed)
        desk.expect_link(limit=value)
        expect(field).to_have_value(value)
    answer(desk, "Largest file, in kB", "1,234")
    expect(desk.page.get_by_text("may be 1234 or 1.234")).to_be_visible()
    expect(field).to_have_value("1000")
    desk.expect_link(limit="1000")


def test_the_budget_is_held_against_the_format_that_is_chosen(desk: Visitor) -> None:
    ask(desk, "Stay under a file size")
    answer(desk, "Largest file, in kB", "30")
    desk.expect_link(limit="30")
    before = desk.width
    desk.page.get_by_role("radiogroup", name="File").get_by_text("Everything in one zip").click()
    desk.expect_link(format="bundle")
    expect(desk.page.get_by_text("Everything in one zip:")).to_be_visible()
    assert desk.width < before, "a zip holds the weights twice"
    desk.page.get_by_role("radiogroup", name="File").get_by_text("ONNX", exact=True).click()
    expect(desk.page).not_to_have_url(re.compile("format="))


def test_the_page_opens_at_its_own_address(visit: Open) -> None:
    visitor = visit("/pick?run=digits-paper&width=9&speed=7")
    visitor.expect_link(run="digits-paper", width="9")
    expect(visitor.page.get_by_text("has parts that mean nothing on this page: speed (ignored)")).to_be_visible()
    assert not visitor.errors
