"""What may import what: the app opens without torch, core knows no Streamlit, and nothing anywhere is unpickled."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CORE, APP = sorted((ROOT / "core").rglob("*.py")), sorted((ROOT / "app").rglob("*.py"))
SAMPLE = ROOT / "sample_checkpoints/digits-stratified"
WITHOUT_TORCH = ("safetensors", "onnx", "bundle")
# What writes or runs whatever a file says; torch.export.load reads JSON and raw numbers, checked in tests/export
FORBIDDEN_MODULES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
FORBIDDEN_CALLS = {
    "eval", "exec", "compile", "__import__", "torch.load", "torch.save", "torch.jit.load", "torch.hub.load",
    "os.system", "os.popen", "yaml.load", "pd.read_pickle", "pandas.read_pickle",
}  # fmt: skip
FORBIDDEN_ARGUMENTS = {"shell", "allow_pickle", "trust_remote_code"}


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imported(tree: ast.AST) -> Iterator[str]:
    """Every module that is imported anywhere, functions included; not what is only for types."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
        yield from imported(node)


def at_the_top(path: Path) -> set[str]:
    """Packages that importing the file itself imports."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    body = ast.Module([node for node in tree.body if not isinstance(node, ast.FunctionDef | ast.ClassDef)], [])
    return {module.partition(".")[0] for module in imported(body)}


def said_of(text: str) -> set[str]:
    """What is forbidden in a program's text."""
    tree = ast.parse(text)
    found = {module.partition(".")[0] for module in imported(tree)} & FORBIDDEN_MODULES
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            if ast.unparse(node.func) in FORBIDDEN_CALLS:
                found.add(ast.unparse(node.func))
            found |= {
                f"{keyword.arg}={ast.unparse(keyword.value)}"
                for keyword in node.keywords
                if keyword.arg in FORBIDDEN_ARGUMENTS and ast.unparse(keyword.value) != "False"
            }
    return found


def fresh(code: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)


@pytest.mark.parametrize("path", CORE + APP, ids=name_of)
def test_no_pickle_and_no_eval(path):
    assert said_of(path.read_text(encoding="utf-8")) == set()


def test_the_finder_finds():
    text = "import pickle as p\nfrom joblib import load\ntorch.load(f)\neval('1')\nrun(x, shell=True)\nf(shell=False)"
    assert said_of(text) == {"pickle", "joblib", "torch.load", "eval", "shell=True"}


@pytest.mark.parametrize("path", CORE, ids=name_of)
def test_core_knows_no_streamlit(path):
    modules = {m.partition(".")[0] for m in imported(ast.parse(path.read_text(encoding="utf-8")))}
    assert not modules & {"streamlit", "plotly", "app", "benchmarks", "tests"}


@pytest.mark.parametrize("path", APP, ids=name_of)
def test_app_imports_no_torch_at_the_top(path):
    assert "torch" not in at_the_top(path)


def test_importing_core_and_app_imports_no_torch():
    modules = [name_of(path) for path in CORE + APP if "torch" not in at_the_top(path)]
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
from core.export.verify import check
from core.export.formats import export
from core.models import MODELS
from core.runs.store import RunStore
kinds = {{run.record.family["name"]: run for run in RunStore({str(SAMPLE.parent)!r}).list() if isinstance(run, Run)}}
assert set(kinds) == set(MODELS)
for run in kinds.values():
    width = int(run.metrics()["width"].iloc[0])
    found = check(run, width, "bundle", export(run, width, "bundle").data)
    assert found.examples == len(run.examples()["x"]) and found.numbers
print("torch" in sys.modules)
"""
    answer = fresh(code)
    assert (answer.returncode, answer.stdout) == (0, "False\n"), answer.stderr
