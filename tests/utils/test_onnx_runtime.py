"""onnxruntime sends telemetry and writes a device id unless a variable is set before it is imported."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from core import Run
from core.export.formats import export
from tests.helpers.sources import ROOT, files, imported, name_of, tree_of

SAMPLE = ROOT / "sample_checkpoints/digits-stratified"
# Prints what the variable is whenever somebody looks for onnxruntime
WATCHED = """
import os, sys
class Watcher:
    def find_spec(self, name, path=None, target=None):
        if name == "onnxruntime":
            print("imported with", os.environ.get("ORT_DISABLE_TELEMETRY"))
sys.meta_path.insert(0, Watcher())
"""
PROGRAMS = {
    "command line": (
        "from core.__main__ import main\n"
        "main(['export', {sample!r}, '--width', '3', '--out', {out!r}, '--format', 'onnx'])"
    ),
    "own graph": "from core import Run\nfrom core.export.formats import export\nexport(Run({sample!r}), 3, 'onnx')",
    "torch's exporter": (
        "from core import Run\nfrom core.export.formats import export\nrun = Run({sample!r})\n"
        "run.predicted = None\nexport(run, 3, 'onnx')\nassert 'torch.onnx' in sys.modules"
    ),
    "bundle": "sys.path.insert(0, {bundle!r})\nimport load_onnx\nload_onnx.predict([[[0.0] * 8] * 8])",
}  # fmt: skip


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("bundle")
    with zipfile.ZipFile(io.BytesIO(export(Run(SAMPLE), 3, "bundle").data)) as archive:
        archive.extractall(folder)
    return folder


@pytest.mark.parametrize("kind", PROGRAMS)
def test_telemetry_is_off_and_nothing_is_written_to_home(kind, bundle, tmp_path):
    home, cache = tmp_path / "home", tmp_path / "cache"
    home.mkdir()
    cache.mkdir()
    environment = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"}
    environment |= {"HOME": str(home), "XDG_CACHE_HOME": str(cache), "PYTHONDONTWRITEBYTECODE": "1"}
    program = PROGRAMS[kind].format(sample=str(SAMPLE), out=str(tmp_path / "x.onnx"), bundle=str(bundle))
    done = subprocess.run(
        [sys.executable, "-c", WATCHED + program], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert {line for line in done.stdout.splitlines() if line.startswith("imported with")} == {"imported with 1"}
    assert [*home.rglob("*"), *cache.rglob("*")] == []


def test_one_module_imports_onnxruntime():
    importers = {
        name_of(path)
        for package in ("core", "app")
        for path in files(package)
        if any(found.module.partition(".")[0] == "onnxruntime" for found in imported(tree_of(path)))
    }
    assert importers == {"core.utils.onnx_runtime"}
