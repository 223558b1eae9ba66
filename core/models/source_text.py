"""The plain PyTorch of a registry model as text, for downloads; read from its file, without importing torch."""

from __future__ import annotations

import ast
import importlib.util
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import UserError
from core.models.registry import MODELS, family


@dataclass(frozen=True)
class Source:
    """A model as program text that needs torch and nothing of this project."""

    imports: tuple[str, ...]
    text: str  # the plain module and its factory
    call: str  # the expression that builds it


def source(name: str | None, settings: Mapping[str, Any], widths: Mapping[str, int]) -> Source | None:
    """Return the text of a model at `widths`; None for a factory of one's own.

    Parameters
    ----------
    name
        Name in the registry, None for a factory of one's own.
    settings
        The model's settings, from anybody's run.json: they are checked by building the family.
    widths
        Size of each named width.

    Raises
    ------
    UserError
        As `registry.family` does.
    """
    if name is None:
        return None
    family(name, **settings)  # only settings that build a model may become a program
    model = MODELS[name]
    bound = inspect.signature(model.family).bind(**settings)
    bound.apply_defaults()
    text = _text(model.net)
    lines, imports, start = text.splitlines(), [], 0
    for part in ast.parse(text).body:
        is_import = isinstance(part, ast.Import | ast.ImportFrom)
        if is_import:
            imports.append(ast.unparse(part))
        if is_import or (isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant)):  # or its docstring
            start = part.end_lineno or start
    sizes = {key: int(size) for key, size in widths.items()}
    return Source(tuple(imports), "\n".join(lines[start:]).strip("\n"), model.call(bound.arguments, sizes))


def _text(module: str) -> str:
    """Return a module's text from its file: to import it would import torch."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise UserError(f"the source of {module} is not installed here; install the whole project")
    return Path(spec.origin).read_text(encoding="utf-8")
