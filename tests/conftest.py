"""Settings of every test: hypothesis profiles, groups for parallel workers, one thread, one random state."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
from hypothesis import settings

# `make check` takes the profile dev, `make test` takes ci; a machine's pace decides nothing in either
settings.register_profile("dev", deadline=None, max_examples=30)
settings.register_profile("ci", deadline=None, max_examples=100, print_blob=True)
settings.load_profile("dev")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of a file on one worker, since they share what the file's fixtures have trained or started."""
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            name = item.nodeid.partition("::")[0].removeprefix("tests/").removesuffix(".py")
            item.add_marker(pytest.mark.xdist_group(name))


@pytest.fixture(autouse=True)
def one_thread_and_seed() -> Iterator[None]:
    """Fix threads and seed where torch is loaded: on one thread small models are faster, and results equal to the bit.

    Does not import torch, so that a test can find that nothing else did.
    """
    torch = sys.modules.get("torch")
    if torch is None:
        yield
        return
    torch.manual_seed(0)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
