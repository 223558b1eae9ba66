"""The table of schemes by bits, and `scheme`, which finds one.

To add a scheme: a file in this folder with a `Scheme`, and its line in `SCHEMES`.
"""

from __future__ import annotations

from core.errors import UserError
from core.precision.base import Scheme
from core.precision.schemes import constant, float16, int2, int3, int4, int8

SCHEMES: dict[int, Scheme] = {s.bits: s for s in (float16.SCHEME, int8.SCHEME, int4.SCHEME, int3.SCHEME, int2.SCHEME)}
STORED: dict[str, Scheme] = {s.name: s for s in (*SCHEMES.values(), constant.SCHEME)}


def scheme(bits: int) -> Scheme:
    """Return the scheme of so many bits. Raises UserError where there is none."""
    if isinstance(bits, bool) or not isinstance(bits, int) or bits not in SCHEMES:
        raise UserError(f"bits is {bits!r}; choose one of {', '.join(map(str, SCHEMES))}, or none for float32")
    return SCHEMES[bits]
