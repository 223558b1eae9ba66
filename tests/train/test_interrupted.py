"""Ctrl-C and a polite kill, sent to the real command line."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from core import Run, models, train
from core.data import load
from core.elastic.recipes.registry import recipe
from tests.helpers.training import left_in, weights_of

REPOSITORY = Path(__file__).resolve().parents[2]
EPOCHS = 80  # for some seconds: a signal must find it at work


def command(out: Path, *more: str) -> subprocess.Popen[str]:
    line = f"train --data digits --hidden 8 --layers 2 --recipe sandwich --epochs {EPOCHS} --seed 3 --device cpu --out"
    return subprocess.Popen(
        [sys.executable, "-m", "core", *line.split(), str(out), *more],
        cwd=REPOSITORY, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, bufsize=1,
    )  # fmt: skip


def until_it_trains(process: subprocess.Popen[str]) -> None:
    """Read the progress bar until some steps are done."""
    seen = ""
    assert process.stderr is not None
    while not re.search(r"\| [1-9][0-9]*/[0-9]+ \[", seen):
        letter = process.stderr.read(1)
        assert letter, f"the training ended first: {seen}"
        seen += letter


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_on_request(tmp_path, number):
    out = tmp_path / "runs" / "digits"
    with command(out) as process:
        until_it_trains(process)
        process.send_signal(number)
        _, told = process.communicate()
    assert process.returncode == 130
    assert "Traceback" not in told
    assert re.fullmatch(r"stopped after \d+ of \d+ steps.*--resume.*", told.splitlines()[-1])
    assert left_in(out.parent) == ["digits.unfinished"]
    if number == signal.SIGINT:  # and then to its end
        with command(out, "--resume", "--quiet") as process:
            shown, told = process.communicate()
        assert (process.returncode, told) == (0, "")
        assert "units" in shown
        assert left_in(out.parent) == ["digits"]
        data = load("digits")
        family = models.family("mlp", inputs=64, outputs=10, hidden=8, layers=2, lower=1, each_layer=False)
        settings = {"recipe": recipe("sandwich", epochs=EPOCHS), "seed": 3, "device": "cpu", "progress": False}
        assert weights_of(train(family, data, out=tmp_path / "whole", **settings)) == weights_of(Run(out))
