"""The page's address as its state: each page writes what it shows into the query, and opens what a query asks for.

Anyone may have typed an address, so every value is checked by the functions here before it is used.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from urllib.parse import urlencode, urlsplit, urlunsplit

import streamlit as st

from app.words import safe

PAGES = "pages"  # where the router leaves the pages for `to`
LONGEST = 60  # of what a notice repeats from an address


def followed(page: str) -> dict[str, str]:
    """Return the query that the visitor brought (by a link, Back, Forward); empty where the page wrote it itself.

    A message that a widget sends may carry the address of one change ago, so it never counts (`touch`).
    """
    state = st.session_state
    by_hand, known = bool(state.pop(f"{page}-touched", None)), state.get(f"{page}-link")
    query = {name: str(value) for name, value in st.query_params.to_dict().items()}
    if known is not None and (by_hand or query == known):
        return {}
    state[f"{page}-link"] = query  # followed once, also where the page can't show what it asks for
    return query


def touch(page: str, what: str = "widget") -> frozenset[str]:
    """Note in a widget's callback that the visitor changed something by hand; return earlier changes of this message.

    Changes made in quick succession may arrive in one message, in any order.
    """
    earlier = touched(page)
    st.session_state[f"{page}-touched"] = earlier | {what}
    return earlier


def touched(page: str) -> frozenset[str]:
    """Return what this message brought that was changed by hand."""
    found: frozenset[str] = st.session_state.get(f"{page}-touched", frozenset())
    return found


def shown(page: str) -> None:
    """Mark changes by hand as shown, in a fragment whose state is not part of the address."""
    st.session_state.pop(f"{page}-touched", None)


def write(page: str, wanted: Mapping[str, str]) -> None:
    """Write the page's state into the address, which also ends the note of changes by hand."""
    shown(page)
    st.session_state[f"{page}-link"] = dict(wanted)
    if st.query_params.to_dict() != wanted:
        st.query_params.from_dict(wanted)


def address(query: Mapping[str, str]) -> str:
    """Return the full address of a query, to be copied; a relative one where the server's own address is not known."""
    own = urlsplit(st.context.url or "")
    return urlunsplit((own.scheme, own.netloc, own.path or "/", urlencode(query), ""))


def to(page: str, label: str, query: Mapping[str, str] | None = None) -> None:
    """Draw a link to another page; the visitor's choices there stay, apart from those in `query`."""
    target = st.session_state[PAGES][page]
    st.page_link(target, label=label, icon=target.icon, query_params=dict(query or {}))


def lead_to(page: str) -> None:
    """Open another page in place of this one, with the query of the address."""
    st.switch_page(st.session_state[PAGES][page], query_params=st.query_params.to_dict())


def whole(text: str, low: int, high: int) -> int | None:
    """A whole number from `low` to `high`, or None."""
    if not (text.isascii() and text.isdecimal() and len(text) < 19):
        return None
    return int(text) if low <= int(text) <= high else None


def number(text: str, low: float, high: float) -> float | None:
    """A finite number from `low` to `high`, or None."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and low <= value <= high else None


def broken(what: str, came: str, *, ignored: bool = True) -> None:
    """Say which part of a link can't be followed, and that it was `ignored`. `came` is shown as text."""
    short = came if len(came) <= LONGEST else came[:LONGEST] + "…"
    st.info(f"The link {what}: {safe(short)}{' (ignored)' if ignored else ''}", icon=":material/link_off:")


def unknown(link: Mapping[str, str], known: Iterable[str]) -> None:
    """Say which names in a link mean nothing on this page."""
    if strange := sorted(set(link) - set(known)):
        broken("has parts that mean nothing on this page", ", ".join(strange))
