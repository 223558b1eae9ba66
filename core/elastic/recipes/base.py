"""Recipe: how the cutoffs of each training step are drawn, and the optimiser's schedule. Needs NumPy only."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, ClassVar, TypeVar

import numpy as np

from core.elastic.layout import Layout, Width
from core.elastic.scale import MAX_ALPHA
from core.elastic.size_grid import Range
from core.utils.numbers import checked_setting

T = TypeVar("T")
Cutoff = dict[str, int]  # width name -> features kept
LARGEST_BATCH = 500  # rows
MIN_BATCH = 32  # rows, unless the data have fewer


@dataclass(frozen=True)
class Cuts:
    """The cutoffs of one training step; each runs on the whole batch, or they share it."""

    cutoffs: tuple[Cutoff, ...]
    whole_batch: bool = False
    teacher: int | None = None  # number of the cutoff whose output the others learn from, if any
    #: Part of the batch that each cutoff sees, from and to, as shares; None: equal parts, one after the other.
    spans: tuple[tuple[float, float], ...] | None = None
    #: Share of the label that is spread evenly over all classes, for each cutoff (Szegedy et al., 2016); (): none.
    smoothing: tuple[float, ...] = ()

    def rows(self, n: int) -> Sequence[slice]:
        """Rows of a batch of `n` that each cutoff runs on."""
        count = len(self.cutoffs)
        return [slice(0, n)] * count if self.whole_batch else _rows(n, count, self.spans)


@lru_cache  # every step of a kind asks for the same
def _rows(n: int, count: int, spans: tuple[tuple[float, float], ...] | None) -> tuple[slice, ...]:
    # edges are even, since a backward pass of torch 2.13 in two threads can crash on an odd number of pictures
    rows = tuple(
        slice(*(n if share > 1 - 1e-9 else 2 * round(n * share / 2) for share in span)) for span in spans or ()
    )
    if not rows or any(part.start >= part.stop for part in rows):  # of a few rows, some would have none
        return tuple(slice(i * n // count, (i + 1) * n // count) for i in range(count))
    return rows


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Base of every recipe: the schedule and the scale. A setting of None is left to the data (`for_rows`).

    A consuming layer's input is multiplied by `(full / c) ** alpha` where c features are kept (the paper: alpha 1).
    To add a recipe: a subclass with `name`, `limits` of its settings and `draw`, and its line in
    `core.elastic.recipes.registry`.
    """

    name: ClassVar[str]
    whitens: ClassVar[bool] = False  # whether a fully-connected chain learns from whitened inputs
    #: Each setting's type, least and largest value.
    limits: ClassVar[dict[str, tuple[type, float, float]]] = {
        "epochs": (int, 1, 100_000),
        "batch_size": (int, 1, 10**7),
        "lr": (float, 1e-12, 10.0),
        "warmup": (float, 0.0, 0.9),
        "weight_decay": (float, 0.0, 10.0),
        "alpha": (float, 0.0, MAX_ALPHA),
    }
    epochs: int | None = 20
    batch_size: int | None = None  # None: 500, and less on small data
    lr: float | None = 5e-3  # peak of warm-up and cosine
    warmup: float = 0.05  # share of the steps
    weight_decay: float | None = 0.0  # decoupled (AdamW; Loshchilov & Hutter, 2019)
    alpha: float = 0.25

    def __post_init__(self) -> None:
        for setting, (kind, low, high) in self.limits.items():
            value = getattr(self, setting)
            if value is None and getattr(type(self), setting) is None:
                continue
            # as plain Python's own type, since a recipe goes into JSON
            object.__setattr__(self, setting, checked_setting(setting, value, kind, low, high))

    @property
    def independent(self) -> bool:
        """Whether each layer draws a cutoff of its own, for which each needs a width of its own."""
        return False

    def bands(self, widths: Mapping[str, Width]) -> tuple[Range, ...]:
        """Ranges of narrow sizes that have weights of their own, from wide to narrow (`core.elastic.scale`)."""
        return ()

    def for_rows(self, n: int, *, chain: bool = False, layout: Layout | None = None) -> Recipe:
        """Decide every setting that was left open, for a training part of `n` examples.

        chain: whether the model is a fully-connected chain (`core.elastic.discovery.chain`).
        """
        return replace(self, batch_size=min(n, self.batch_size or min(LARGEST_BATCH, max(MIN_BATCH, n // 16))))

    def draw(self, rng: np.random.Generator, widths: Mapping[str, Width], step: int = 0) -> Cuts:
        """Draw the cutoffs of the training's `step`-th step."""
        raise TypeError(f"recipe {type(self).__name__} has no `draw`")

    def to_json(self) -> dict[str, Any]:
        """Name and settings, for run.json."""
        return {"name": self.name, **dataclasses.asdict(self)}


def decided(value: T | None) -> T:
    """Return a setting that `for_rows` has decided. Raises TypeError where it is still open."""
    if value is None:
        raise TypeError("the recipe leaves this setting to the data; call recipe.for_rows(n) first")
    return value
