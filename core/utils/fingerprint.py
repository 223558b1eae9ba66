"""SHA-256 of named arrays: the identity of weights, whichever file holds them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np


def fingerprint(arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256 in hex over names, types, shapes and bytes; the order of the mapping does not matter."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        add_array(digest, name, arrays[name])
    return digest.hexdigest()


def add_array(digest: Any, name: str, value: np.ndarray) -> None:
    """Update a hashlib digest with one array; in sorted order of names the result is that of `fingerprint`."""
    array = np.ascontiguousarray(value)
    digest.update(f"{name} {array.dtype} {array.shape}\n".encode())
    digest.update(array.data)
