"""Methods that differ from ours in how a width is drawn, as recipes for `core.train`. None of them scales a slice."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from core.elastic.layout import Width
from core.elastic.recipes.base import Cutoff, Cuts, Recipe
from core.elastic.recipes.registry import Sandwich


def at_share(share: float, widths: Mapping[str, Width]) -> Cutoff:
    """Return every width at the same share of its full size, rounded up."""
    # a quotient that stands for an integer number of features must not be rounded up past it
    return {name: min(w.full, max(w.lower, math.ceil(share * w.full - 1e-9))) for name, w in widths.items()}


@dataclass(frozen=True, kw_only=True)
class Nested(Recipe):
    """Nested dropout (Rippel et al., 2014, section 2): a cutoff b with P(b) = (1 - r) r^(b - 1), at most full width.

    r makes the mean of the unlimited b `mean_share` of the full width. The paper draws a cutoff for each example; here
    each of `groups` equal parts of the batch has one.
    """

    name: ClassVar[str] = "nested"
    limits = Recipe.limits | {"mean_share": (float, 1e-3, 1.0), "groups": (int, 1, 64)}
    epochs: int = 10
    alpha: float = 0.0
    mean_share: float = 0.25
    groups: int = 8

    def draw(self, rng: np.random.Generator, widths: Mapping[str, Width], step: int = 0) -> Cuts:
        """Draw `groups` cutoffs, each for a part of the batch."""
        full = max(width.full for width in widths.values())
        cuts = np.minimum(rng.geometric(min(1.0, 1 / (self.mean_share * full)), self.groups), full)
        return Cuts(tuple(at_share(cut / full, widths) for cut in cuts.tolist()))


@dataclass(frozen=True, kw_only=True)
class Ordered(Recipe):
    """Ordered dropout (FjORD; Horvath et al., 2021, section 3): one uniform share of {1/K, 2/K, ..., 1} a step."""

    name: ClassVar[str] = "ordered"
    limits = Recipe.limits | {"sizes": (int, 1, 1024)}
    epochs: int = 10
    alpha: float = 0.0
    sizes: int = 5  # K of the paper

    def draw(self, rng: np.random.Generator, widths: Mapping[str, Width], step: int = 0) -> Cuts:
        """Draw one cutoff for the whole batch."""
        return Cuts((at_share((1 + int(rng.integers(self.sizes))) / self.sizes, widths),), whole_batch=True)


@dataclass(frozen=True, kw_only=True)
class MatFormer(Recipe):
    """MatFormer (Devvrit et al., 2023, section 3): one of g sizes full, 1/2, 1/4, ... a step, drawn uniformly."""

    name: ClassVar[str] = "matformer"
    limits = Recipe.limits | {"granularities": (int, 1, 16)}
    epochs: int = 10
    alpha: float = 0.0
    granularities: int = 4  # g of the paper

    def draw(self, rng: np.random.Generator, widths: Mapping[str, Width], step: int = 0) -> Cuts:
        """Draw one cutoff for the whole batch."""
        return Cuts((at_share(0.5 ** int(rng.integers(self.granularities)), widths),), whole_batch=True)


#: Universally slimmable networks (Yu & Huang, 2019): the sandwich rule with in-place distillation, n = 4 widths a step.
SLIMMABLE = Sandwich(alpha=0.0, between=2, distil=True)
