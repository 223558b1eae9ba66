"""The router: a page is one function and one line, and every page's address opens it."""

from __future__ import annotations

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from tests.helpers.app import ROOT, open_page, well


def with_a_page_from_outside() -> None:
    import streamlit as st

    from app.main import PAGES, Entry, run

    run({"outside": Entry(lambda: st.title("From outside"), "Outside", "star"), **PAGES})


def test_a_page_is_a_function_and_a_line(digits: Path) -> None:
    assert well(AppTest.from_function(with_a_page_from_outside).run(timeout=60)).title[0].value == "From outside"


@pytest.mark.parametrize(("name", "title"), [("pick", "Pick a size"), ("runs", "My runs"), ("help", "Help")])
def test_every_page_opens_at_its_address(digits: Path, name: str, title: str) -> None:
    assert well(open_page(name)).title[0].value == title


def test_the_address_of_the_first_page_leads_to_it(digits: Path) -> None:
    at = AppTest.from_file(str(ROOT / "app" / "main.py"), default_timeout=60).run()
    by_path = {str(info["url_pathname"]): key for key, info in at._registered_pages.items()}
    at._page_hash = by_path["pick"]
    at.query_params["run"] = "digits-paper"
    assert well(at.run()).title[0].value == "Pick a size"
    assert at.selectbox(key="pick-run").value == "digits-paper"
