"""The explorer's router, served by `app/server.py`. A page is a folder with a `page` function and a line in `PAGES`."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

HERE = Path(__file__).resolve().parent
if str(HERE.parent) not in sys.path:  # Streamlit puts this folder on the path, not the project's
    sys.path.insert(0, str(HERE.parent))

from app import url_state  # noqa: E402
from app.compare import page as compare  # noqa: E402
from app.components.theme import theme  # noqa: E402
from app.help import page as help_page  # noqa: E402
from app.my_runs import page as my_runs  # noqa: E402
from app.pick import page as pick  # noqa: E402
from app.widgets.notices import guarded  # noqa: E402


@dataclass(frozen=True)
class Entry:
    """A page in the menu: the function that draws it, its title, and its icon (a name of Material Symbols)."""

    page: Callable[[], None]
    title: str
    icon: str


PAGES: dict[str, Entry] = {  # by address; the first one opens at "/"
    "pick": Entry(pick.page, "Pick a size", "tune"),
    "compare": Entry(compare.page, "Compare runs", "compare_arrows"),
    "runs": Entry(my_runs.page, "My runs", "folder_open"),
    "help": Entry(help_page.page, "Help", "help"),
}


def run(pages: Mapping[str, Entry] = PAGES) -> None:
    """Draw the page that the address names, under a menu of all of them."""
    # An icon of our own: for one by name, every visitor's browser would ask a font server on the internet.
    st.set_page_config(page_title="One training, every size", page_icon=str(HERE / "icon.svg"), layout="centered")
    theme()
    first = next(iter(pages))
    shown = {
        name: st.Page(
            guarded(entry.page),
            title=entry.title,
            icon=f":material/{entry.icon}:",
            url_path="first" if name == first else name,
            default=name == first,
        )
        for name, entry in pages.items()
    }
    st.session_state[url_state.PAGES] = shown
    # Streamlit serves the default page at "/" alone, so its own address gets a hidden page that leads there.
    named = st.Page(lambda: url_state.lead_to(first), title=pages[first].title, url_path=first, visibility="hidden")
    st.navigation([*shown.values(), named], position="top").run()


if __name__ == "__main__":
    run()
