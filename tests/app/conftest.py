"""A store of its own for every test of the explorer."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from app.store.cache import VARIABLE
from tests.helpers.app import DIGITS, copy_run
from tests.helpers.app_runs import batch_norm_family, classes_run, numbers_run, picture_run


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


@pytest.fixture(scope="session")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A run of each kind by name, trained where it is first asked for."""
    folder = tmp_path_factory.mktemp("kinds")
    make: dict[str, Callable[[Path], Path]] = {
        "numbers": lambda out: numbers_run(out, size=150.0),
        "small-numbers": lambda out: numbers_run(out, outputs=2, size=1e-4, columns=False),
        "picture": picture_run,
        "grey": lambda out: classes_run(out, (9, 7), "image"),
        "colours": lambda out: classes_run(out, (3, 9, 7), "image"),
        "array": lambda out: classes_run(out, (4,), "array"),
        "points": lambda out: classes_run(out, (30, 3), "points"),
        "batch-norm": lambda out: classes_run(out, (1, 8, 8), "image", batch_norm_family()),
    }
    return lambda name: folder / name if (folder / name).is_dir() else make[name](folder / name)


@pytest.fixture
def place(store: Path, kinds: Callable[[str], Path]) -> Callable[..., Path]:
    """Put a run of a kind into the test's store: `place("picture")`."""
    return lambda kind, name=None: shutil.copytree(kinds(kind), store / (name or kind))
