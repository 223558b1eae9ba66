"""Numbers as people write them, read or refused, and written so that they are read back. No Streamlit here."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from core.errors import UserError

LONGEST = 40  # characters of a typed figure that are read, and that a message repeats
SIGNIFICANT = 12  # digits of a figure that is shown
SPACE = "[ \u00a0\u2007\u2009\u202f]"  # plain, no-break, figure, thin and narrow no-break space
APOSTROPHE = "['\u2019]"
NUMBER = re.compile(r"[+\-]?\d*[.,]?\d*(?:e[+\-]?\d{1,3})?", re.IGNORECASE | re.ASCII)
FIGURE = re.compile(
    r"(?P<figure>[+\-\d.,'\u2019 ]*\d[.,]?(?:e[+\-]?\d+)?) ?(?P<unit>[^\d.,].*)?", re.IGNORECASE | re.ASCII
)


def read_number(text: str, units: Mapping[str, float] | None = None) -> float:
    """Read a typed figure in the field's unit: `100,5`, `100.5 kB`, `1 234,5`, `1,234.5`, `2e3`.

    A comma or a point is the decimal mark. Spaces, apostrophes, commas and points separate thousands where they stand
    between groups of three digits. `1,234` and `1.234` are refused, since they may mean either.

    Parameters
    ----------
    text : str
        What was typed.
    units : Mapping[str, float], optional
        Units that may follow the figure, in any case, each as a multiple of the field's own unit.

    Returns
    -------
    float
        A finite number.

    Raises
    ------
    UserError
        In one sentence, where the text is no number, may be two numbers, or has another unit.
    """
    shown = text.strip()
    if len(shown) > LONGEST:
        raise UserError(f"{shown[:LONGEST]!r}… is too long for a number; write a figure such as 100.5")
    match = FIGURE.fullmatch(re.sub(SPACE, " ", shown).replace("\u2212", "-"))
    if match is None:
        raise UserError(f"{shown!r} is not a number; write a figure such as 100.5")
    known = {name.casefold(): factor for name, factor in (units or {}).items()}
    unit = (match["unit"] or "").strip()
    if unit and unit.casefold() not in known:
        allowed = f"; the unit may be {', '.join(units)}" if units else ""
        raise UserError(f"{shown!r} has a unit or a sign that can't be read here{allowed}")
    value = _value(match["figure"].strip(), shown) * known.get(unit.casefold(), 1.0)
    if not math.isfinite(value):
        raise UserError(f"{shown!r} is too large for a number")
    return float(f"{value:.{SIGNIFICANT}g}") if unit else value


def write_number(value: float) -> str:
    """Write a figure with a decimal point, so that `read_number` gives it back: `1.5`, `1000`, `1.2340`."""
    text = f"{value:.{SIGNIFICANT}g}"
    return f"{text}0" if _may_be_two(text) else text


def _value(figure: str, shown: str) -> float:
    """The figure without its unit; `shown` is what a message repeats."""
    if _may_be_two(figure):
        digits = re.sub(r"[.,]", "", figure)
        decimal = figure.replace(",", ".")
        raise UserError(f"{shown!r} may be {digits} or {decimal}; write {digits}, or {decimal}0 with one more digit")
    for thousands, decimal in ((",", r"\."), (r"\.", ","), (" ", "[.,]"), (APOSTROPHE, "[.,]")):
        if re.fullmatch(rf"[+\-]?[1-9]\d{{0,2}}(?:{thousands}\d{{3}})+(?:{decimal}\d*)?", figure):
            figure = re.sub(thousands, "", figure)
            break
    if not NUMBER.fullmatch(figure) or not re.search(r"\d", figure.lower().split("e")[0]):
        raise UserError(f"{shown!r} is not a number; write a figure such as 100.5")
    return float(figure.replace(",", "."))


def _may_be_two(figure: str) -> bool:
    """Whether the only comma or point may separate thousands as well as decimals, as in `1,234` and `12.500`."""
    return re.fullmatch(r"[+\-]?[1-9]\d{0,2}[.,]\d{3}", figure) is not None
