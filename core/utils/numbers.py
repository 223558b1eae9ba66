"""Whole numbers of any library's type."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from core.errors import UserError


def whole_number(value: Any) -> int | None:
    """`value` as an int where it is a whole number of any type (NumPy's included), else None; a bool is none."""
    if isinstance(value, (bool, np.bool_)):
        return None
    try:
        return operator.index(value)
    except TypeError:
        return None


def checked_setting(setting: str, value: Any, kind: type, low: float, high: float) -> int | float | bool:
    """Return the value of a setting as `kind` (bool, int or float).

    Raises UserError where it is of another kind or outside low to high.
    """
    if kind is bool:
        if isinstance(value, (bool, np.bool_)):
            return bool(value)
        raise UserError(f"{setting} is {value!r}; choose True or False")
    number: int | float | None = whole_number(value)
    if kind is int:
        if number is not None and low <= number <= high:
            return number
        raise UserError(f"{setting} is {value!r}; choose a whole number from {low} to {high}")
    if isinstance(value, (float, np.floating)):
        number = float(value)
    if number is None or not low <= number <= high:
        raise UserError(f"{setting} is {value!r}; choose {low:g} to {high:g}")
    return float(number)
