"""The explorer's router: `streamlit run app/main.py`. A page is a file beside this one with a `page` function."""

import sys
from pathlib import Path

import streamlit as st

ROOT = str(Path(__file__).resolve().parents[1])
if ROOT not in sys.path:  # Streamlit puts this folder on the path, not the project's
    sys.path.insert(0, ROOT)

from app import compare, pick  # noqa: E402 (after the path)

st.set_page_config(page_title="One training, every size", page_icon=":material/tune:", layout="centered")
st.html("<style>.stMainBlockContainer { padding-top: 4.5rem; }</style>")  # less empty space above the title
st.navigation(
    [
        st.Page(pick.page, title="Pick a size", icon=":material/tune:", url_path="pick", default=True),
        st.Page(compare.page, title="Compare runs", icon=":material/compare_arrows:", url_path="compare"),
    ],
    position="top",
).run()
