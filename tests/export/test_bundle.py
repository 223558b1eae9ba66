"""The bundle in another folder and another process, without this project."""

import ast
import importlib.util
import io
import json
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from core import Run
from core.export.bundle import _json, load_script, metrics_at
from core.export.formats import export
from core.export.model_card import model_card, plain

ROOT = Path(__file__).parents[2]
NAMES = [
    "model.safetensors", "model.onnx", "config.json", "metrics.json", "model_card.md", "load.py", "load_onnx.py",
    "SHA256SUMS",
]  # fmt: skip

# Isolated, without site: only the bundle, torch or onnxruntime, and what those import themselves
FRESH = """
import json, sys
bundle, packages, script, allowed, inputs = sys.argv[1:]
sys.path[:0] = [bundle]
sys.path.append(packages)
for name in allowed.split(","):
    __import__(name)
import numpy
before = {name.partition(".")[0] for name in sys.modules}
predict = getattr(__import__(script), "predict")
answer = predict(numpy.load(inputs))
extra = {name.partition(".")[0] for name in sys.modules} - before - set(sys.stdlib_module_names)
print(json.dumps([answer, sorted(extra)]))
"""


def unzipped(data: bytes, folder: Path) -> Path:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == NAMES
        archive.extractall(folder)
    return folder


