"""The recipe of the paper: one uniform cutoff a step (arXiv 2205.06906, section 3). Needs NumPy only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from core.elastic.layout import Width
from core.elastic.recipes.base import Cuts, Recipe


@dataclass(frozen=True, kw_only=True)
class Paper(Recipe):
    """With probability `p` one cutoff, uniform from lower to full, both included; otherwise full width."""

    name: ClassVar[str] = "paper"
    limits = Recipe.limits | {"p": (float, 0.0, 1.0), "each_layer": (bool, 0, 1)}
    epochs: int = 10
    lr: float = 1e-3
    alpha: float = 1.0
    p: float = 1.0
    each_layer: bool = True  # as in the paper: a cutoff of its own for every layer

    @property
    def independent(self) -> bool:
        """Whether each layer draws a cutoff of its own."""
        return self.each_layer

    def draw(self, rng: np.random.Generator, widths: Mapping[str, Width], step: int = 0) -> Cuts:
        """Draw one cutoff for the whole batch."""
        shared = (rng.random(), rng.random())
        cutoff = {}
        for name, width in widths.items():
            cut, position = (rng.random(), rng.random()) if self.each_layer else shared
            sizes = width.sizes
            cutoff[name] = sizes[int(position * len(sizes))] if cut < self.p else width.full
        return Cuts((cutoff,), whole_batch=True)
