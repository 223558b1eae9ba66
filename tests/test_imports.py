"""Imports run one way: packages in the order below, no cycles, nothing private, nothing heavy before it is needed."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.helpers.sources import ROOT, at_the_top, files, imported, module_names, name_of, target, tree_of

SAMPLE = ROOT / "sample_checkpoints/digits-stratified"
WITHOUT_TORCH = ("safetensors", "onnx", "bundle")
MODULES = module_names("core", "app")

# A row may import the rows below it, and nothing beside or above it. Modules of one part may import each other.
ORDER = {
    "core": """
        __main__
        cli
        finetune export
        sweep train
        precision
        models
        runs
        data
        elastic
        tasks
        utils
        errors
    """,
    "core.elastic": """
        fast_mlp
        module
        subnet
        family recipes
        scale
        discovery size_grid
        layout batch_norm
        width
    """,
    "app": """
        main server
        pick compare my_runs help
        widgets
        store
        charts web
        components url_state
        words
    """,
}


def part_of(module: str, package: str) -> str:
    """Part of a package that a module belongs to: `runs` for `core.runs.run` in `core`; empty outside of it."""
    return module.removeprefix(f"{package}.").partition(".")[0] if module.startswith(f"{package}.") else ""


def edges(package: str) -> Iterator[tuple[Path, int, str]]:
    """Every import of one of the project's modules in a package: file, line, and the module that it reads."""
    for path in files(package):
        for found in imported(tree_of(path)):
            if target(found, MODULES) in MODULES:
                yield path, found.line, target(found, MODULES)


@pytest.mark.parametrize("package", ORDER)
def test_each_part_imports_only_the_parts_below_it(package):
    rank = {part: row for row, line in enumerate(ORDER[package].split("\n")) for part in line.split()}
    parts = {part_of(name, package) for name in MODULES} - {""}
    assert parts == set(rank), "every part has its place in the order"
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {module}"
        for path, line, module in edges(package.partition(".")[0])
        if (importer := part_of(name_of(path), package)) and (imports := part_of(module, package))
        if importer != imports and rank[importer] >= rank[imports]
    ]
    assert wrong == []


def test_the_drawing_of_the_packages_is_true():
    drawing = (ROOT / "core/README.md").read_text(encoding="utf-8").partition("```text\n")[2].partition("```")[0]
    rows = [re.findall(r"(\w+)(?:/|\.py) ", line) for line in drawing.splitlines() if "──" not in line]
    assert rows[0] == ["app", "benchmarks"]
    assert rows[1:] == [line.split() for line in ORDER["core"].split("\n") if line.strip()]


def test_only_programs_import_the_public_face():
    """A module of core that imported `core` itself would import all that is above it."""
    assert [f"{path.relative_to(ROOT)}:{line}" for path, line, module in edges("core") if module == "core"] == []


def test_no_module_imports_itself_in_a_circle():
    graph: dict[str, set[str]] = {name: set() for name in MODULES}
    for package in ("core", "app"):
        for path, _, module in edges(package):
            graph[name_of(path)].add(module)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_the_face_of_a_package_imports_its_own_folder_alone():
    """A browser component has no other file, so that its `__init__` is the module."""
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {module}"
        for package in ("core", "app")
        for path, line, module in edges(package)
        if path.name == "__init__.py" and len(list(path.parent.glob("*.py"))) > 1
        if not module.startswith(f"{name_of(path)}.")
    ]
    assert wrong == []


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


def test_no_private_name_of_another_module():
    """Torch's own may be used by the fast path alone, which could be deleted without touching the rest."""
    wrong = [
        f"{path.relative_to(ROOT)}:{line} uses {name}"
        for path in files("core") + files("app")
        for line, name in private_names(tree_of(path))
        if not (name.startswith("torch.") and path.parent == ROOT / "core/elastic/fast_mlp")
    ]
    assert wrong == []


def test_private_names_are_noticed():
    text = (
        "import torch\nfrom a import _b\nfrom torch._c import d\ntorch._e(1)\ntorch.ops.aten.f\nfrom g import H\nH._i\n"
    )
    assert [line for line, _ in private_names(ast.parse(text))] == [2, 3, 4, 5, 7]
    assert private_names(ast.parse("from a import B\nself._c\nb._d\n__name__\nfrom e import __version__")) == []


def test_folders_and_files_stay_small():
    folders = {path.parent for package in ("core", "app") for path in files(package)}
    entries = {
        folder: {*folder.glob("[!_]*.py"), *(inner for inner in folders if inner.parent == folder)}
        for folder in folders
    }
    assert {str(folder.relative_to(ROOT)): len(inside) for folder, inside in entries.items() if len(inside) > 14} == {}
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in files("core") + files("app")}
    assert {str(path.relative_to(ROOT)): count for path, count in lines.items() if count > 300} == {}


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
assert len(kinds) >= 6 and set(kinds) <= set(MODELS)
for run in kinds.values():
    width = int(run.metrics()["width"].iloc[0])
    found = verify_export(run, width, "bundle", export(run, width, "bundle").data)
    assert found.examples == len(run.examples()["x"]) and found.numbers
print("torch" in sys.modules)
"""
    answer = fresh(code)
    assert (answer.returncode, answer.stdout) == (0, "False\n"), answer.stderr
