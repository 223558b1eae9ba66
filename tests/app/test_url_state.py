"""Links: they bring back what was on the screen, and a broken one is said and never fails."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from app import url_state
from tests.helpers.app import copy_run, figure, go, open_page, slider, texts, well
from tests.helpers.app import link as link_of
from tests.helpers.properties import tries

FUZZ = tries(25, suppress_health_check=[HealthCheck.function_scoped_fixture])
NUMBERS = st.sampled_from(
    ["0", "-1", "1", "7", "128", "129", "007", "1.5", "0.0001", "100.1", "1e3", "1e999", "nan", "-inf", "0x10", "1_000"]
) | st.sampled_from(["٣", "²", "9" * 30, "99.99999"])
ODD = st.text(st.characters(exclude_categories=["Cs"]), max_size=30) | NUMBERS
RUNS = st.sampled_from(["digits-paper", "digits-stratified", "../digits-paper", "bad", "digits-paper/", ""]) | ODD


def some(**known: st.SearchStrategy[str]) -> st.SearchStrategy[dict[str, str]]:
    return st.fixed_dictionaries({}, optional=known)


@pytest.mark.slow
@FUZZ
@given(
    query=some(
        run=RUNS,
        width=ODD,
        ask=st.sampled_from(["under", "keep", "lose", "time", "choose"]) | ODD,
        unit=st.sampled_from(["kB", "MB"]) | ODD,
        limit=ODD,
        axis=st.just("whole") | ODD,
        other=ODD,
    )
)
def test_any_link_to_pick_shows_a_page(digits: Path, query: dict[str, str]) -> None:
    at = well(open_page(**query))
    shown = slider(at)
    assert any(row["width"] == shown["width"] for row in shown["rows"])
    run = at.query_params["run"]
    assert run in ("digits-paper", "digits-stratified")
    if query.get("run", run) != run:
        assert "The link names a run that is not here" in texts(at)
    well(at.run())
    assert "The link" not in texts(at), "it is said once"


@pytest.mark.slow
@FUZZ
@given(
    query=some(
        runs=st.lists(RUNS, max_size=6).map(",".join),
        at=st.sampled_from(["size", "metric", "width"]) | ODD,
        value=ODD,
        axis=st.just("whole") | ODD,
    )
)
def test_any_link_to_compare_shows_a_page(digits: Path, query: dict[str, str]) -> None:
    at = well(go(well(open_page()), "compare", **query))
    assert at.multiselect(key="compare-runs").value
    if query.get("at", "size") not in ("size", "metric", "width"):
        assert "compares runs at something that is not known" in texts(at) or not at.dataframe
    well(at.run())


@pytest.mark.slow
@pytest.mark.parametrize(
    "query",
    [
        {"run": "digits-paper", "width": "33"},
        {"run": "digits-stratified", "width": "128"},
        {"run": "digits-paper", "ask": "under", "limit": "12.5", "width": "1"},
        {"run": "digits-paper", "ask": "under", "limit": "12.5", "unit": "MB", "width": "1"},
        {"run": "digits-paper", "ask": "lose", "limit": "1.5", "width": "1"},
        {"run": "digits-paper", "ask": "time", "limit": "0.05", "width": "1"},
        {"run": "digits-stratified", "ask": "keep", "limit": "97.25", "axis": "whole", "width": "1"},
    ],
)
def test_what_is_on_the_screen_comes_back_from_its_link(digits: Path, query: dict[str, str]) -> None:
    first = well(open_page(**query))
    link = dict(first.query_params)
    assert query.items() - {("width", "1")} <= {(k, str(v)) for k, v in link.items()}
    again = well(open_page(**link))
    assert "The link" not in texts(again)
    assert (slider(again), figure(again), texts(again)) == (slider(first), figure(first), texts(first))
    assert dict(again.query_params) == link
    assert link_of(first).endswith("?" + urlencode(link)), "the link to copy is the same"


@pytest.mark.slow
def test_a_comparison_comes_back_from_its_link(digits: Path) -> None:
    copy_run(digits, "digits-paper", "third")
    first = well(open_page("compare", runs="third,digits-stratified", at="metric", value="88.5", axis="whole"))
    again = well(open_page("compare", **{k: str(v) for k, v in first.query_params.items()}))
    assert (figure(again), texts(again)) == (figure(first), texts(first))
    assert again.multiselect(key="compare-runs").value == ["third", "digits-stratified"]


@pytest.mark.slow
def test_what_is_done_by_hand_wins_over_the_link_it_came_by(digits: Path) -> None:
    at = open_page(run="digits-paper", width="20")
    at = well(at.selectbox(key="pick-run").set_value("digits-stratified").run())
    assert at.query_params["run"] == "digits-stratified"
    # a message that was sent before the browser heard of the new address carries the old one
    at.query_params["run"], at.query_params["width"] = "digits-paper", "20"
    at = well(at.radio(key="pick-ask").set_value("under").run())
    assert at.query_params["run"] == "digits-stratified"
    assert at.selectbox(key="pick-run").value == "digits-stratified"
    at.query_params["run"], at.query_params["width"] = "digits-paper", "20"
    at = well(at.radio(key="download-format").set_value("pt2").run())
    assert at.query_params["run"] == "digits-stratified"


def test_back_brings_back_what_was_there(digits: Path) -> None:
    at = open_page(run="digits-paper", width="20")
    at = well(at.radio(key="pick-ask").set_value("under").run())
    assert at.query_params["ask"] == "under"
    at = well(go(at, "pick", run="digits-paper", width="20"))  # the browser's Back: an address, and no widget
    assert (slider(at)["width"], at.radio(key="pick-ask").value) == (20, "choose")
    assert "ask" not in at.query_params


@pytest.mark.slow
@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"run": "gone", "width": "3"}, "names a run that is not here: gone"),
        ({"run": "digits-paper", "width": "129"}, "a size that is not there (this network has 1 to 128 units): 129"),
        ({"run": "digits-paper", "width": "x<b>"}, "a size that is not there (this network has 1 to 128 units): x<b>"),
        ({"run": "digits-paper", "ask": "why"}, "a question that is not known: why"),
        ({"run": "digits-paper", "ask": "keep", "limit": "101"}, "a limit that can't be: 101"),
        ({"run": "digits-paper", "ask": "under", "limit": "0"}, "a limit that can't be: 0"),
        ({"run": "digits-paper", "ask": "lose", "limit": "-1"}, "a limit that can't be: -1"),
        ({"run": "digits-paper", "ask": "time", "limit": "0"}, "a limit that can't be: 0"),
        ({"run": "digits-paper", "ask": "under", "limit": "nan"}, "a limit that can't be: nan"),
    ],
)
def test_a_broken_part_of_a_link_is_said(digits: Path, query: dict[str, str], said: str) -> None:
    at = well(open_page(**query))
    assert len(at.info) == 1
    assert said in texts(at)
    assert at.radio(key="pick-ask").value == "choose"


@given(st.text(max_size=12) | NUMBERS, st.integers(0, 50), st.integers(0, 50))
def test_numbers_in_links_are_in_range_or_nothing(text: str, low: int, more: int) -> None:
    whole, number = url_state.whole(text, low, low + more), url_state.number(text, low, low + more)
    assert whole is None or (low <= whole <= low + more and int(text) == whole)
    assert number is None or low <= number <= low + more
    assert whole is None or number == whole


@pytest.mark.parametrize(
    ("page", "query", "said"),
    [
        ("pick", {"limit": "abc"}, "has a limit without the question that it belongs to: abc (ignored)"),
        ("pick", {"ask": "under", "limit": "abc"}, "asks for a limit that can't be: abc (ignored)"),
        ("pick", {"ask": "under", "limit": "100,5"}, "asks for a limit that can't be: 100,5 (ignored)"),
        ("pick", {"ask": "under", "limit": "9", "unit": "TB"}, "has a unit that does not belong to its limit: TB"),
        ("pick", {"run": "nope"}, "names a run that is not here: nope (ignored)"),
        ("pick", {"format": "exe"}, "asks for a format that this network can't be had in: exe (ignored)"),
        ("pick", {"axis": "x"}, "asks for an axis that is not known: x (ignored)"),
        ("pick", {"sort": "1", "a": ""}, "has parts that mean nothing on this page: a, sort (ignored)"),
        ("compare", {"value": "7"}, "has a figure without what it belongs to: 7 (ignored)"),
        ("compare", {"axis": "x"}, "asks for an axis that is not known: x (ignored)"),
        ("compare", {"width": "7"}, "has parts that mean nothing on this page: width (ignored)"),
        ("runs", {"width": "7"}, "has parts that mean nothing on this page: width (ignored)"),
    ],
)
def test_every_part_of_a_link_is_followed_or_said_to_be_ignored(
    digits: Path, page: str, query: dict[str, str], said: str
) -> None:
    assert said in texts(well(open_page(page, **query)))
