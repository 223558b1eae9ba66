from __future__ import annotations

import contextlib
import io
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from core.__main__ import main


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Small models are faster so, and processes beside each other much faster."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


SAMPLES = Path(__file__).parents[2] / "sample_checkpoints"


@dataclass
class Answer:
    status: int
    out: str
    err: str


@pytest.fixture(scope="session")
def core():
    """The command line in this process: `core("show", folder)`."""

    def run(*arguments: object) -> Answer:
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = main([str(argument) for argument in arguments])
        return Answer(status, out.getvalue(), err.getvalue())

    return run


@pytest.fixture(scope="session")
def refused(core):
    """The one line that tells a mistake; nothing else may be said, and the status is 2."""

    def run(*arguments: object) -> str:
        answer = core(*arguments)
        assert answer.status == 2, answer
        assert answer.out == ""
        assert answer.err.count("\n") == 1
        assert answer.err.startswith("error: ")
        assert len(answer.err) < 500
        return answer.err

    return run


@pytest.fixture
def sample(tmp_path):
    """A sample run that a test may damage."""
    return Path(shutil.copytree(SAMPLES / "digits-stratified", tmp_path / "runs" / "digits"))
