"""Recipes by name. To add one: a file with a `Recipe`, and its line in `RECIPES`. Needs NumPy only."""

from __future__ import annotations

import dataclasses
from typing import Any

from core.elastic.recipes.base import Recipe
from core.elastic.recipes.paper import Paper
from core.elastic.recipes.sandwich import Sandwich
from core.elastic.recipes.stratified import Stratified
from core.errors import UserError

RECIPES: dict[str, type[Recipe]] = {kind.name: kind for kind in (Stratified, Paper, Sandwich)}


def recipe(name: str, **settings: Any) -> Recipe:
    """Return the recipe called `name`, with `settings` in place of its defaults; None keeps a default.

    Raises UserError for an unknown name or setting, or a value out of range.
    """
    if not isinstance(name, str) or name not in RECIPES:
        raise UserError(f"recipe {name!r} is not known; choose one of {', '.join(RECIPES)}")
    kind = RECIPES[name]
    names = {field.name for field in dataclasses.fields(kind)}
    for setting in settings:
        if setting not in names:
            raise UserError(f"recipe {name!r} has no setting {setting!r}; it has {', '.join(sorted(names))}")
    return kind(**{key: value for key, value in settings.items() if value is not None})
