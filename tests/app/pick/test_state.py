"""What a visitor did in one message: a pick is told late, so whatever else comes with it was done after it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import streamlit as st
from hypothesis import given
from hypothesis import strategies as some

from app import url_state
from app.pick import state as pick_state
from app.pick.state import CHOOSE, KEEP, UNDER

RUN = "digits"


@pytest.fixture
def state(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """One visitor's session, in which the slider was let go of at 30 and a question is asked."""
    found: dict[str, Any] = {pick_state.released(RUN): SimpleNamespace(picked={"width": 30, "number": 7})}
    monkeypatch.setattr(st, "session_state", found)
    pick_state.kept().ask = UNDER
    return found


def pick() -> None:
    pick_state.picked(RUN)


def preset() -> None:
    pick_state.choose_preset(RUN, 128)


def ask() -> None:
    st.session_state["pick-ask"] = KEEP
    pick_state.ask_chosen()


def test_a_pick_ends_the_question(state: dict[str, Any]) -> None:
    pick()
    assert (pick_state.kept().widths, pick_state.kept().ask, pick_state.kept().heard) == ({RUN: 30}, CHOOSE, 7)


@pytest.mark.parametrize("order", list(itertools.permutations([pick, preset])))
def test_a_preset_in_the_same_message_counts(state: dict[str, Any], order: tuple[Callable[[], None], ...]) -> None:
    for done in order:
        done()
    assert (pick_state.kept().widths, pick_state.kept().ask, pick_state.kept().heard) == ({RUN: 128}, CHOOSE, 7)


@pytest.mark.parametrize("order", list(itertools.permutations([pick, ask])))
def test_a_question_in_the_same_message_stands(state: dict[str, Any], order: tuple[Callable[[], None], ...]) -> None:
    for done in order:
        done()
    assert (pick_state.kept().widths, pick_state.kept().ask, pick_state.kept().heard) == ({RUN: 30}, KEEP, 7)
    assert url_state.touched("pick") == {pick_state.SLIDER, "widget"}, "so that all of the page is drawn anew"


def test_a_limit_that_is_no_longer_asked_for_changes_nothing(state: dict[str, Any]) -> None:
    pick()
    pick_state.limit_chosen(SimpleNamespace(name="accuracy"), UNDER, 1.0, 9.0)  # type: ignore[arg-type]
    assert pick_state.kept().limits == {}


ODD = some.none() | some.booleans() | some.text() | some.floats(allow_nan=True) | some.lists(some.integers())


@given(picked=ODD | some.dictionaries(some.sampled_from(["width", "number", "x"]), ODD | some.just(float("inf"))))
def test_what_a_browser_sends_is_not_believed(picked: Any) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(st, "session_state", {pick_state.released(RUN): SimpleNamespace(picked=picked)})
        pick_state.kept().widths[RUN] = 3
        pick_state.picked(RUN)
        width, heard = pick_state.kept().widths[RUN], pick_state.kept().heard
        sent = picked.get("width") if isinstance(picked, dict) else None
        good = isinstance(sent, float) and abs(sent) < float("inf")
        assert width == (int(sent) if good else 3)
        assert abs(heard) < float("inf")
