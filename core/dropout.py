"""How cutoffs are drawn: recipes, each a frozen dataclass with a name. Needs NumPy only.

A cutoff keeps the features below it and drops the rest (Structural Dropout, arXiv 2205.06906, section 3). To add a
recipe: a dataclass with its settings' `limits` and a `draw`, and its name in `RECIPES`.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
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
LEAST_STEPS = 320  # of a training whose epochs and batch are left to the data
OWN, OWN_IN_TURN = 0.25, 0.5  # of a shared batch, what bands see: together with the others, and in a step of their own


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

    def draw(self, rng: np.random.Generator, widths: Mapping[str, Width], step: int = 0) -> Cuts:
        """The cutoffs of one step, which is the training's `step`-th."""
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
class Stratified(Recipe):
    """Cutoffs from all the sizes' logarithm, so that small widths get their share.

    From `own_below` of full size up all widths share their weights; K cutoffs of a step are theirs. The k-th of K is
    `round((full + 0.49) ** p)`, where p is uniform in the k-th of K equal parts of what lies between the least and the
    full size. In a share `full_share` of the steps the widest is full width, which lags most behind a network of its
    own; in a share `least_share` the narrowest is the least, which has neighbours on one side alone.

    Below, every halving has weights of its own (a band) and one cutoff in each step, drawn likewise: in a share
    `least_share` of the steps the band's narrowest, in as many its widest. In a fully-connected chain, whose bands run
    side by side, they are `finer`, and those of the smallest sizes, which end now here and now there, are begun
    `starts` times; after a third of the steps the best of these on training examples goes on alone (`core.starts`).

    The batch is shared: bands get a quarter of it together, and of the rest the widest cutoff gets `widest_share` and
    the others equal parts. Where they take `turns`, as in a chain, even steps are those of shared weights and odd ones
    those of bands, which have no weights in common: such a step costs half the calls, and sees more rows for them (the
    bands half of the batch). Of data too few for sixteen batches of 500 each cutoff sees the whole batch, which is then
    an eighth of the data, or a sixteenth in turns: a step on so few rows costs its calls more than its rows.
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
        "turns": (bool, 0, 1),
    }
    epochs: int | None = None  # 12, or 20 where they take turns; 40 on small data
    lr: float | None = None  # 8e-3; 3e-2 where each cutoff sees the whole batch, whose gradient is less noisy
    weight_decay: float | None = None  # 0.12; 0.3 on small data, which are soon known by heart
    alpha: float = 0.3
    tables: bool = False
    strata: int = 2
    full_share: float = 0.5
    least_share: float = 0.25
    widest_share: float = 1 / 3  # of what cutoffs of shared weights see
    whole_batch: bool | None = None
    own_below: float = 1 / 8
    finer: bool | None = None  # for a fully-connected chain; other models run their bands one after the other
    turns: bool | None = None  # likewise
    starts: int = 6
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
        finer, turns = (chain if asked is None else asked for asked in (self.finer, self.turns))
        rows = min(n, self.batch_size or min(LARGEST_BATCH, max(32, n // (8 if whole and not turns else 16))))
        least = 1 if self.batch_size else math.ceil(LEAST_STEPS / (n // rows))  # of very few rows each is seen often
        return replace(
            self,
            whole_batch=whole,
            finer=finer,
            turns=turns,
            batch_size=rows,
            epochs=self.epochs or max(least, 40 if small else 20 if turns else 12),
            lr=self.lr or (3e-2 if whole else 8e-3),
            weight_decay=(0.3 if small else 0.12) if self.weight_decay is None else self.weight_decay,
        )

    def draw(self, rng: np.random.Generator, widths: Mapping[str, Width], step: int = 0) -> Cuts:
        """`strata` cutoffs, widest first, with the same share of full width in every layer, and those of bands."""
        bands = self.bands(widths)
        in_turn = bool(self.turns and bands)
        least = widths_at(widths, bands[0][1] + 1 if bands else range_of(widths)[0])
        shared = [] if in_turn and step % 2 else self._shared(rng, widths, least)
        of_bands = [] if in_turn and not step % 2 else self._of_bands(rng, widths, bands)
        cutoffs = (*shared, *of_bands)
        if len(cutoffs) == 1 or self.whole_batch:
            return Cuts(cutoffs, whole_batch=True)
        if not shared:
            return Cuts(cutoffs, spans=((0.0, OWN_IN_TURN),) * len(cutoffs))
        left = 1.0 - (OWN if of_bands else 0.0)
        widest = left * (self.widest_share if self.strata > 1 else 1.0)
        part = (left - widest) / max(1, self.strata - 1)
        ends = [0.0, *(widest + part * k for k in range(self.strata))]
        return Cuts(cutoffs, spans=(*itertools.pairwise(ends), *[(left, 1.0)] * len(of_bands)))

    def _shared(self, rng: np.random.Generator, widths: Mapping[str, Width], least: Cutoff) -> list[Cutoff]:
        # plain numbers, few calls: a draw is part of every step
        *inside, full, edge = rng.random(self.strata + 2).tolist()
        positions = [(k + u) / self.strata for k, u in enumerate(inside)]
        if edge < self.least_share:
            positions[0] = 0.0
        if full < self.full_share:
            positions[-1] = 1.0
        return [{n: _between(least[n], w.full, u) for n, w in widths.items()} for u in reversed(positions)]

    def _of_bands(self, rng: np.random.Generator, widths: Mapping[str, Width], bands: Sequence[Range]) -> list[Cutoff]:
        numbers, found = iter(rng.random(2 * len(bands)).tolist()), []
        for (low, top), u, edge in zip(bands, numbers, numbers, strict=True):
            position = 0.0 if edge < self.least_share else 1.0 if edge >= 1.0 - self.least_share else u
            found.append(widths_at(widths, low if low == top else _between(low, top, position)))
        return found


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

    def draw(self, rng: np.random.Generator, widths: Mapping[str, Width], step: int = 0) -> Cuts:
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
