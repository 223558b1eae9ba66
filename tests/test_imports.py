"""The app opens without torch, core knows no page, and nothing heavy is imported before it is needed."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.sources import ROOT, at_the_top, files, imported, module_names, name_of, target, tree_of

SAMPLE = ROOT / "sample_checkpoints/digits-stratified"
WITHOUT_TORCH = ("safetensors", "onnx", "bundle")
MODULES = module_names("core", "app")


def edges(package: str) -> Iterator[tuple[Path, int, str]]:
    """Every import of one of the project's modules in a package: file, line, and the module that it reads."""
    for path in files(package):
        for found in imported(tree_of(path)):
            if target(found, MODULES) in MODULES:
                yield path, found.line, target(found, MODULES)


def test_only_programs_import_the_public_face():
    """A module of core that imported `core` itself would import all that is above it."""
    assert [f"{path.relative_to(ROOT)}:{line}" for path, line, module in edges("core") if module == "core"] == []


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def private_names(tree: ast.Module) -> list[tuple[int, str]]:
    """Private names of other modules, imported or reached through an imported name, with their lines."""
    uses, names = set(), set()
    for found in imported(tree):
        names |= {found.name, found.module.partition(".")[0]}
        if any(map(is_private, [*found.module.split("."), found.name])):
            uses.add((found.line, f"{found.module}.{found.name}"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            first, *rest = ast.unparse(node).split(".")
            if (first in names and is_private(rest[-1])) or [first, *rest] == ["torch", "ops", "aten"]:
                uses.add((node.lineno, ast.unparse(node)))
    return sorted(uses)


def test_private_names_are_noticed():
    text = (
        "import torch\nfrom a import _b\nfrom torch._c import d\ntorch._e(1)\ntorch.ops.aten.f\nfrom g import H\nH._i\n"
    )
    assert [line for line, _ in private_names(ast.parse(text))] == [2, 3, 4, 5, 7]
    assert private_names(ast.parse("from a import B\nself._c\nb._d\n__name__\nfrom e import __version__")) == []


def test_core_knows_no_page():
    above = {"streamlit", "starlette", "plotly", "app", "benchmarks", "tests"}
    wrong = [
        f"{path.relative_to(ROOT)}:{found.line} imports {found.module}"
        for path in files("core")
        for found in imported(tree_of(path))
        if found.module.partition(".")[0] in above
    ]
    assert wrong == []


def test_app_imports_no_torch_at_the_top():
    assert [str(path.relative_to(ROOT)) for path in files("app") if "torch" in at_the_top(path)] == []


def fresh(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)


def test_importing_core_and_app_imports_no_torch():
    modules = [name_of(path) for path in files("core") + files("app") if "torch" not in at_the_top(path)]
    modules.remove("app.main")  # Streamlit runs it; it imports only what is tried here
    for needed in (
        "core",
        "core.runs.run",
        "core.sweep.report",
        "core.export.formats",
        "core.export.bundle",
        "core.__main__",
        "app.pick.download",
    ):
        assert needed in modules
    answer = fresh(
        f"import sys, importlib\nfor m in {modules}: importlib.import_module(m)\nprint('torch' in sys.modules)"
    )
    assert (answer.returncode, answer.stdout) == (0, "False\n"), answer.stderr


def test_importing_core_alone_is_light():
    answer = fresh("import sys, core; print([m for m in ('torch', 'pandas', 'sklearn', 'typer') if m in sys.modules])")
    assert (answer.returncode, answer.stdout) == (0, "[]\n"), answer.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["list", str(SAMPLE.parent)],
        ["show", str(SAMPLE), "--max-kb", "20"],
        *(["export", str(SAMPLE), "--width", "3", "--out", "OUT", "--format", f] for f in WITHOUT_TORCH),
    ],
    ids=lambda arguments: " ".join(arguments[::7]),
)
def test_commands_that_need_no_torch_import_none(arguments, tmp_path):
    arguments = [str(tmp_path / "x") if a == "OUT" else a for a in arguments]
    code = f"import sys; from core.__main__ import main; print(main({arguments}), 'torch' in sys.modules)"
    answer = fresh(code)
    assert answer.stdout.splitlines()[-1] == "0 False", answer.stderr


def test_a_bundle_of_a_measured_size_is_made_and_read_again_without_torch():
    """Of every kind of model that the sample runs hold."""
    code = f"""
import sys
from core import Run
from core.export.formats import export, verify_export
from core.models import MODELS
from core.runs.store import RunStore
kinds = {{run.record.family["name"]: run for run in RunStore({str(SAMPLE.parent)!r}).list() if isinstance(run, Run)}}
assert set(kinds) == set(MODELS)
for run in kinds.values():
    width = int(run.metrics()["width"].iloc[0])
    found = verify_export(run, width, "bundle", export(run, width, "bundle").data)
    assert found.examples == len(run.examples()["x"]) and found.numbers
print("torch" in sys.modules)
"""
    answer = fresh(code)
    assert (answer.returncode, answer.stdout) == (0, "False\n"), answer.stderr