def strict_json(text: str):
    def refuse(constant: str):
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.fixture(scope="module")
def bundle(run_of, tmp_path_factory):
    return unzipped(export(run_of("digits"), 11, "bundle").data, tmp_path_factory.mktemp("bundle"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "allowed"), [("load", "torch,safetensors.torch"), ("load_onnx", "onnxruntime,numpy")]
)
def test_a_fresh_process_gets_the_measured_accuracy(run_of, bundle, tmp_path, script, allowed):
    run = run_of("digits")
    np.save(tmp_path / "inputs.npy", run.dataset.test.x)
    packages = sysconfig.get_paths()["purelib"]
    answer = subprocess.run(
        [sys.executable, "-I", "-S", "-c", FRESH, bundle, packages, script, allowed, tmp_path / "inputs.npy"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    labels, extra = json.loads(answer.stdout)
    assert extra == [script]
    predicted = run.predictions(11)["w11"]
    assert labels == [run.record.labels[k] for k in predicted]
    right = np.mean([label == run.record.labels[k] for label, k in zip(labels, run.dataset.test.y, strict=True)])
    assert right == json.loads((bundle / "metrics.json").read_text())["accuracy"]
    assert right == run.metrics().set_index("width").loc[11, "accuracy"]


def test_sums(bundle, tmp_path):
    if shutil.which("sha256sum") is None:
        pytest.skip("no sha256sum here")
    copy = tmp_path / "copy"
    shutil.copytree(bundle, copy)
    command = ["sha256sum", "--strict", "-c", "SHA256SUMS"]
    answer = subprocess.run(command, cwd=copy, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.count(": OK") == len(NAMES) - 1
    (copy / "load.py").write_text("evil")
    assert subprocess.run(command, cwd=copy, capture_output=True).returncode == 1


def test_config_and_metrics(run_of, bundle):
    run = run_of("digits")
    config = strict_json((bundle / "config.json").read_text(encoding="utf-8"))
    assert (config["widths"], config["full_widths"]) == ({"hidden": 11}, {"hidden": 24})
    assert config["labels"] == list(run.record.labels)
    assert (config["input"]["shape"], config["input"]["high"]) == ([8, 8], 16.0)
    metrics = strict_json((bundle / "metrics.json").read_text(encoding="utf-8"))
    row = run.metrics().set_index("width").loc[11]
    for name in ("params", "macs", "n", "loss", "accuracy_low", "validation_accuracy"):
        assert metrics[name] == row[name], name
    assert metrics["bytes"] == (bundle / "model.safetensors").stat().st_size
    assert len(metrics["per_class_accuracy"]) == 10


def test_scripts_are_readable(bundle):
    for name in ("load.py", "load_onnx.py"):
        text = (bundle / name).read_text()
        tree = ast.parse(text)
        assert ast.get_docstring(tree), name
        telemetry = [part for part in tree.body if "ORT_DISABLE_TELEMETRY" in ast.unparse(part)]
        assert len(telemetry) == (name == "load_onnx.py")
        rest = [part for part in tree.body[1:] if part not in telemetry]
        kinds = [isinstance(part, ast.Import | ast.ImportFrom) for part in rest]
        assert kinds == sorted(kinds, reverse=True), "imports come first"
        assert "noqa" not in text
        assert "(n, 8, 8)" in text
        own = text.partition("folder = ")[2]  # behind the model's own class
        assert sum(bool(line.strip()) for line in own.splitlines()) <= 12


@pytest.mark.slow
def test_own_factory(own_run, tmp_path):
    folder = unzipped(export(own_run.run, 5, "bundle", family=own_run.family).data, tmp_path)
    spec = importlib.util.spec_from_file_location("own_load", folder / "load.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    model = module.load(own_run.family.build)
    predicted = model(torch.from_numpy(own_run.data.test.x)).argmax(1).numpy()
    assert np.array_equal(predicted, own_run.run.predictions(5)["w5"])
    assert "load(build)" in (folder / "model_card.md").read_text()


def test_card_states_the_facts(run_of, bundle):
    card = (bundle / "model_card.md").read_text(encoding="utf-8")
    run = run_of("digits")
    row = run.metrics().set_index("width").loc[11]
    for fact in (
        "# stratified: hidden 11 of 24",
        f"| Parameters | {row['params']:,} |",
        f"{100 * row['accuracy']:.1f} % (95 % interval",
        f"on {row['n']:,} test examples",
        "stratified, 3 epochs, seed 0",
        "1,797 handwritten digits",
        "a batch of shape (n, 8, 8)",
        "## Limits",
        "load.py",
    ):
        assert fact in card, fact
    shown = [line for line in card.splitlines() if line.startswith("|")]
    assert len(shown) == 2 + 7 + 2 + 10  # a heading of two lines and the facts, another and the labels


def test_hostile_texts_stay_in_their_cell(run_of):
    run = Run(run_of("image").path)
    run.record.data["source"] = "https://evil.example | ![x](javascript:alert(1))\n\n# heading\n<img src=x onerror=y>"
    run.record.recipe["name"] = "`|`**\r\n| a | b |"
    card = model_card(run, {"hidden": 5}, metrics_at(run, {"hidden": 5}))
    shown = [line for line in card.splitlines() if line.startswith("|")]
    assert all(line.count("|") == 3 for line in shown)
    assert len(shown) == 7 + 2 + 2 + len(run.record.labels)
    assert "<" not in card
    assert "\x1b" not in card
    assert "://" not in card
    assert card.count("\n#") == 3  # its own three headings
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in card


@pytest.mark.parametrize(
    "text", ["a\\|b", "\u202eevil\u202c", "half \ud800 a pair", "x\x00y", "www.evil.example", "a@b"]
)
def test_plain_text(text):
    shown = plain(text)
    assert "|" not in shown
    assert shown.isprintable()
    assert "www." not in shown
    assert "@" not in shown
    shown.encode()


def test_labels_that_have_no_bytes_are_still_json(run_of, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(run_of("image").path, copy)
    record = json.loads((copy / "run.json").read_text(encoding="utf-8"))
    record["labels"][0] = "half \ud800 a pair, ü, {braces}"
    (copy / "run.json").write_text(json.dumps(record))
    folder = unzipped(export(Run(copy), 5, "bundle").data, tmp_path / "out")
    config = strict_json((folder / "config.json").read_text(encoding="utf-8"))
    assert config["labels"][0] == record["labels"][0]


def test_figures_that_json_lacks_are_null():
    row = {"loss": np.inf, "n": np.int64(3), "share": np.array([0.5, np.nan]), "deep": [{"x": -np.inf}], "day": b"x"}
    assert strict_json(_json(row).decode()) == {
        "loss": None, "n": 3, "share": [0.5, None], "deep": [{"x": None}], "day": "b'x'"
    }  # fmt: skip


def test_a_class_without_an_example_has_no_figure(run_of):
    run = run_of("digits")
    frame = run.metrics()
    known = np.array(frame["per_class_accuracy"][4])
    known[2] = np.nan
    frame.at[4, "per_class_accuracy"] = known
    row = metrics_at(_with(run, frame), {"hidden": 5})
    assert row["per_class_accuracy"][2] is None
    assert "| 2 | no test example |" in model_card(run, {"hidden": 5}, row)


@pytest.mark.slow
def test_sizes_that_were_not_measured(run_of, tmp_path):
    run = run_of("table")
    folder = unzipped(export(run, {"hidden1": 11, "hidden2": 1, "hidden3": 5}, "bundle").data, tmp_path)
    assert "Accuracy was not measured at this size" in (folder / "model_card.md").read_text()
    assert set(strict_json((folder / "metrics.json").read_text())) == {"params", "bytes"}


def test_nothing_from_a_record_becomes_a_program(run_of):
    run = run_of("digits")
    for settings in ({"inputs": "64); import os; os.abort("}, {"layers": "2"}, {"hidden": [24]}, {"evil": 1}):
        changed = _with(run, None)
        changed.record.family["settings"] = {**run.record.family["settings"], **settings}
        with pytest.raises(ValueError, match=r"choose a whole number|has no setting"):
            load_script(changed, {"hidden": 5})


def _with(run: Run, frame) -> Run:
    """The run opened again, with another table."""
    copy = Run(run.path)
    copy.metrics = lambda: frame
    return copy
