"""Every mistake of a user's is one line that says what came, what was wanted and the mend; the status is 2."""

import gzip
import json
import re
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from core import Family, train
from core.__main__ import main

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "sample_checkpoints/digits-stratified"
SMALL = ROOT / "sample_checkpoints/digits-paper/model.safetensors"
LARGE = ROOT / "sample_checkpoints/mnist/model.safetensors"
EXPORT = ("export", SAMPLE, "--out", "never.zip", "--width")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), r"no command; choose one of train, .*list, import, .*, or see --help"),
        (("sho",), r"No such command 'sho'.*; see python -m core --help"),
        (("show",), r"Missing argument 'RUN'; see python -m core show --help"),
        (("show", SAMPLE, "--max-mb", "3"), r"No such option.*--max-mb"),
        (("show", SAMPLE, "extra"), r"extra"),
        (("show", SAMPLE, "--max-kb", "abc"), r"--max-kb.*number"),
        (("show", SAMPLE, "--max-kb", "0"), r"the size limit is 0 kB; give more than 0 kB"),
        (("show", SAMPLE, "--max-kb", "-1"), r"the size limit is -1 kB"),
        (("show", SAMPLE, "--max-kb", "nan"), r"the size limit is nan kB"),
        (("show", SAMPLE, "--max-kb", "inf"), r"the size limit is inf kB"),
        (("show", SAMPLE, "--min-accuracy", "97"), r"asked for is 97, .*0\.97 means 97 %"),
        (("show", SAMPLE, "--min-accuracy", "0"), r"asked for is 0, "),
        (("show", SAMPLE, "--min-accuracy", "nan"), r"asked for is nan, "),
        (("show", "nowhere"), r"nowhere is not a folder; name the folder of a run"),
        (("show", SAMPLE.parent), r"holds no run\.json; name the folder of a run"),
        (("show", SAMPLE / "run.json"), r"is not a folder"),
        (("show", "two\nlines"), r"error: two lines is not a folder"),
        (("show", "nul\0"), r"an argument holds a NUL character"),
        (("sweep", "nowhere"), r"nowhere is not a folder"),
        (("list", "nowhere"), r"store nowhere is not "),
        (("list", SAMPLE), r"is a run, not a folder of runs; see it with: python -m core show "),
        ((*EXPORT, "0"), r"width.* is 0.*1 to 128"),
        ((*EXPORT, "129"), r"width.* is 129.*1 to 128"),
        ((*EXPORT, "-3"), r"width.* is -3.*1 to 128"),
        ((*EXPORT, "abc"), r"--width.*integer"),
        ((*EXPORT, "9" * 5000), r"--width|width"),
        ((*EXPORT, "3", "--format", "exe"), r"format 'exe' is not known; choose one of bundle, safetensors, onnx, pt2"),
        (("export", SAMPLE, "--width", "3"), r"Missing option '--out'"),
        (("export", "nowhere", "--width", "3", "--out", "x"), r"nowhere is not a folder"),
        (("train", "--data", "digits"), r"Missing option '--out'"),
        (("train", "--data", "cifar", "--out", "new"), r"data 'cifar' is not known; choose one of .*digits"),
        (("train", "--data", "mnist", "--out", "new"), r"mnist is not on this machine"),
        (("train", "--data", "mnist", "--data-dir", "gone", "--out", "new"), r"folder gone does not exist"),
        (("train", "--recipe", "magic", "--out", "new"), r"recipe 'magic' is not known; choose one of stratified"),
        (("train", "--hidden", "0", "--out", "new"), r"hidden is 0; choose a whole number from 2 to 65,536"),
        (("train", "--hidden", "9" * 30, "--out", "new"), r"hidden is 9+; choose"),
        (("train", "--hidden", "65536", "--layers", "64", "--out", "new"), r"need .* GB to be trained, this machine"),
        (("train", "--layers", "0", "--out", "new"), r"layers is 0; choose a whole number from 1 to 64"),
        (("train", "--hidden", "8", "--lower", "9", "--out", "new"), r"lower is 9; choose a whole number from 1 to 8"),
        (("train", "--epochs", "0", "--out", "new"), r"epochs is 0; choose"),
        (("train", "--lr", "nan", "--out", "new"), r"lr is nan; choose"),
        (("train", "--seed", "-1", "--out", "new"), r"--seed"),
        (("train", "--device", "tpu", "--out", "new"), r"device 'tpu' is not known; choose auto, cpu or cuda"),
        (("train", "--set", "nonsense", "--out", "new"), r"--set needs .*name=value, got 'nonsense'"),
        (("train", "--set", "=3", "--out", "new"), r"--set needs .*got '=3'"),
        (("train", "--set", "name=x", "--out", "new"), r"--set needs .*got 'name=x'"),
        (("train", "--set", "strata=6", "--set", "strata=7", "--out", "new"), r"strata is set twice; give it once"),
        (("train", "--epochs", "3", "--set", "epochs=4", "--out", "new"), r"epochs is set twice; give it once"),
        (("train", "--set", "strata=abc", "--out", "new"), r"strata is 'abc'; choose a whole number from 1 to 64"),
        (("train", "--set", "magic=1", "--out", "new"), r"recipe 'stratified' has no setting 'magic'; it has "),
        # an option that would be ignored is refused
        (("train", "--data-dir", "x", "--out", "new"), r"'digits' is read from no folder, got x; leave --data-dir out"),
        (("train", "--data", "photo:flower", "--data-dir", "x", "--out", "new"), r"'photo:flower' is read from no "),
        (("sweep", SAMPLE, "--data-dir", "x"), r"data 'digits' is read from no folder"),
        (("train", "--hidden", "8", "--hidden=9", "--out", "new"), r"--hidden is given twice; give it once"),
        (("train", "--data", "digits", "--data", "mnist", "--out", "new"), r"--data is given twice; give it once"),
        (("show", SAMPLE, "--at-least", "1", "--min-accuracy", "1"), r"twice, the second time as --min-accuracy; give"),
        (("train", "--recipe", "paper", "--set", "each_layer=true", "--layers", "1", "--out", "new"), r"one width for"),
        (("restore", SAMPLE.parent, "--name", "x"), r"--name needs the run that gets it: python -m core restore"),
        (("train", "--order", "norm", "--out", "new"), r"--order sorts .*give its weights with --start"),
        (("train", "--start", "x", "--order", "size", "--out", "new"), r"ordered by 'size'; choose --order norm or gr"),
        (("train", "--start", "gone", "--out", "new"), r"gone does not exist; --start needs the weights of a trained"),
        (("train", "--start", SAMPLE, "--out", "new"), r"digits-stratified is no regular file; --start needs"),
        (("train", "--start", SAMPLE / "run.json", "--out", "new"), r"run\.json is not a readable safetensors file \("),
        (("train", "--start", LARGE, "--hidden", "8", "--out", "new"), r"has [\d,]+ bytes, more .*; --start needs"),
        (("train", "--start", SMALL, "--hidden", "9", "--out", "new"), r"of shape .*, the full model needs .*"),
        (("train", "--out", ""), r"exists in .*; choose another --out"),
        (("train", "--out", "a b"), r"'a b' can't name a run"),
        (("train", "--out", SAMPLE), r"digits-stratified exists in .*choose another --out, or .*--overwrite"),
        (("train", "--out", SAMPLE, "--resume"), r"finished run with another .*recipe.*nothing to resume"),
    ],
    ids=lambda value: " ".join(map(str, value))[:60] if isinstance(value, tuple) else "",
)  # fmt: skip
def test_one_line(refused, monkeypatch, tmp_path, arguments, told):
    if arguments[:1] == ("train",) and "--epochs" not in arguments:
        arguments = (*arguments, "--epochs", "1", "--quiet")
    monkeypatch.chdir(tmp_path)
    assert re.search(told, refused(*arguments)), told
    assert list(tmp_path.iterdir()) == [], "nothing is left behind"


