"""A store of its own for every test of the explorer."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.store import VARIABLE
from tests.helpers_app import DIGITS, copy_run


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty store, and the explorer opened on it."""
    folder = tmp_path / "store"
    folder.mkdir()
    monkeypatch.setenv(VARIABLE, str(folder))
    return folder


@pytest.fixture
def digits(store: Path) -> Path:
    """A store with the two sample runs on digits."""
    for name in DIGITS:
        copy_run(store, name)
    return store
