"""How many examples a property is tried on: all of them in `make test`, a fifth in `make check`."""

from __future__ import annotations

from typing import Any

from hypothesis import settings


def tries(count: int, **others: Any) -> settings:
    """Return settings with `count` examples under the profile ci, and a fifth of them, at least ten, under dev."""
    dev = settings.get_current_profile_name() == "dev"
    return settings(max_examples=min(count, max(10, count // 5)) if dev else count, **others)