def damage_json(run: Path) -> None:
    (run / "run.json").write_text("{")


def damage_schema(run: Path) -> None:
    record = json.loads((run / "run.json").read_text(encoding="utf-8"))
    (run / "run.json").write_text(json.dumps({**record, "schema": 99}))


def damage_settings(run: Path) -> None:
    record = json.loads((run / "run.json").read_text(encoding="utf-8"))
    record["family"]["settings"]["layers"] = "many"
    (run / "run.json").write_text(json.dumps(record))


def damage_weights(run: Path) -> None:
    weights = load_file(run / "model.safetensors")
    del weights["4.weight"]
    save_file(weights, run / "model.safetensors")


def damage_numbers(run: Path) -> None:
    weights = load_file(run / "model.safetensors")
    save_file({name: value + np.float32(1) for name, value in weights.items()}, run / "model.safetensors")


@pytest.mark.parametrize(
    ("damage", "commands", "told"),
    [
        (damage_json, "show export", r"run\.json is not JSON"),
        (damage_schema, "show sweep export", r"schema 99, this version reads up to"),
        (damage_settings, "export", r"layers is 'many'; choose a whole number"),
        (damage_weights, "show sweep export", r"model\.safetensors lacks tensor '4\.weight'"),
        (damage_numbers, "export", r"does not hold the weights that run\.json describes"),
        (lambda run: (run / "model.safetensors").write_bytes(b"x" * 99), "show export", r"safetensors"),
        (lambda run: (run / "metrics.parquet").write_bytes(b"x" * 99), "show export", r"not a readable parquet"),
        (lambda run: (run / "metrics.parquet").unlink(), "show", r"no metrics\.parquet yet; make it with"),
        (lambda run: (run / "examples.safetensors").unlink(), "export", r"examples\.safetensors is missing"),
        (lambda run: (run / "run.json").unlink(), "show sweep export", r"holds no run\.json"),
    ],
)
def test_a_damaged_run(refused, sample, tmp_path, damage, commands, told):
    damage(sample)
    for command in commands.split():
        more = ("--width", 3, "--out", tmp_path / "never.zip") if command == "export" else ()
        assert re.search(told, refused(command, sample, *more))
    assert not (tmp_path / "never.zip").exists()


