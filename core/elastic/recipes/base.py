"""What a recipe is: how the cutoffs of each step are drawn, and the optimiser's schedule. Needs NumPy only."""

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
from core.errors import UserError
from core.utils.numbers import whole_number

T = TypeVar("T")
Cutoff = dict[str, int]  # width name -> features kept
LARGEST_BATCH = 500  # rows


@dataclass(frozen=True)
class Cuts:
    """The cutoffs of one training step; each runs on the whole batch, or all share it."""

    cutoffs: tuple[Cutoff, ...]
    whole_batch: bool = False
    teacher: int | None = None  # cutoff whose output the others learn from, if any
    #: Of the batch, from where to where each cutoff sees it, as shares; None: equal parts, one after the other.
    spans: tuple[tuple[float, float], ...] | None = None
    smoothing: float = 0.0  # of the labels that cutoffs of shared weights learn (Szegedy et al., 2016)


def parts(n: int, cuts: Cuts) -> Sequence[slice]:
    """The rows of a batch of `n` that each cutoff runs on."""
    k = len(cuts.cutoffs)
    return [slice(0, n)] * k if cuts.whole_batch else _parts(n, k, cuts.spans)


@lru_cache  # every step of a kind asks for the same
def _parts(n: int, k: int, spans: tuple[tuple[float, float], ...] | None) -> tuple[slice, ...]:
    # edges are even, since a backward pass of torch 2.13 in two threads can crash on an odd number of pictures
    found = tuple(
        slice(*(n if share > 1 - 1e-9 else 2 * round(n * share / 2) for share in span)) for span in spans or ()
    )
    if not found or any(span.start >= span.stop for span in found):  # of a few rows, some would have none
        return tuple(slice(i * n // k, (i + 1) * n // k) for i in range(k))
    return found


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What every recipe sets: the optimiser's schedule and the scale. None leaves a setting to the data (`for_rows`).

    A consuming layer's input is multiplied by `(full / c) ** alpha` (the paper: alpha 1), where c features are kept.
    """

    name: ClassVar[str]
    #: What each setting may be: its kind, the least and the most.
    limits: ClassVar[dict[str, tuple[type, float, float]]] = {
        "epochs": (int, 1, 100_000),
        "batch_size": (int, 1, 10**7),
        "lr": (float, 1e-12, 10.0),
        "warmup": (float, 0.0, 0.9),
        "weight_decay": (float, 0.0, 10.0),
        "alpha": (float, 0.0, MAX_ALPHA),
        "tables": (bool, 0, 1),
    }
    epochs: int | None = 20
    batch_size: int | None = None  # None: 500, and less on small data
    lr: float | None = 5e-3  # peak of warm-up and cosine
    warmup: float = 0.05  # share of the steps
    weight_decay: float | None = 0.0  # decoupled (AdamW; Loshchilov & Hutter, 2019)
    alpha: float = 0.25
    tables: bool = False  # an offset of each bias for every halving of the width (`core.elastic.scale`)

    def __post_init__(self) -> None:
        for setting, (kind, low, high) in self.limits.items():
            value = getattr(self, setting)
            if value is None and getattr(type(self), setting) is None:
                continue
            # as plain Python's own type, since a recipe goes into JSON
            object.__setattr__(self, setting, _checked(setting, value, kind, low, high))

    @property
    def independent(self) -> bool:
        """Whether each layer draws a cutoff of its own, which wants a width for each layer."""
        return False

    @property
    def whitens(self) -> bool:
        """Whether a fully-connected network learns from inputs that are partly whitened (`core.elastic.fast_mlp.whitening`)."""
        return False

    def bands(self, widths: Mapping[str, Width]) -> tuple[Range, ...]:
        """Ranges of narrow sizes that have weights of their own, from wide to narrow (`core.elastic.scale`)."""
        return ()

    @property
    def begun(self) -> int:
        """How many times the smallest bands of a fully-connected chain are begun, for the best to be kept."""
        return 1

    def for_rows(self, n: int, *, chain: bool = False, layout: Layout | None = None) -> Recipe:
        """The recipe with everything that was left open decided.

        For a training part of n examples, and for a model of that layout which is a fully-connected chain
        (`core.elastic.fast_mlp.chain`) or is not.
        """
        return replace(self, batch_size=min(n, self.batch_size or min(LARGEST_BATCH, max(32, n // 16))))

    def draw(self, rng: np.random.Generator, widths: Mapping[str, Width], step: int = 0) -> Cuts:
        """The cutoffs of one step, which is the training's `step`-th."""
        raise TypeError(f"recipe {type(self).__name__} must say how it draws")

    def to_json(self) -> dict[str, Any]:
        """Name and settings, for run.json."""
        return {"name": self.name, **dataclasses.asdict(self)}


def decided(value: T | None) -> T:
    """A setting of a recipe that `for_rows` has decided. Raises TypeError where nothing has."""
    if value is None:
        raise TypeError("the recipe leaves this setting to the data; ask recipe.for_rows(n) first")
    return value


def _checked(setting: str, value: Any, kind: type, low: float, high: float) -> int | float | bool:
    """`value` as `kind`. Raises UserError where it is another, or not from `low` to `high`."""
    if kind is bool:
        if isinstance(value, (bool, np.bool_)):
            return bool(value)
        raise UserError(f"{setting} is {value!r}; choose True or False")
    number: int | float | None = whole_number(value)
    if kind is int:
        if number is not None and low <= number <= high:
            return number
        raise UserError(f"{setting} is {value!r}; choose a whole number from {low} to {high}")
    if isinstance(value, (float, np.floating)):
        number = float(value)
    if number is None or not low <= number <= high:
        raise UserError(f"{setting} is {value!r}; choose {low:g} to {high:g}")
    return float(number)
