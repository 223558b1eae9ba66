"""One whole run that every test may copy, and a way to break a copy."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from core import RunStore
from core.utils.parquet import write_table
from tests.helpers.training import small_run


@pytest.fixture(scope="session")
def whole(tmp_path_factory) -> Path:
    """Folder of a run with every file that a run can have."""
    run = small_run(tmp_path_factory.mktemp("store") / "whole", swept=True)
    times = {"threads": 1, "batch": 1, "median_ms": 0.5, "p25_ms": 0.4, "p75_ms": 0.6, "repeats": 9}
    frame = pd.DataFrame([{"machine": "a machine", "width": width, **times} for width in (1, 8)])
    write_table(run.path / "latency.parquet", frame, {"weights": run.record.weights_sha256, "machines": ["a machine"]})
    return run.path


@pytest.fixture
def store(tmp_path) -> RunStore:
    (tmp_path / "store").mkdir()
    return RunStore(tmp_path / "store")


@pytest.fixture
def put(whole, store) -> Callable[..., Path]:
    """Copy the whole run into the store under a name."""

    def copy(name: str) -> Path:
        shutil.copytree(whole, store.folder / name)
        return store.folder / name

    return copy
