"""How cutoffs are drawn: recipes by name, each a frozen dataclass. Needs NumPy only.

A cutoff keeps the features below it and drops the rest (Structural Dropout, arXiv 2205.06906, section 3). To add a
recipe: a dataclass with its settings' `limits` and a `draw` (`core.elastic.recipes.base`), and its name in `RECIPES`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from core.elastic.layout import Width
from core.elastic.recipes.base import Cuts, Recipe
from core.elastic.recipes.stratified import Stratified
from core.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Paper(Recipe):
    """The paper's: with probability p one cutoff, uniform in [lower, full], full included; else full width."""

    name: ClassVar[str] = "paper"
    limits = Recipe.limits | {"p": (float, 0.0, 1.0), "each_layer": (bool, 0, 1)}
    epochs: int = 10
    lr: float = 1e-3
    alpha: float = 1.0
    p: float = 1.0
    each_layer: bool = True

    @property
    def independent(self) -> bool:
        """As in the paper: every layer draws its own."""
        return self.each_layer

    def draw(self, rng: np.random.Generator, widths: Mapping[str, Width], step: int = 0) -> Cuts:
        """One cutoff for the whole batch."""
        shared = (rng.random(), rng.random())
        cutoff = {}
        for name, width in widths.items():
            cut, where = (rng.random(), rng.random()) if self.each_layer else shared
            span = width.full - width.lower + 1
            cutoff[name] = width.lower + min(span - 1, int(where * span)) if cut < self.p else width.full
        return Cuts((cutoff,), whole_batch=True)


@dataclass(frozen=True, kw_only=True)
class Sandwich(Recipe):
    """Full width, the lower bound and `between` uniform ones, all on the whole batch (Yu & Huang, 2019).

    With `distil`, the narrower ones learn the full width's output instead of the labels (in-place distillation).
    """

    name: ClassVar[str] = "sandwich"
    limits = Recipe.limits | {"between": (int, 0, 64), "distil": (bool, 0, 1)}
    epochs: int = 10
    alpha: float = 0.25
    between: int = 2
    distil: bool = False

    def draw(self, rng: np.random.Generator, widths: Mapping[str, Width], step: int = 0) -> Cuts:
        """Full, `between` random ones from wide to narrow, lower bound."""
        shares = np.sort(rng.random(self.between))[::-1]
        middle = [{name: w.lower + int(u * (w.full - w.lower + 1)) for name, w in widths.items()} for u in shares]
        full = {name: w.full for name, w in widths.items()}
        lower = {name: w.lower for name, w in widths.items()}
        return Cuts((full, *middle, lower), whole_batch=True, teacher=0 if self.distil else None)


RECIPES: dict[str, type[Recipe]] = {r.name: r for r in (Stratified, Paper, Sandwich)}


def recipe(name: str, **settings: Any) -> Recipe:
    """The recipe called `name` with `settings` in place of its defaults; a setting of None keeps the default.

    Raises UserError for an unknown name or setting, or a value out of range.
    """
    if not isinstance(name, str) or name not in RECIPES:
        raise UserError(f"recipe {name!r} is not known; choose one of {', '.join(RECIPES)}")
    kind = RECIPES[name]
    known = {field.name for field in dataclasses.fields(kind)}
    for setting in settings:
        if setting not in known:
            raise UserError(f"recipe {name!r} has no setting {setting!r}; it has {', '.join(sorted(known))}")
    return kind(**{key: value for key, value in settings.items() if value is not None})
