"""How cutoffs are drawn: recipes, each a frozen dataclass with a name. Needs NumPy only.

A cutoff keeps the features below it and drops the rest (Structural Dropout, arXiv 2205.06906, section 3). To add a
recipe: a dataclass with its settings' `limits` and a `draw`, and its name in `RECIPES`.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, TypeVar

import numpy as np

from core.errors import UserError
from core.layout import Width, whole_number
from core.path import Range, halvings, range_of, widths_at
from core.scale import MAX_ALPHA

T = TypeVar("T")
Cutoff = dict[str, int]  # width name -> features kept
LARGEST_BATCH = 500  # rows
OWN = 0.25  # of a shared batch, what bands see


@dataclass(frozen=True)
class Cuts:
    """The cutoffs of one training step; each runs on the whole batch, or all share it."""

    cutoffs: tuple[Cutoff, ...]
    whole_batch: bool = False
    teacher: int | None = None  # cutoff whose output the others learn from, if any
    #: Of the batch, from where to where each cutoff sees it, as shares; None: equal parts, one after the other.
    spans: tuple[tuple[float, float], ...] | None = None


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
    tables: bool = False  # an offset of each bias for every halving of the width (`core.scale`)

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
        """Whether a fully-connected network learns from inputs that are partly whitened (`core.whitening`)."""
        return False

    def bands(self, widths: Mapping[str, Width]) -> tuple[Range, ...]:
        """Ranges of narrow sizes that have weights of their own, from wide to narrow (`core.scale`)."""
        return ()

    @property
    def begun(self) -> int:
        """How many times the smallest bands of a fully-connected chain are begun, for the best to be kept."""
        return 1

    def for_rows(self, n: int, *, chain: bool = False) -> Recipe:
        """The recipe with everything that was left open decided: for a training part of n examples, and for a model
        that is a fully-connected chain (`core.chain`) or is not."""
        return replace(self, batch_size=min(n, self.batch_size or min(LARGEST_BATCH, max(32, n // 16))))

    def draw(self, rng: np.random.Generator, widths: Mapping[str, Width]) -> Cuts:
        """The cutoffs of one step."""
        raise TypeError(f"recipe {type(self).__name__} must say how it draws")

    def to_json(self) -> dict[str, Any]:
        """Name and settings, for run.json."""
        return {"name": self.name, **dataclasses.asdict(self)}


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

    def draw(self, rng: np.random.Generator, widths: Mapping[str, Width]) -> Cuts:
        """One cutoff for the whole batch."""
        shared = (rng.random(), rng.random())
        cutoff = {}
        for name, width in widths.items():
            cut, where = (rng.random(), rng.random()) if self.each_layer else shared
            span = width.full - width.lower + 1
            cutoff[name] = width.lower + min(span - 1, int(where * span)) if cut < self.p else width.full
        return Cuts((cutoff,), whole_batch=True)


@dataclass(frozen=True, kw_only=True)
class Stratified(Recipe):
    """Cutoffs from all the sizes' logarithm in every step, so that small widths get their share.

    From `own_below` of full size up all widths share their weights; K cutoffs of a step are theirs. The k-th of K is
    `round((full + 0.49) ** p)`, where p is uniform in the k-th of K equal parts of what lies between the least and the
    full size. In a share `full_share` of the steps the widest is full width, which lags most behind a network of its
    own; in a share `least_share` the narrowest is the least, which has neighbours on one side alone.

    Below, every halving has weights of its own (a band) and one cutoff in each step, drawn likewise: in a share
    `least_share` of the steps the band's narrowest, in as many its widest. In a fully-connected chain, whose bands run
    side by side, they are `finer`, and those of the smallest sizes, which end now here and now there, are begun
    `starts` times; the best of these on training examples is kept.

    The batch is shared: the widest gets `widest_share` of it, the bands a quarter together, the others the rest in
    equal parts. Of data too few for sixteen batches of 500 each cutoff sees the whole batch, which is then an eighth of
    the data: a step on so few rows costs its calls more than its rows.
    """

    name: ClassVar[str] = "stratified"
    limits = Recipe.limits | {
        "strata": (int, 1, 64),
        "full_share": (float, 0.0, 1.0),
        "widest_share": (float, 0.01, 0.99),
        "whole_batch": (bool, 0, 1),
        "least_share": (float, 0.0, 1.0),
        "own_below": (float, 0.0, 0.5),
        "finer": (bool, 0, 1),
        "starts": (int, 1, 64),
        "whiten": (bool, 0, 1),
    }
    epochs: int | None = None  # 12; 40 on small data, where many more would learn their noise
    lr: float | None = None  # 8e-3; 3e-2 where each cutoff sees the whole batch, whose gradient is less noisy
    weight_decay: float | None = None  # 0.12; 0.3 on small data, which are soon known by heart
    alpha: float = 0.3
    tables: bool = False
    strata: int = 2
    full_share: float = 0.5
    least_share: float = 0.25
    widest_share: float = 0.25
    whole_batch: bool | None = None
    own_below: float = 1 / 8
    finer: bool | None = None  # for a fully-connected chain; other models run their bands one after the other
    starts: int = 4
    whiten: bool = True

    @property
    def whitens(self) -> bool:
        """As it is set."""
        return self.whiten

    @property
    def begun(self) -> int:
        """As it is set."""
        return self.starts

    def bands(self, widths: Mapping[str, Width]) -> tuple[Range, ...]:
        """One for each halving below `own_below` of full size, or more."""
        return halvings(widths, self.own_below, finer=bool(self.finer))

    def for_rows(self, n: int, *, chain: bool = False) -> Stratified:
        """Small data: the whole batch for each cutoff, more epochs, a larger rate, and more weight decay."""
        small = n < 16 * LARGEST_BATCH
        whole = small if self.whole_batch is None else self.whole_batch
        rows = min(n, self.batch_size or min(LARGEST_BATCH, max(32, n // (8 if whole else 16))))
        epochs = self.epochs or (40 if small else 12)
        lr = self.lr or (3e-2 if whole else 8e-3)
        decay = (0.3 if small else 0.12) if self.weight_decay is None else self.weight_decay
        finer = chain if self.finer is None else self.finer
        return replace(self, whole_batch=whole, batch_size=rows, epochs=epochs, lr=lr, weight_decay=decay, finer=finer)

    def draw(self, rng: np.random.Generator, widths: Mapping[str, Width]) -> Cuts:
        """`strata` cutoffs, widest first, with the same share of full width in every layer; then those of bands."""
        bands = self.bands(widths)
        # plain numbers, few calls: a draw is part of every step
        *inside, full, edge = rng.random(self.strata + 2).tolist()
        of_bands = iter(rng.random(2 * len(bands)).tolist())
        positions = [(k + u) / self.strata for k, u in enumerate(inside)]
        if edge < self.least_share:
            positions[0] = 0.0
        if full < self.full_share:
            positions[-1] = 1.0
        least = widths_at(widths, bands[0][1] + 1 if bands else range_of(widths)[0])
        cutoffs = [{n: _between(least[n], w.full, u) for n, w in widths.items()} for u in reversed(positions)]
        for (low, top), u, edge in zip(bands, of_bands, of_bands, strict=True):
            position = 0.0 if edge < self.least_share else 1.0 if edge >= 1.0 - self.least_share else u
            cutoffs.append(widths_at(widths, low if low == top else _between(low, top, position)))
        if len(cutoffs) == 1 or self.whole_batch:
            return Cuts(tuple(cutoffs), whole_batch=True)
        own = OWN if bands else 0.0
        left = 1.0 - self.widest_share
        step = max(left - own, left / 3) / max(1, self.strata - 1)  # of little that is left, bands see some too
        ends = [0.0, *(self.widest_share + step * k for k in range(self.strata))]
        return Cuts(tuple(cutoffs), spans=(*itertools.pairwise(ends), *[(1.0 - own, 1.0)] * len(bands)))


def _between(least: int, most: int, position: float) -> int:
    """The size at a position from 0 to 1 between the logarithms of two sizes."""
    low = math.log(least) / math.log(most + 0.49)
    return min(max(round(float((most + 0.49) ** (low + (1.0 - low) * position))), least), most)


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

    def draw(self, rng: np.random.Generator, widths: Mapping[str, Width]) -> Cuts:
        """Full, `between` random ones from wide to narrow, lower bound."""
        shares = np.sort(rng.random(self.between))[::-1]
        middle = [{name: w.lower + int(u * (w.full - w.lower + 1)) for name, w in widths.items()} for u in shares]
        full = {name: w.full for name, w in widths.items()}
        lower = {name: w.lower for name, w in widths.items()}
        return Cuts((full, *middle, lower), whole_batch=True, teacher=0 if self.distil else None)


def decided(value: T | None) -> T:
    """A setting of a recipe that `for_rows` has decided. Raises TypeError where nothing has."""
    if value is None:
        raise TypeError("the recipe leaves this setting to the data; ask recipe.for_rows(n) first")
    return value


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
