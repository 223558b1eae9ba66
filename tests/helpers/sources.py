"""The project's own source files, parsed once, and the modules and names that each of them imports."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Import:
    """One imported name: `from core.runs.run import Run` is module `core.runs.run` and name `Run`."""

    module: str
    name: str  # empty for `import module`
    line: int


@cache
def files(package: str) -> tuple[Path, ...]:
    """Every Python file of a top-level package, sorted by path."""
    return tuple(sorted((ROOT / package).rglob("*.py")))


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def name_of(path: Path) -> str:
    """Dotted name of a file's module; a package's `__init__` has the package's name."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def module_names(*packages: str) -> frozenset[str]:
    return frozenset(name_of(path) for package in packages for path in files(package))


def imported(tree: ast.AST) -> Iterator[Import]:
    """Every import anywhere in a program, functions included; not those for type checkers alone."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for other in node.orelse:
                yield from imported(other)
            continue
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, "", node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"relative import in line {node.lineno}: write the whole module"
            yield from (Import(node.module or "", alias.name, node.lineno) for alias in node.names)
        yield from imported(node)


def target(found: Import, modules: frozenset[str]) -> str:
    """Module that an import reads: `from core.data import load` may mean a module `core.data.load` or the package."""
    inner = f"{found.module}.{found.name}"
    return inner if inner in modules else found.module


def at_the_top(path: Path) -> set[str]:
    """Top-level packages that importing the file itself imports."""
    body = [node for node in tree_of(path).body if not isinstance(node, ast.FunctionDef | ast.ClassDef)]
    return {found.module.partition(".")[0] for found in imported(ast.Module(body, []))}
