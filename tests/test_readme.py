"""The READMEs' programs and commands run, and the files and names that they mention exist."""

from __future__ import annotations

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
from core.cli import app
from core.data.sources.registry import SOURCES
from core.elastic.recipes.registry import RECIPES
from core.export.formats import FORMATS
from core.export.program import run_onnx
from core.models.registry import MODELS
from core.runs.file_names import KEPT
from core.tasks.registry import TASKS
from tests.helpers.sources import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
TEXTS = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for path in [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(ROOT.glob("[abc]*/**/README.md"))]
}


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def run_program(text: str, folder: Path) -> str:
    """Run a program in a folder of its own and return what it prints."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    answer = subprocess.run([sys.executable, "-c", text], cwd=folder, env=env, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


@pytest.mark.slow
def test_library_use_is_short_and_runs(tmp_path):
    (text,) = blocks(README, "python")
    assert len(text.splitlines()) < 15
    assert "from core import Family, export, sweep, train" in text
    assert run_program(text, tmp_path).split()[:3] == ["width", "params", "accuracy"]
    run = Run(tmp_path / "runs/mine")
    full = run.metrics().iloc[-1]
    assert full["width"] == 64
    assert full["accuracy"] > 0.9
    examples = run.examples()
    classes = run_onnx((tmp_path / "small.onnx").read_bytes(), examples["x"]).argmax(1)
    assert np.array_equal(classes, run.predictions(8)["w8"].to_numpy()[examples["index"]])


@pytest.mark.slow
def test_a_model_of_ones_own_runs(tmp_path):
    (text,) = blocks(TEXTS["core/README.md"], "python")
    run_program(text, tmp_path)
    metrics = Run(tmp_path / "runs/residual").metrics()
    assert list(metrics["width"]) == list(range(1, 17))
    assert metrics["accuracy"].iloc[-1] > 0.6


@pytest.mark.slow
def test_commands_run(tmp_path, monkeypatch, capsys):
    (text,) = blocks(README, "bash")
    lines = text.splitlines()
    assert [shlex.split(line)[:4][3] for line in lines] == ["train", "sweep", "show", "export", "export", "list"]
    monkeypatch.chdir(tmp_path)
    for line in lines:
        words = shlex.split(line)
        assert words[:3] == ["python", "-m", "core"]
        assert main(words[3:]) == 0, line
    assert (tmp_path / "small.onnx").stat().st_size > 1000
    assert (tmp_path / "smaller.onnx").stat().st_size > 1000
    out = capsys.readouterr().out
    assert "\ndigits: digits, stratified, 128 units, 106 kB, " in out


@pytest.mark.parametrize("target", sorted(set(re.findall(r"(?:`|^    |=runs )make (\w+)", README, re.MULTILINE))))
def test_make_targets_are_there(target):
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize("name", TEXTS)
def test_files_that_are_named_exist(name):
    named = re.findall(r"`((?:core|app|benchmarks|tests)/[\w/.]*)`", TEXTS[name])
    linked = re.findall(r"\]\(([^)#:]+)\)", TEXTS[name])
    missing = [path for path in named if not (ROOT / path).exists()]
    missing += [link for link in linked if not ((ROOT / name).parent / link).exists()]
    assert missing == []


def test_where_to_add_names_the_tables():
    rows = re.findall(r"\| `([A-Z]+)`, `([\w/.]+)` \|", README)
    assert [table for table, _ in rows] == ["MODELS", "SOURCES", "RECIPES", "TASKS", "FORMATS", "PAGES"]
    for table, path in rows:
        assert re.search(rf"^{table}\b", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE), table


@pytest.mark.parametrize(
    ("name", "entries"),
    [
        ("core/models/README.md", MODELS),
        ("core/data/README.md", SOURCES),
        ("core/elastic/README.md", RECIPES),
        ("core/tasks/README.md", TASKS),
        ("core/export/README.md", FORMATS),
        ("core/runs/README.md", KEPT),
        ("core/cli/README.md", [command.name for command in app.registered_commands]),
    ],
)
def test_what_a_package_lists_is_there(name, entries):
    """The other way round, adding an entry would need a second place."""
    listed = re.findall(r"^\| ((?:`[\w:.<> -]+`(?:, )?)+) \|", TEXTS[name], re.MULTILINE)
    names = [entry for cell in listed for entry in re.findall(r"`([^`]+)`", cell)]
    files = {entry for entry in names if entry.endswith((".py", "/"))}
    assert names
    assert set(names) - files <= set(entries)


def test_the_readme_is_short():
    words = [word for word in README.split() if word.strip("|-")]
    assert len(words) <= 1_100
    assert [line for line in README.splitlines() if len(line) > 120 and not line.startswith(("!", "|"))] == []
