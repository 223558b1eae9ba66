"""Every test starts from the same random state and one thread: small models are faster so, and bits are the same."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def one_thread_and_seed() -> Iterator[None]:
    """Only where torch is there by now: a test of what imports none must find none."""
    torch = sys.modules.get("torch")
    if torch is None:
        yield
        return
    torch.manual_seed(0)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
