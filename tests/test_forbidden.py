"""Nothing is unpickled, evaluated or run by a shell, anywhere in the project."""

from __future__ import annotations

import ast

import pytest

from tests.helpers.sources import files, imported, name_of, tree_of

# What writes or runs whatever a file says; torch.export.load reads JSON and raw numbers, checked in tests/export
FORBIDDEN_MODULES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
FORBIDDEN_CALLS = {
    "eval", "exec", "compile", "__import__", "torch.load", "torch.save", "torch.jit.load", "torch.hub.load",
    "os.system", "os.popen", "yaml.load", "pd.read_pickle", "pandas.read_pickle",
}  # fmt: skip
FORBIDDEN_ARGUMENTS = {"shell", "allow_pickle", "trust_remote_code"}


def forbidden(tree: ast.Module) -> set[str]:
    """Every forbidden module, call and argument of a program."""
    uses = {found.module.partition(".")[0] for found in imported(tree)} & FORBIDDEN_MODULES
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            if ast.unparse(node.func) in FORBIDDEN_CALLS:
                uses.add(ast.unparse(node.func))
            uses |= {
                f"{keyword.arg}={ast.unparse(keyword.value)}"
                for keyword in node.keywords
                if keyword.arg in FORBIDDEN_ARGUMENTS and ast.unparse(keyword.value) != "False"
            }
    return uses


@pytest.mark.parametrize("package", ["core", "app", "benchmarks"])
def test_no_pickle_and_no_eval(package):
    uses = {name_of(path): forbidden(tree_of(path)) for path in files(package)}
    assert {name: found for name, found in uses.items() if found} == {}


def test_forbidden_uses_are_noticed():
    text = "import pickle as p\nfrom joblib import load\ntorch.load(f)\neval('1')\nrun(x, shell=True)\nf(shell=False)"
    assert forbidden(ast.parse(text)) == {"pickle", "joblib", "torch.load", "eval", "shell=True"}
