"""The default recipe: cutoffs from all the sizes' logarithm, and narrow sizes with weights of their own."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from core.elastic.layout import Layout, Width
from core.elastic.recipes.base import LARGEST_BATCH, Cutoff, Cuts, Recipe
from core.elastic.size_grid import Range, are_alike, halvings, range_of, widths_at

LEAST_STEPS = 320  # of a training whose epochs and batch are left to the data
# Of a batch, what bands see beside the others, and of the rest the widest cutoff. The sizes of a single band are nearly
# the whole model, so that they want more rows, at a fraction of the cost of the widest's, which is soon learned.
OWN, WIDEST = 1 / 4, 1 / 3
OWN_SINGLE, WIDEST_SINGLE = 1 / 2, 1 / 5
OWN_IN_TURN = 1 / 2  # in a step of their own


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
    `starts` times; after a quarter of the steps the best of these on training examples goes on alone (`core.elastic.fast_mlp.restarts`).
    Where these sizes have nearly as many parameters as each other (`core.elastic.size_grid.are_alike`), a `single` band holds them
    all.

    The batch is shared: bands get `own_share` of it together, and of the rest the widest cutoff gets `widest_share` and
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
        "own_share": (float, 0.01, 0.99),
        "smoothing": (float, 0.0, 0.9),
        "whole_batch": (bool, 0, 1),
        "least_share": (float, 0.0, 1.0),
        "own_below": (float, 0.0, 0.5),
        "finer": (bool, 0, 1),
        "single": (bool, 0, 1),
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
    widest_share: float | None = None  # of what cutoffs of shared weights see; 1/3, or 1/5 beside a single band
    own_share: float | None = None  # of a batch, what bands see beside the others; 1/4, or 1/2 if it is a single one
    whole_batch: bool | None = None
    own_below: float = 1 / 8
    finer: bool | None = None  # for a fully-connected chain; other models run their bands one after the other
    turns: bool | None = None  # likewise
    single: bool | None = None  # for other models whose sizes below `own_below` have nearly as many parameters
    smoothing: float = 0.05  # of the labels, for shared weights alone: a narrow network can't learn by heart
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
        return halvings(widths, self.own_below, finer=bool(self.finer), single=bool(self.single))

    def for_rows(self, n: int, *, chain: bool = False, layout: Layout | None = None) -> Stratified:
        """Small data: the whole batch for each cutoff, more epochs, a larger rate, and more weight decay."""
        small = n < 16 * LARGEST_BATCH
        whole = small if self.whole_batch is None else self.whole_batch
        finer, turns = (chain if asked is None else asked for asked in (self.finer, self.turns))
        alike = layout is not None and not chain and are_alike(layout, self.own_below)
        single = alike if self.single is None else self.single
        own, widest = self._shares(single)
        rows = min(n, self.batch_size or min(LARGEST_BATCH, max(32, n // (8 if whole and not turns else 16))))
        least = 1 if self.batch_size else math.ceil(LEAST_STEPS / (n // rows))  # of very few rows each is seen often
        return replace(
            self,
            whole_batch=whole,
            finer=finer,
            turns=turns,
            single=single,
            own_share=own,
            widest_share=widest,
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
            return Cuts(cutoffs, whole_batch=True, smoothing=self.smoothing)
        if not shared:
            return Cuts(cutoffs, spans=((0.0, OWN_IN_TURN),) * len(cutoffs))
        own, of_widest = self._shares(bool(self.single))
        left = 1.0 - (own if of_bands else 0.0)
        widest = left * (of_widest if self.strata > 1 else 1.0)
        part = (left - widest) / max(1, self.strata - 1)
        ends = [0.0, *(widest + part * k for k in range(self.strata))]
        spans = *itertools.pairwise(ends), *[(left, 1.0)] * len(of_bands)
        return Cuts(cutoffs, spans=spans, smoothing=self.smoothing)

    def _shares(self, single: bool) -> tuple[float, float]:
        """What bands see of a batch, and the widest cutoff of the rest."""
        own, widest = (OWN_SINGLE, WIDEST_SINGLE) if single else (OWN, WIDEST)
        return self.own_share or own, self.widest_share or widest

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
