"""The explorer's router, which `app/server.py` serves. A page is a file beside this one with a `page` function."""

import sys
from pathlib import Path

import streamlit as st

HERE = Path(__file__).resolve().parent
if str(HERE.parent) not in sys.path:  # Streamlit puts this folder on the path, not the project's
    sys.path.insert(0, str(HERE.parent))

from app import url_state  # noqa: E402
from app.compare import page as compare_page  # noqa: E402
from app.components.theme import theme  # noqa: E402
from app.help import page as help_page  # noqa: E402
from app.my_runs import page as my_runs_page  # noqa: E402
from app.pick import page as pick_page  # noqa: E402
from app.widgets.notices import guarded  # noqa: E402

# An icon of our own: for one by name, every visitor's browser would ask a font server on the internet.
st.set_page_config(page_title="One training, every size", page_icon=str(HERE / "icon.svg"), layout="centered")
theme()
pages = {
    "pick": st.Page(
        guarded(pick_page.page), title="Pick a size", icon=":material/tune:", url_path="pick", default=True
    ),
    "compare": st.Page(
        guarded(compare_page.page), title="Compare runs", icon=":material/compare_arrows:", url_path="compare"
    ),
    "runs": st.Page(guarded(my_runs_page.page), title="My runs", icon=":material/folder_open:", url_path="runs"),
    "help": st.Page(guarded(help_page.page), title="Help", icon=":material/help:", url_path="help"),
}
st.session_state[url_state.PAGES] = pages
st.navigation(list(pages.values()), position="top").run()
