"""The sandwich rule of slimmable networks (Yu & Huang, 2019, arXiv 1903.05134). Needs NumPy only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from core.elastic.layout import Width
from core.elastic.recipes.base import Cuts, Recipe


@dataclass(frozen=True, kw_only=True)
class Sandwich(Recipe):
    """Full width, the lower bound and `between` uniform cutoffs, all on the whole batch.

    With `distil` the narrower ones learn the full width's output instead of the labels (in-place distillation).
    """

    name: ClassVar[str] = "sandwich"
    limits = Recipe.limits | {"between": (int, 0, 64), "distil": (bool, 0, 1)}
    epochs: int = 10
    alpha: float = 0.25
    between: int = 2
    distil: bool = False

    def draw(self, rng: np.random.Generator, widths: Mapping[str, Width], step: int = 0) -> Cuts:
        """Draw full width, `between` random cutoffs from wide to narrow, and the lower bound."""
        shares = np.sort(rng.random(self.between))[::-1]
        middle = [{name: w.sizes[int(u * len(w.sizes))] for name, w in widths.items()} for u in shares]
        full = {name: w.full for name, w in widths.items()}
        lower = {name: w.lower for name, w in widths.items()}
        return Cuts((full, *middle, lower), whole_batch=True, teacher=0 if self.distil else None)
