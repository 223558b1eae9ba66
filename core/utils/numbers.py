"""Whole numbers of any library's type."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np


def whole_number(value: Any) -> int | None:
    """`value` as an int where it is a whole number of any type (NumPy's included), else None; a bool is none."""
    if isinstance(value, (bool, np.bool_)):
        return None
    try:
        return operator.index(value)
    except TypeError:
        return None
