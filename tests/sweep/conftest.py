"""One thread, and one small run that every test may copy."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from core import Run
from tests.helpers.training import small_data, small_family, small_run


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Path:
    """Folder of a run that was never swept."""
    return small_run(tmp_path_factory.mktemp("sweep") / "run").path


@pytest.fixture
def run(trained, tmp_path) -> Run:
    """A copy of it, as right after its training."""
    shutil.copytree(trained, tmp_path / "run")
    copy = Run(tmp_path / "run")
    copy.family, copy.dataset = small_family(), small_data()
    return copy
