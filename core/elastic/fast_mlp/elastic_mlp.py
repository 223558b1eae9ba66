"""ElasticMLP: an `Elastic` for fully-connected chains, with the same outputs and gradients in fewer calls.

Imports torch. Without this folder training would lose speed at narrow widths, whitening and restarts; its callers are
one line each in `core.train.training` and `core.sweep.evaluator`, and the whitening of `core.finetune.polish`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from core.elastic.discovery.chain import Link, find_chain
from core.elastic.family import Family
from core.elastic.fast_mlp.stacked_bands import StackedBands
from core.elastic.fast_mlp.whitening import Change, Whitening, rewrite
from core.elastic.module import Elastic, Milestone
from core.elastic.recipes.base import Cuts
from core.elastic.scale import Band
from core.elastic.size_grid import Range

RESTARTS = 6  # random starts of the smallest bands; the best goes on alone after a quarter of the steps
RESTARTS_SHARE, MIN_RESTART_STEPS = 1 / 4, 150
JUDGED_ROWS = 8000  # training rows by which the best start is chosen
WHITENING_ROWS = 4000  # training rows that tell in which directions inputs vary
MAX_PREPARED_BYTES, PREPARED_ROWS = 2**29, 4096  # inputs of the first layer that are kept, and made at a time


class _Layer(NamedTuple):
    link: Link
    weight: torch.Tensor  # (outputs, inputs) at full size
    bias: torch.Tensor | None


class ElasticMLP(Elastic):
    """`Elastic` whose layers are called directly, whose bands run stacked and whose inputs are whitened.

    Parameters are those of `Elastic`; `restarts` is the number of random starts of the smallest bands.
    """

    def __init__(
        self, family: Family, alpha: float = 0.0, bands: Sequence[Range] = (), restarts: int = RESTARTS
    ) -> None:
        super().__init__(family, alpha, bands)
        chain = find_chain(self.full, self.layout)
        if chain is None:
            raise TypeError("the family is no fully-connected chain; use Elastic")
        self.chain = chain
        parameters = dict(self.full.named_parameters())
        self._layers = [
            _Layer(link, parameters[link.weight], parameters[link.bias] if link.bias else None) for link in chain.links
        ]
        self.whitening: Whitening | None = None
        self._prepared = False  # whether training inputs come as `prepare` returned them
        self.stacked = StackedBands(family, chain, bands, self._scale, self.rates, restarts) if bands else None

    @staticmethod
    def suits(family: Family) -> bool:
        """Whether the family's models are fully-connected chains in which everything is trained."""
        module = family.new_sibling()
        return all(p.requires_grad for p in module.parameters()) and find_chain(module, family.layout) is not None

    def _make_bands(self, alpha: float) -> list[Elastic]:
        return []  # they are in `stacked`

    def forward(self, x: torch.Tensor, cuts: Cuts) -> list[torch.Tensor]:
        """Run the model at every cutoff of a step; see `Elastic.forward`."""
        rows: Sequence[slice] = cuts.rows(x.shape[0])
        outputs: dict[int, torch.Tensor] = {}
        entered = x if self.training and self._prepared else self._enter(x)
        groups = self._by_band(cuts.cutoffs)
        for k in groups.pop(None, []):
            outputs[k] = self._run_slice(entered[rows[k]], cuts.cutoffs[k])
        each = [groups[band][0] for band in sorted(groups, key=lambda band: band or 0)]
        if groups and self._in_one_pass(groups, [rows[k] for k in each]):
            outputs |= self._run_stacked(entered[rows[each[0]]], {k: cuts.cutoffs[k] for k in each})
        else:
            for place, numbers in groups.items():
                band = self._band(place or 0)
                outputs |= {k: self.chain.run(entered[rows[k]], band.fold(cuts.cutoffs[k])) for k in numbers}
        return [outputs[k] for k in range(len(outputs))]

    def _run_slice(self, h: torch.Tensor, cutoff: Mapping[str, int]) -> torch.Tensor:
        """Run the leading slices of the shared weights; the scale multiplies products rather than weights."""
        leading = h.shape[:-1]
        h = h.flatten(0, -2)
        for layer, (rows, columns, factor) in zip(self._layers, self._sizes(tuple(cutoff.items())), strict=True):
            weight = layer.weight[:rows, :columns].t()
            z = h @ weight * factor if layer.bias is None else torch.addmm(layer.bias[:rows], h, weight, alpha=factor)
            h = layer.link.activate(z)
        return h.view(*leading, -1)

    @lru_cache(maxsize=4096)  # noqa: B019 (a model is gone after its training)
    def _sizes(self, cutoff: tuple[tuple[str, int], ...]) -> list[tuple[Any, ...]]:
        """Outputs, inputs and scale of each layer at a cutoff."""
        widths = dict(cutoff)
        factors, names = self._scale.factors(self.layout, widths), [link.weight for link in self.chain.links]
        return [(*self.layout.tensors[name].shape_at(widths), factors.get(name, 1.0)) for name in names]

    def _in_one_pass(self, groups: Mapping[int | None, list[int]], rows: list[slice]) -> bool:
        """Whether each band has one cutoff and all are on the same rows, as in a step of a training."""
        one_each = len(groups) == len(self.ranges) == sum(map(len, groups.values()))
        return self.training and one_each and all(part == rows[0] for part in rows)

    def _run_stacked(self, entered: torch.Tensor, cutoffs: Mapping[int, Mapping[str, int]]) -> dict[int, torch.Tensor]:
        """Outputs of all bands by number, (rows * starts, ..., outputs): an example's starts follow each other."""
        assert self.stacked is not None
        outputs = self.stacked(entered, list(cutoffs.values()))  # (rows, ..., starts, outputs)
        if outputs.dim() > 3:
            outputs = outputs.movedim(-2, 1)
        parts = outputs.split(self.stacked.starts, dim=1)
        return {k: part.flatten(0, 1) for k, part in zip(cutoffs, parts, strict=True)}

    def _enter(self, x: torch.Tensor) -> torch.Tensor:
        """Inputs of the first elastic layer, (batch, ..., features): the same at every width."""
        entered = self.chain.enter(x)
        return entered if self.whitening is None else self.whitening(entered)

    def _band(self, place: int) -> Band:
        assert self.stacked is not None
        return self.stacked.band(place, self.full.state_dict(keep_vars=True))

    def _band_weights(self) -> tuple[Band, ...]:
        return tuple(self._band(place) for place in range(len(self.ranges)))

    def _load_band(self, place: int, state: Mapping[str, torch.Tensor]) -> None:
        assert self.stacked is not None
        self.stacked.load(place, state)

    def parameter_sets(self) -> list[tuple[list[nn.Parameter], float]]:
        """The shared parameters and the stacked bands', which have their rates in themselves."""
        stacked = [] if self.stacked is None else [(list(self.stacked.parameters()), 1.0)]
        return [(list(self.full.parameters()), 1.0), *stacked]

    @torch.no_grad()
    def prepare(self, x: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        """Whiten what the first layers learn from; the network computes the same as before.

        Returns the inputs of the first elastic layer, (n, ..., features), computed once instead of in every step.
        """
        if self.chain.learns_before:
            return x
        where = next(self.parameters()).device
        rows = torch.from_numpy(np.sort(rng.permutation(len(x))[:WHITENING_ROWS])).to(x.device)
        sample = self.chain.enter(x[rows].float().to(where))
        self.whitening = Whitening(sample.flatten(0, -2), centre=self.chain.links[0].bias is not None)
        self._rewrite_first(self.whitening.unfold)
        if len(x) * sample[0].numel() * sample.element_size() > MAX_PREPARED_BYTES:
            return x
        self._prepared = True
        return torch.cat([self._enter(part.float().to(where)) for part in x.split(PREPARED_ROWS)])

    def settle(self) -> None:
        """Fold the whitening into the weights, which take the inputs as they are from here on."""
        if self.whitening is not None:
            self._rewrite_first(self.whitening.fold)
            self.whitening, self._prepared = None, False

    def _rewrite_first(self, change: Change) -> None:
        rewrite(self.full.state_dict(keep_vars=True), self.chain.links[0], change)
        if self.stacked is not None:
            self.stacked.rewrite_first(change)

    def milestones(self, steps: int) -> list[Milestone]:
        """Keep the best random start of each band after a quarter of the steps."""
        if self.stacked is None or max(self.stacked.starts) == 1:
            return []
        at = min(steps, max(round(RESTARTS_SHARE * steps), min(MIN_RESTART_STEPS, steps)))
        return [Milestone(at, self._keep_best_starts, self._drop_other_starts)]

    @torch.no_grad()
    def _keep_best_starts(
        self,
        optimizer: torch.optim.Optimizer,
        x: torch.Tensor,
        y: torch.Tensor,
        loss: Callable[..., torch.Tensor],
        rng: np.random.Generator,
    ) -> None:
        assert self.stacked is not None
        rows, where = torch.from_numpy(rng.permutation(len(x))[:JUDGED_ROWS]), next(self.parameters()).device
        judged = x[rows.to(x.device)].float().to(where)
        entered = judged if self._prepared else self._enter(judged)
        _cut_state(optimizer, self.stacked.keep_best(entered, y[rows.to(y.device)].to(where), loss))

    def _drop_other_starts(self, optimizer: torch.optim.Optimizer) -> None:
        assert self.stacked is not None
        _cut_state(optimizer, self.stacked.drop_others())


def _cut_state(optimizer: torch.optim.Optimizer, cuts: Mapping[nn.Parameter, Callable[..., torch.Tensor]]) -> None:
    """Cut an optimiser's state as its parameters were cut."""
    for parameter, cut in cuts.items():
        state = optimizer.state.get(parameter, {})
        state.update({name: cut(value) for name, value in state.items() if value.dim()})
