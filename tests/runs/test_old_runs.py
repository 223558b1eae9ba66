"""Runs, stores and checkpoints of earlier versions are read as they are, or refused in one sentence."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from core import Run, RunError, RunStore, models, train
from core.data import load
from core.elastic.recipes.registry import recipe
from core.elastic.subnet import load as load_model
from core.runs.store import BrokenRun, check_whole
from core.sweep.report import reply, run_line, size_table
from tests.helpers.store import edit

TESTS = Path(__file__).resolve().parents[1]
SAMPLES = TESTS.parent / "sample_checkpoints"
UNFINISHED = TESTS.parent / "sample_checkpoints" / ".fixtures"  # binary files lie there alone
NAMES = sorted(path.name for path in SAMPLES.iterdir() if path.is_dir() and path != UNFINISHED)
SAME = 1e-3  # of the largest score; another processor rounds otherwise


def test_the_sample_runs_are_those_of_before() -> None:
    """They stand for every run that people have: a change that can't read them any more is seen here."""
    lines = (TESTS / "fixtures" / "sample_runs.sha256").read_text().splitlines()
    pinned = dict(line.split("  ", 1)[::-1] for line in lines)
    files = {str(p.relative_to(SAMPLES)): p for name in NAMES for p in (SAMPLES / name).iterdir() if p.is_file()}
    sums = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}
    changed = sorted(name for name in sums.keys() | pinned.keys() if sums.get(name) != pinned.get(name))
    assert not changed, (
        "before sample runs are trained anew, copy the old ones to sample_checkpoints/.fixtures and let this file "
        f"read those; changed are {changed}"
    )


def test_a_store_of_before_lists_every_run() -> None:
    runs = list(RunStore(SAMPLES).list())
    assert [run.id for run in runs] == NAMES
    assert not [run for run in runs if isinstance(run, BrokenRun)]


@pytest.mark.parametrize("name", NAMES)
def test_a_run_of_before_opens_and_shows_its_figures(name: str) -> None:
    run = Run(SAMPLES / name)
    check_whole(run)
    metrics = run.metrics()
    assert metrics["width"].iloc[-1] == max(run.layout.full.values())
    assert len(run.scores(int(metrics["width"].iloc[0]))) == run.record.data["test_n"]
    counts = run.class_counts()
    assert (counts is None) == (not run.task.classes)
    assert counts is None or (len(counts), counts.sum()) == (len(run.record.labels), run.record.data["test_n"])
    assert name in run_line(run)
    assert len(size_table(run, metrics).splitlines()) > 3
    assert reply(run, metrics, lose_at_most=1.0).sentence
    assert run.latency() is not None


@pytest.mark.parametrize("name", NAMES)
def test_a_run_of_before_gives_its_stored_predictions(name: str) -> None:
    """At the smallest, a middle and the full width, on the held-out examples."""
    run = Run(SAMPLES / name)
    family = models.family(run.record.family["name"], **run.record.family["settings"])
    scale, weights, examples = run.scale(), run.weights(), run.examples()
    x = torch.from_numpy(examples["x"].astype(np.float32))
    widths = run.metrics()["width"].to_numpy()
    for width in map(int, widths[[0, len(widths) // 2, -1]]):
        named = run.widths_at(width)
        with torch.inference_mode():
            scores = load_model(family, scale, weights, named, run.statistics(named))(x).numpy()
        stored = run.predicted(width)[examples["index"]]
        if run.task.classes:
            below = scores.max(1) - np.take_along_axis(scores, stored[:, None].astype(int), 1)[:, 0]
            assert (below <= SAME * np.abs(scores).max()).all(), width
        else:
            shown = np.clip(scores, 0, 1) if run.task.bounded else scores
            step = 1 / 255 if run.task.bounded else 0.0
            assert np.abs(shown - stored).max() <= step + SAME * np.abs(scores).max(), width


@pytest.mark.parametrize("schema", [2, 99, 0, -1, None, "1", True, 1.0])
def test_another_schema_is_refused_in_one_sentence(tmp_path: Path, schema: object) -> None:
    folder = Path(shutil.copytree(SAMPLES / "diabetes", tmp_path / "diabetes"))
    edit(folder, lambda record: record.update(schema=schema))
    with pytest.raises(RunError, match=r"^run\.json has (no schema version|schema \d+, this version reads)") as refused:
        Run(folder)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("prefix", ["", "bands/15/"])
def test_tables_over_width_are_refused_in_one_sentence(tmp_path: Path, prefix: str) -> None:
    folder = Path(shutil.copytree(SAMPLES / "digits-stratified", tmp_path / "tabled"))
    weights = load_file(folder / "model.safetensors")
    save_file({**weights, f"{prefix}tables/2.bias": np.zeros((7, 128), np.float32)}, folder / "model.safetensors")
    sentence = "model.safetensors holds tables over width, which are no longer read; train the run anew"
    with pytest.raises(RunError, match=sentence):
        Run(folder)
    assert list(RunStore(tmp_path).list()) == [BrokenRun("tabled", sentence)]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "hidden"), [("stratified", 16), ("paper", 8)])
def test_an_unfinished_training_of_before_goes_on_or_is_refused(tmp_path: Path, kind: str, hidden: int) -> None:
    """In one sentence, and what is refused stays as it was."""
    store = RunStore(tmp_path)
    folder = Path(shutil.copytree(UNFINISHED / f"digits-{kind}.unfinished", tmp_path / "digits.unfinished"))
    (listed,) = store.list()
    assert listed.reason == "the training of digits is not finished; repeat its command with --resume"
    before = (folder / "checkpoint.safetensors").read_bytes()
    data = load("digits")
    family = models.family("mlp", inputs=64, outputs=10, hidden=hidden, layers=1, lower=1, each_layer=False)
    settings = {"recipe": recipe(kind, epochs=60), "seed": 3, "device": "cpu", "progress": False}
    refusal = ""
    try:
        train(family, data, out=tmp_path / "digits", resume=True, **settings)
    except RunError as error:
        refusal = str(error)
    if refusal:
        assert "\n" not in refusal
        assert "start anew with --overwrite" in refusal
        assert (folder / "checkpoint.safetensors").read_bytes() == before
    else:
        assert store.ids() == ["digits"]
