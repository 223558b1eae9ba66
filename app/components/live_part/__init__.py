"""Texts and pictures that follow the slider in the browser: the content for every size is sent once.

A message from the server makes Streamlit redraw all elements of the page several times, which takes longer than the
server's own work, so content known beforehand is left to the browser.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import streamlit as st

from app.words import joined

_FOLDER = Path(__file__).parent


class Line(NamedTuple):
    """A paragraph of plain text: how it looks (`heading`, `text`, `small`, `note`), and its bold beginning."""

    look: str
    text: str
    bold: str


CARDS = Line("cards", "", "")  # where the cards stand


def line(look: str, text: str, bold: str = "") -> Line:
    """A paragraph in which a number and its unit stay on one line."""
    return Line(look, joined(text), joined(bold))


@dataclass(frozen=True, kw_only=True)
class Card:
    """A picture with its lines for each possible prediction, and whether that is wrong."""

    image: str  # an address
    alt: str
    says: dict[str, tuple[list[str], bool]]


def live_part(
    run: str,
    widths: Sequence[int],
    lines: Sequence[Sequence[Line]],
    width: int,
    *,
    cards: Sequence[Card] = (),
    answers: Sequence[Sequence[str]] = (),
    read_out: bool = False,
    key: str,
) -> None:
    """Show the `lines` of the size that the slider of `run` is on, at first of `width`.

    There are lines for each of `widths`, and in `answers` what each size answers to each of the `cards`. With
    `read_out` a screen reader announces the change after the slider is released.
    """
    shown: list[dict[str, Any]] = [asdict(card) for card in cards]
    data = {
        "run": run, "widths": widths, "lines": lines, "width": width, "cards": shown, "answers": answers,
        "readOut": read_out,
    }  # fmt: skip
    css, js = _text("component.css"), _text("component.js")
    html = '<div class="live-part"></div>'
    st.components.v2.component("live_part", html=html, css=css, js=js, isolate_styles=False)(data=data, key=key)


@lru_cache(maxsize=2)
def _text(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")
