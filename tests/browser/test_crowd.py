"""Several people at once: each sees what they picked themselves, and nothing of another's."""

from __future__ import annotations

from playwright.sync_api import Browser

from tests.helpers.crowd import crowd


def test_six_people_pick_at_once_and_none_sees_another_s_choice(browser: Browser, server: str) -> None:
    people, picks = 6, 5
    found = crowd(browser, server, "digits-paper", people, picks=picks)
    assert found["errors"] == []
    assert found["wrong"] == []
    assert len(found["settle_ms"]) == people * picks