def test_an_idx_file_cut_short(refused, tmp_path):
    images = struct.pack(">4B3I", 0, 0, 8, 3, 20, 4, 4) + bytes(20 * 16)
    labels = struct.pack(">4BI", 0, 0, 8, 1, 20) + bytes(range(10)) * 2
    for part in ("train", "t10k"):
        (tmp_path / f"{part}-images-idx3-ubyte").write_bytes(images[:-7] if part == "train" else images)
        (tmp_path / f"{part}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(labels))
    told = refused("train", "--data", "mnist", "--data-dir", tmp_path, "--out", tmp_path / "runs/new")
    assert "train-images-idx3-ubyte" in told
    assert re.search(r"cut short|needs 320 bytes", told)
    assert not (tmp_path / "runs").exists()


def test_a_run_of_ones_own(refused, tmp_path):
    from torch import nn

    rng = np.random.default_rng(0)
    family = Family(lambda hidden: nn.Sequential(nn.Linear(4, hidden), nn.ReLU(), nn.Linear(hidden, 2)), hidden=4)
    data = rng.normal(size=(40, 4)), rng.integers(0, 2, 40)
    train(family, data, out=tmp_path / "own", recipe="paper", progress=False)
    assert "data of your own; validate it from Python: sweep(run, data)" in refused("sweep", tmp_path / "own")
    told = refused("export", tmp_path / "own", "--width", 2, "--out", tmp_path / "x.onnx", "--format", "onnx")
    assert "factory of your own" in told
    assert (
        main(["export", str(tmp_path / "own"), "--width", "2", "--out", str(tmp_path), "--format", "safetensors"]) == 0
    )
    assert (tmp_path / "own-w2.safetensors").is_file()


@pytest.mark.slow
def test_a_package_that_is_not_installed(refused, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    told = refused("export", SAMPLE, "--width", 3, "--out", tmp_path / "x.onnx", "--format", "onnx")
    assert told == "error: the package onnxruntime is not installed; install what requirements.txt names\n"


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes")])
def test_too_little_memory(refused, monkeypatch, error):
    def fail(self):
        raise error

    monkeypatch.setattr("core.runs.run.Run.metrics", fail)
    assert "too little memory" in refused("show", SAMPLE)


def test_a_mistake_of_the_programs_own_is_not_hidden(monkeypatch):
    def fail(self):
        raise KeyError("width")

    monkeypatch.setattr("core.runs.run.Run.metrics", fail)
    with pytest.raises(KeyError):
        main(["show", str(SAMPLE)])


def test_as_a_process(tmp_path):
    answer = subprocess.run(
        [sys.executable, "-m", "core", "export", SAMPLE, "--width", "0", "--out", tmp_path / "x"],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert (answer.returncode, answer.stdout) == (2, "")
    assert answer.stderr.startswith("error: width")
    assert answer.stderr.count("\n") == 1
    assert not (tmp_path / "x").exists()
