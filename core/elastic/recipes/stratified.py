"""The default recipe: cutoffs from strata of the sizes' logarithm, bands for the narrowest. Needs NumPy only."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from core.elastic.layout import Layout, Width
from core.elastic.recipes.base import LARGEST_BATCH, MIN_BATCH, Cutoff, Cuts, Recipe
from core.elastic.size_grid import Range, are_alike, halvings, range_of, widths_at

# Measured on Fashion-MNIST and digits; the log is in benchmarks/README.md
FULL_SHARE = 0.5  # of the steps, in which the widest cutoff is full width: it lags most behind a model of its own
EDGE_SHARE = 0.25  # of the steps, in which the narrowest cutoff is the least: it has neighbours on one side alone
MIN_STEPS = 320  # of a training whose epochs and batch are left to the data
# Shares of a batch: the bands', and the widest cutoff's of the rest. The sizes of a single band are nearly the whole
# model, so they need more rows, at a fraction of the cost of the widest cutoff's.
BANDS_ROWS, WIDEST_ROWS = 1 / 4, 1 / 3
SINGLE_BAND_ROWS, WIDEST_ROWS_BESIDE_SINGLE = 1 / 2, 1 / 5
BANDS_ROWS_IN_TURN = 1 / 2  # in a step of their own


@dataclass(frozen=True, kw_only=True)
class Stratified(Recipe):
    """Cutoffs drawn from strata of the sizes' logarithm, so that small widths get their share.

    From `own_below` of full size up all widths share their weights. A step draws `strata` cutoffs for them: the k-th is
    `round((full + 0.49) ** p)`, with p uniform in the k-th of that many equal parts between least and full size.

    Below, each range of sizes in which the size doubles (a band) has weights of its own and one cutoff a step, at the
    band's narrowest and widest in `EDGE_SHARE` of the steps each. In a fully-connected chain (`chain`) the bands run
    side by side, so they are finer, and even steps train the shared weights, odd ones the bands: such a step has half
    the calls. Where the sizes below `own_below` have nearly as many parameters as each other, as in a transformer, one
    band holds them all (`single_band`).

    The cutoffs share the batch. On data too few for sixteen batches of 500 each sees the whole batch, which is then a
    fraction of the data: on so few rows the calls cost more than the numbers.
    """

    name: ClassVar[str] = "stratified"
    whitens: ClassVar[bool] = True
    limits = Recipe.limits | {
        "strata": (int, 1, 64),
        "widest_share": (float, 0.01, 0.99),
        "smoothing": (float, 0.0, 0.9),
        "whole_batch": (bool, 0, 1),
        "own_below": (float, 0.0, 0.5),
        "chain": (bool, 0, 1),
        "single_band": (bool, 0, 1),
    }
    epochs: int | None = None  # 12, or 20 where steps take turns; 40 on small data
    lr: float | None = None  # 8e-3; 3e-2 where each cutoff sees the whole batch, whose gradient is less noisy
    weight_decay: float | None = None  # 0.12; 0.3 on small data, which are soon overfitted
    alpha: float = 0.3
    strata: int = 2
    widest_share: float | None = (
        None  # of the rows of shared weights, the widest cutoff's; 1/3, or 1/5 by a single band
    )
    whole_batch: bool | None = None
    own_below: float = 1 / 8
    smoothing: float = 0.05  # of the labels, for shared weights alone: a narrow network can't overfit
    chain: bool | None = None  # whether the model is a fully-connected chain; decided by the model
    single_band: bool | None = None  # decided by the model

    def bands(self, widths: Mapping[str, Width]) -> tuple[Range, ...]:
        """One range for each halving below `own_below` of full size; half of one in a chain."""
        return halvings(widths, self.own_below, finer=bool(self.chain), single=bool(self.single_band))

    def for_rows(self, n: int, *, chain: bool = False, layout: Layout | None = None) -> Stratified:
        """Decide what was left open: small data get whole batches, more epochs, a larger rate and more weight decay."""
        small = n < 16 * LARGEST_BATCH
        whole = small if self.whole_batch is None else self.whole_batch
        chain = chain if self.chain is None else self.chain
        alike = layout is not None and not chain and are_alike(layout, self.own_below)
        single = alike if self.single_band is None else self.single_band
        share = n // (8 if whole and not chain else 16)
        rows = min(n, self.batch_size or min(LARGEST_BATCH, max(MIN_BATCH, share)))
        least = 1 if self.batch_size else math.ceil(MIN_STEPS / (n // rows))  # of very few rows each is seen often
        return replace(
            self,
            whole_batch=whole,
            chain=chain,
            single_band=single,
            widest_share=self.widest_share or (WIDEST_ROWS_BESIDE_SINGLE if single else WIDEST_ROWS),
            batch_size=rows,
            epochs=self.epochs or max(least, 40 if small else 20 if chain else 12),
            lr=self.lr or (3e-2 if whole else 8e-3),
            weight_decay=(0.3 if small else 0.12) if self.weight_decay is None else self.weight_decay,
        )

    def draw(self, rng: np.random.Generator, widths: Mapping[str, Width], step: int = 0) -> Cuts:
        """Draw `strata` cutoffs, widest first and at the same share of every width, and one for each band."""
        bands = self.bands(widths)
        in_turn = bool(self.chain and bands)
        least = widths_at(widths, bands[0][1] + 1 if bands else range_of(widths)[0])
        shared = [] if in_turn and step % 2 else self._draw_shared(rng, widths, least)
        banded = [] if in_turn and not step % 2 else self._draw_bands(rng, widths, bands)
        cutoffs = (*shared, *banded)
        smoothing = (*[self.smoothing] * len(shared), *[0.0] * len(banded))
        if len(cutoffs) == 1 or self.whole_batch:
            return Cuts(cutoffs, whole_batch=True, smoothing=smoothing)
        if not shared:
            return Cuts(cutoffs, spans=((0.0, BANDS_ROWS_IN_TURN),) * len(cutoffs))
        left = 1.0 - ((SINGLE_BAND_ROWS if self.single_band else BANDS_ROWS) if banded else 0.0)
        widest = left * ((self.widest_share or WIDEST_ROWS) if self.strata > 1 else 1.0)
        part = (left - widest) / max(1, self.strata - 1)
        ends = [0.0, *(widest + part * k for k in range(self.strata))]
        spans = (*itertools.pairwise(ends), *[(left, 1.0)] * len(banded))
        return Cuts(cutoffs, spans=spans, smoothing=smoothing)

    def _draw_shared(self, rng: np.random.Generator, widths: Mapping[str, Width], least: Cutoff) -> list[Cutoff]:
        # plain numbers, few calls: a draw is part of every step
        *inside, full, edge = rng.random(self.strata + 2).tolist()
        positions = [(k + u) / self.strata for k, u in enumerate(inside)]
        if edge < EDGE_SHARE:
            positions[0] = 0.0
        if full < FULL_SHARE:
            positions[-1] = 1.0
        return [{n: w.at_least(_between(least[n], w.full, u)) for n, w in widths.items()} for u in reversed(positions)]

    def _draw_bands(
        self, rng: np.random.Generator, widths: Mapping[str, Width], bands: Sequence[Range]
    ) -> list[Cutoff]:
        numbers, cutoffs = iter(rng.random(2 * len(bands)).tolist()), []
        for (low, top), u, edge in zip(bands, numbers, numbers, strict=True):
            position = 0.0 if edge < EDGE_SHARE else 1.0 if edge >= 1.0 - EDGE_SHARE else u
            cutoffs.append(widths_at(widths, low if low == top else _between(low, top, position)))
        return cutoffs


def _between(least: int, most: int, position: float) -> int:
    """Return the size at a position from 0 to 1 between the logarithms of two sizes."""
    low = math.log(least) / math.log(most + 0.49)
    return min(max(round(float((most + 0.49) ** (low + (1.0 - low) * position))), least), most)
