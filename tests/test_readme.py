"""The README's own text is run, and what it names is there."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from core import Run
from core.__main__ import main
from core.data import SOURCES
from core.elastic.recipes.registry import RECIPES
from core.export.formats import FORMATS
from core.export.program import run_onnx
from core.runs.file_names import FILES

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


def test_library_use_is_short_and_runs(tmp_path):
    text = blocks("python")[0]
    assert len(text.splitlines()) < 15
    assert "from core import Family, sweep, train" in text
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    answer = subprocess.run([sys.executable, "-c", text], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.split()[:3] == ["width", "params", "accuracy"]
    run = Run(tmp_path / "runs/mine")
    full = run.metrics().iloc[-1]
    assert full["width"] == 64
    assert full["accuracy"] > 0.9
    examples = run.examples()
    found = run_onnx((tmp_path / "small.onnx").read_bytes(), examples["x"]).argmax(1)
    assert np.array_equal(found, run.predictions(8)["w8"].to_numpy()[examples["index"]])


def test_a_model_of_ones_own_runs(tmp_path):
    text = blocks("python")[1]
    assert len(text.partition("digits = ")[2].strip().splitlines()) == 5
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    answer = subprocess.run([sys.executable, "-c", text], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    metrics = Run(tmp_path / "runs/residual").metrics()
    assert list(metrics["width"]) == list(range(1, 17))
    assert metrics["accuracy"].iloc[-1] > 0.6


def test_commands_run(tmp_path, monkeypatch, capsys):
    (text,) = blocks("bash")
    lines = text.splitlines()
    assert [shlex.split(line)[:4][3] for line in lines] == ["train", "sweep", "show", "export", "list"]
    monkeypatch.chdir(tmp_path)
    for line in lines:
        words = shlex.split(line)
        assert words[:3] == ["python", "-m", "core"]
        quick = ["3" if before == "--epochs" else word for before, word in zip(["", *words], words, strict=False)]
        assert main(quick[3:]) == 0, line
    assert (tmp_path / "small.onnx").stat().st_size > 1000
    out = capsys.readouterr().out
    assert "\ndigits: digits, stratified, 128 units, 106 kB, " in out


@pytest.mark.parametrize("target", sorted(set(re.findall(r"(?:`|^    |=runs )make (\w+)", TEXT, re.MULTILINE))))
def test_make_targets_are_there(target):
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_what_is_named_is_there():
    for path in re.findall(r"`((?:core|app|benchmarks|tests)/[\w/.]*)", TEXT) + re.findall(r"\]\((LICENSE)\)", TEXT):
        assert (ROOT / path).exists(), path
    for table, path in re.findall(r"\| `([A-Z]+)`, `([\w/.]+)` \|", TEXT):
        assert re.search(rf"^{table}\b", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE), table
    for names in (RECIPES, FORMATS, FILES, SOURCES):
        assert all(f"`{name}`" in TEXT for name in names)
    assert [line for line in TEXT.splitlines() if len(line) > 120 and not line.startswith("!")] == []
    assert "<!-- measured -->" in TEXT.splitlines()
