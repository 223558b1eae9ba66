"""The button that downloads the file of the size that the slider is on.

The file comes from an address of its own (`app.store.downloads`), so a click runs nothing of the page, and the file is
the one named on the button, whichever size the server was told of last.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlencode

import streamlit as st

PATH = "model-file"  # beside the page's own address

_FOLDER = Path(__file__).parent


def address(run: str, format: str, *, alone: bool) -> str:
    """Where the files of a run are asked for, but for `&width=`; `alone` for sizes as trained on by themselves."""
    return f"{PATH}?{urlencode({'run': run, 'format': format, 'alone': int(alone)})}"


def take_file(
    run: str,
    widths: Sequence[int],
    labels: Sequence[str],
    said: Sequence[str],
    width: int,
    address: str,
    *,
    key: str,
) -> None:
    """Show the button with the label of the size that the slider of `run` is on, at first of `width`, over its `said`.

    A label and a sentence for each of `widths`. The file comes from `address`.
    """
    data = {
        "run": run, "widths": widths, "labels": labels, "said": said, "width": width, "address": address
    }  # fmt: skip
    html, css, js = (_text(f"component.{kind}") for kind in ("html", "css", "js"))
    st.components.v2.component("take_file", html=html, css=css, js=js)(data=data, key=key)


@lru_cache(maxsize=3)
def _text(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")
