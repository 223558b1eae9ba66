"""The main job from the command line, as a person types it."""

import importlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file

from core import Run, RunStore, train
from core.data import load
from core.elastic.recipes.registry import recipe
from core.export.program import run_onnx
from core.models import family

ROOT = Path(__file__).parents[2]
TRAIN = ("train", "--data", "digits", "--hidden", 16, "--layers", 2, "--epochs", 3, "--seed", 0, "--quiet")


def shell(*arguments: object, cwd: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "core", *map(str, arguments)]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A folder in which somebody has trained a run, in a process of its own."""
    folder = tmp_path_factory.mktemp("work")
    answer = shell(*TRAIN, "--out", "runs/digits", cwd=folder)
    assert answer.returncode == 0, answer.stderr
    assert answer.stderr == ""
    assert "units" in answer.stdout, "training ends with the table"
    return folder


def test_train_sweeps_and_show_prints_the_same_table(work, core):
    run = Run(work / "runs/digits")
    metrics = run.metrics()
    assert list(metrics["width"]) == list(range(1, 17))
    table = core("show", run.path).out
    for width in (1, 2, 4, 8, 16):
        row = metrics.set_index("width").loc[width]
        (line,) = [line for line in table.splitlines() if line.split()[0] == str(width)]
        assert f"{row['params']:,}" in line
        assert f"{100 * row['accuracy']:.1f} %" in line


@pytest.mark.slow
def test_sweep_knows_what_it_knows(work, core, monkeypatch):
    before = (work / "runs/digits/metrics.parquet").stat().st_mtime_ns
    answer = core("sweep", work / "runs/digits", "--quiet")
    assert (answer.status, answer.err) == (0, "")
    assert answer.out.startswith("16 widths validated on 359 test examples: ")
    assert (work / "runs/digits/metrics.parquet").stat().st_mtime_ns == before


@pytest.mark.slow
def test_export_and_list_in_a_process_of_their_own(work):
    answer = shell("export", "runs/digits", "--width", 5, "--format", "onnx", "--out", "small.onnx", cwd=work)
    assert (answer.returncode, answer.stderr) == (0, "")
    data = (work / "small.onnx").read_bytes()
    assert answer.stdout.split()[:3] == [str((work / "small.onnx").resolve()), f"{len(data):,}", "bytes"]
    test = load("digits").test
    found = run_onnx(data, test.x.astype(np.float32)).argmax(1)
    assert np.array_equal(found, Run(work / "runs/digits").predictions(5)["w5"])
    answer = shell("list", "runs", cwd=work)
    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout.startswith("digits: digits, stratified, 16 units, ")


@pytest.mark.slow
@pytest.mark.parametrize("order", [None, "norm", "gradient"])
def test_a_training_begins_with_somebody_s_weights(work, core, tmp_path, order):
    file = tmp_path / "trained.safetensors"
    assert core("export", work / "runs/digits", "--width", 16, "--format", "safetensors", "--out", file).status == 0
    asked = (*TRAIN, "--start", file, *(("--order", order) if order else ()), "--out", tmp_path / "typed")
    answer = core(*asked)
    assert (answer.status, answer.err) == (0, "")
    found = Run(tmp_path / "typed")
    data, like = load("digits"), Run(work / "runs/digits").record.family
    python = train(
        family(like["name"], **like["settings"]), data, out=tmp_path / "python",
        recipe=recipe("stratified", epochs=3), start=load_file(file), order=order, progress=False,
    )  # fmt: skip
    assert found.record.training["start"] == python.record.training["start"]
    assert found.record.training["start"]["order"] == order
    assert found.record.weights_sha256 == python.record.weights_sha256
    assert core(*asked, "--resume").status == 0, "finished, so there is nothing to do"
    assert "start" in core(*TRAIN, "--out", tmp_path / "typed", "--resume").err, "another beginning is another run"


def test_stopped_and_resumed(work, core, monkeypatch, tmp_path):
    module = importlib.import_module("core.train.loop")
    steps, step = [], module.train_step

    def stop_at_ten(*arguments):
        steps.append(1)
        if len(steps) == 10:
            os.kill(os.getpid(), signal.SIGINT)
        return step(*arguments)

    monkeypatch.setattr(module, "train_step", stop_at_ten)
    command = (*TRAIN, "--out", tmp_path / "digits")
    answer = core(*command)
    assert answer.status == 130
    assert answer.out == ""
    assert answer.err.splitlines()[-1].startswith("stopped after 10 of 48 steps")
    assert "--resume" in answer.err
    assert core(*command).status == 2, "an unfinished training is not overwritten silently"
    answer = core(*command, "--resume")
    assert (answer.status, answer.err) == (0, "")
    assert len(steps) == 48
    assert Run(tmp_path / "digits").record.weights_sha256 == Run(work / "runs/digits").record.weights_sha256


def test_stopped_while_it_validates(core, monkeypatch, tmp_path):
    command = (*TRAIN, "--out", tmp_path / "digits")

    def stop(*arguments, **settings):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(importlib.import_module("core.sweep.sweep"), "sweep", stop)
        answer = core(*command)
        assert answer.status == 130
        assert answer.err == f"stopped; the weights are saved; go on with: python -m core sweep {tmp_path / 'digits'}\n"
        answer = core("sweep", tmp_path / "digits")
        assert answer.status == 130
        assert answer.err.startswith("stopped; what was validated is saved; go on with: python -m core sweep ")
    weights = (tmp_path / "digits/model.safetensors").stat().st_mtime_ns
    (tmp_path / "digits.unfinished").mkdir()  # as a kill right after the run was written leaves it
    answer = core(*command, "--resume")
    assert (answer.status, answer.err) == (0, "")
    assert Run(tmp_path / "digits").has_metrics
    assert (tmp_path / "digits/model.safetensors").stat().st_mtime_ns == weights, "it was not trained again"
    assert [run.id for run in RunStore(tmp_path).list()] == ["digits"]


def test_resume_with_nothing_to_resume_says_so_and_starts(core, tmp_path):
    answer = core(*TRAIN, "--resume", "--out", tmp_path / "new")
    assert answer.status == 0
    assert answer.err == f"no training of {tmp_path / 'new'} was interrupted; this one starts at its beginning\n"


@pytest.mark.slow
def test_a_kill_by_ctrl_c_leaves_130_and_one_line(tmp_path):
    command = ["train", "--data", "digits", "--hidden", "16", "--epochs", "100000", "--out", str(tmp_path / "digits")]
    process = subprocess.Popen(
        [sys.executable, "-m", "core", *command], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    seen = b""
    while b"loss" not in seen:  # the progress bar tells that it trains
        seen += process.stderr.read(1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert process.returncode == 130
    assert out == b""
    assert b"Traceback" not in err
    assert err.splitlines()[-1].startswith(b"stopped after ")
    assert (tmp_path / "digits.unfinished/checkpoint.safetensors").exists()


@pytest.mark.slow
def test_a_reader_that_has_enough(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "core", "list", ROOT / "sample_checkpoints"],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() == 1


@pytest.mark.parametrize(
    "command", ["train", "sweep", "show", "export", "list", "import", "pack", "rename", "archive", "restore"]
)
def test_help_teaches(core, command):
    answer = core(command, "--help")
    assert (answer.status, answer.err) == (0, "")
    assert f"\n    python -m core {command} " in answer.out, "an example to copy, in one line"
    assert core(command, "-h").out == answer.out


def test_help(core):
    answer = core("--help")
    assert (answer.status, answer.err) == (0, "")
    for command in ("train", "sweep", "show", "export", "list"):
        assert f"\n  {command} " in answer.out
