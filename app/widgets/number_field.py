"""A field for a figure that is asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from app.widgets.limits import Field


def number_field(
    label: str,
    entry: Field,
    value: float,
    *,
    key: str,
    on_change: Callable[..., None],
    args: tuple[Any, ...] = (),
    help: str | None = None,
) -> float:
    """Draw the field with the figure nearest to `value` that it takes in it, and give that figure."""
    st.session_state[key] = entry.clip(value)
    st.number_input(
        label,
        value=None,  # so that an emptied field comes as None and not as the lowest figure
        min_value=entry.low,
        max_value=entry.high,
        step=entry.step,
        format="%g",
        key=key,
        help=help,
        on_change=on_change,
        args=args,
        width=260,
    )
    return float(st.session_state[key])
