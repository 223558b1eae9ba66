"""Bands of a fully-connected chain stacked side by side: one product a layer for all of them. Imports torch.

Bands are so narrow that the overhead of their calls dominates. Their features together are one layer of a
block-diagonal network, so that a pass through all of them takes the calls of one; dropped features are multiplied by 0.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import cast

import torch
from torch import nn
from torch.nn import functional as F

from core.elastic.discovery.chain import Chain
from core.elastic.family import Family
from core.elastic.fast_mlp.whitening import Change
from core.elastic.scale import Band, Scale
from core.elastic.size_grid import Range

RESTARTED = 4  # features; from five on one random start is as good as another
CACHED = 2000  # masks of so many steps' cutoffs are kept

Cut = Callable[[torch.Tensor], torch.Tensor]


class StackedBands(nn.Module):
    """The bands of `family` at `ranges`, freshly initialised, in one block-diagonal network.

    Adam's step has no scale, so a band learns `rates` times as fast where its weights are that many times the
    parameters. Bands of `RESTARTED` features or fewer converge to different local minima, some points of accuracy below
    others, so each is initialised `restarts` times and the best is kept (`keep_best`).
    """

    def __init__(
        self, family: Family, chain: Chain, ranges: Sequence[Range], scale: Scale, rates: Sequence[float], restarts: int
    ) -> None:
        super().__init__()
        times = [restarts if top <= RESTARTED else 1 for _, top in ranges]
        #: Numbers of each band's starts, and the one that stands for it.
        self._starts = [list(range(end - n, end)) for n, end in zip(times, itertools.accumulate(times), strict=True)]
        self._kept = [first for first, *_ in self._starts]
        ranges = [one for one, n in zip(ranges, times, strict=True) for _ in range(n)]
        rates = [rate for rate, n in zip(rates, times, strict=True) for _ in range(n)]
        self._chain, self._scale, self._ranges = chain, scale, tuple(ranges)
        self._masks: dict[tuple[object, ...], list[torch.Tensor]] = {}
        self._layouts = [family.narrowed(low, top).layout for low, top in ranges]
        states = [family.build(**layout.full).state_dict() for layout in self._layouts]
        self.weights, self.biases = nn.ParameterList(), nn.ParameterDict()
        # a function of a z, a above 0, that is a times that of z lets the rate be part of the mask behind it
        self._rate_in_mask = [*(link.is_homogeneous for link in chain.links[:-1]), False]
        self._sizes: list[list[int]] = []  # of each layer, its outputs in each start
        for k, link in enumerate(chain.links):
            blocks = [state[link.weight] for state in states]
            self._sizes.append([len(block) for block in blocks])
            rate = torch.cat([torch.full((len(block),), r) for block, r in zip(blocks, rates, strict=True)])
            self.register_buffer(f"rate_{k}", rate)
            if k:
                self.register_buffer(f"inside_{k}", torch.block_diag(*map(torch.ones_like, blocks)))
            weight = torch.block_diag(*blocks) if k else torch.cat(blocks)
            self.weights.append(nn.Parameter(weight / rate[:, None]))
            if link.bias:
                self.biases[str(k)] = nn.Parameter(torch.cat([state[link.bias] for state in states]) / rate)

    def forward(self, entered: torch.Tensor, cutoffs: Sequence[Mapping[str, int]]) -> torch.Tensor:
        """Run every start of every band at its band's cutoff.

        entered: (rows, ..., inputs) of the first layer. Returns (rows, ..., starts, outputs).
        """
        h, masks, last = entered, self._masks_at(cutoffs, entered), len(self.weights) - 1
        for k, (link, weight) in enumerate(zip(self._chain.links, self.weights, strict=True)):
            inside = weight * self.get_buffer(f"inside_{k}") if k else weight
            z = F.linear(h, inside, self.biases[str(k)] if link.bias else None)
            h = link.activate(z if self._rate_in_mask[k] else z * self.get_buffer(f"rate_{k}"))
            if k < last:
                h = h * masks[k]
        outputs: torch.Tensor = h.unflatten(-1, (len(self._ranges), -1))
        return outputs

    def _masks_at(self, cutoffs: Sequence[Mapping[str, int]], like: torch.Tensor) -> list[torch.Tensor]:
        """Multipliers of each hidden layer's features, (features,): 0 for those dropped, else the scale."""
        key = like.device, like.dtype, *(size for cutoff in cutoffs for size in cutoff.values())
        if key not in self._masks:  # bands have few sizes, so steps ask for the same ones again
            if len(self._masks) > CACHED:
                self._masks.clear()
            each = [
                self._masks_of(number, cutoff, like)
                for numbers, cutoff in zip(self._starts, cutoffs, strict=True)
                for number in numbers
            ]
            self._masks[key] = [
                torch.cat(layer) * (self.get_buffer(f"rate_{k}") if self._rate_in_mask[k] else 1.0)
                for k, layer in enumerate(zip(*each, strict=True))
            ]
        return self._masks[key]

    def _masks_of(self, number: int, cutoff: Mapping[str, int], like: torch.Tensor) -> list[torch.Tensor]:
        layout = self._layouts[number]
        factors, masks = self._scale.factors(layout, cutoff), []
        for link in self._chain.links[1:]:
            tensor = layout.tensors[link.weight]
            masks.append(like.new_zeros(tensor.shape[1]))
            masks[-1][: tensor.shape_at(cutoff)[1]] = factors.get(link.weight, 1.0)
        return masks

    @property
    def starts(self) -> list[int]:
        """Number of random starts of each band."""
        return [len(numbers) for numbers in self._starts]

    @torch.no_grad()
    def keep_best(
        self, entered: torch.Tensor, y: torch.Tensor, loss: Callable[..., torch.Tensor]
    ) -> dict[nn.Parameter, Cut]:
        """Drop all starts of a band but the one with the smallest loss on these examples at full size.

        Returns how each parameter was cut, which whatever belongs to it entry by entry has to be too.
        """
        outputs = self(entered, [self._layouts[first].full for first, *_ in self._starts])
        for band, numbers in enumerate(self._starts):
            losses = [float(loss(outputs[..., number, :], y)) for number in numbers] if len(numbers) > 1 else [0.0]
            self._kept[band] = numbers[losses.index(min(losses))]
        return self.drop_others()

    @torch.no_grad()
    def drop_others(self) -> dict[nn.Parameter, Cut]:
        """Drop all starts but those that stand for their bands; returns how each parameter was cut."""
        blocks = [list(self._blocks(number)) for number in self._kept]
        cuts: dict[nn.Parameter, Cut] = {}
        for k in range(len(self._chain.links)):
            rows = _indices([block[k][0] for block in blocks])
            columns = _indices([block[k][1] for block in blocks]) if k else slice(None)
            cuts[self.weights[k]] = partial(_select, rows=rows, columns=columns)
            if str(k) in self.biases:
                cuts[self.biases[str(k)]] = partial(_select, rows=rows)
            self.register_buffer(f"rate_{k}", _select(self.get_buffer(f"rate_{k}"), rows))
            if k:
                self.register_buffer(f"inside_{k}", _select(self.get_buffer(f"inside_{k}"), rows, columns))
        for parameter, cut in cuts.items():
            parameter.data, parameter.grad = cut(parameter.data), None
        self._sizes = [[sizes[number] for number in self._kept] for sizes in self._sizes]
        self._layouts = [self._layouts[number] for number in self._kept]
        self._ranges = tuple(self._ranges[number] for number in self._kept)
        self._kept = list(range(len(self._kept)))
        self._starts = [[number] for number in self._kept]
        self._masks.clear()
        return cuts

    def band(self, place: int, rest: Mapping[str, torch.Tensor]) -> Band:
        """Return one band, by its place from wide to narrow; `rest` holds the tensors that no width touches."""
        number = self._kept[place]
        (low, top), layout = self._ranges[number], self._layouts[number]
        state = {name: value for name, value in rest.items() if name in layout.tensors}
        for k, (link, (rows, columns)) in enumerate(zip(self._chain.links, self._blocks(number), strict=True)):
            rate = self.get_buffer(f"rate_{k}")[rows]
            state[link.weight] = self.weights[k][rows, columns] * rate[:, None]
            if link.bias:
                state[link.bias] = self.biases[str(k)][rows] * rate
        return Band(low, top, layout, self._scale, {name: state[name] for name in layout.tensors})

    @torch.no_grad()
    def load(self, place: int, state: Mapping[str, torch.Tensor]) -> None:
        """Put weights into the start that stands for a band."""
        number = self._kept[place]
        for k, (link, (rows, columns)) in enumerate(zip(self._chain.links, self._blocks(number), strict=True)):
            rate = self.get_buffer(f"rate_{k}")[rows]
            self.weights[k][rows, columns] = state[link.weight] / rate[:, None]
            if link.bias:
                self.biases[str(k)][rows] = state[link.bias] / rate

    @torch.no_grad()
    def rewrite_first(self, change: Change) -> None:
        """Replace the first layer by what `change` makes of its weight and bias."""
        rate = cast(torch.Tensor, self.get_buffer("rate_0"))
        weight, bias = change(self.weights[0] * rate[:, None], self.biases["0"] * rate if "0" in self.biases else None)
        self.weights[0].copy_(weight / rate[:, None])
        if bias is not None:
            self.biases["0"].copy_(bias / rate)

    def _blocks(self, number: int) -> Iterator[tuple[slice, slice]]:
        """Rows and columns of a start in each layer's weight."""
        columns = slice(None)
        for sizes in self._sizes:
            rows = slice(sum(sizes[:number]), sum(sizes[: number + 1]))
            yield rows, columns
            columns = rows


def _indices(parts: Sequence[slice]) -> torch.Tensor:
    return torch.cat([torch.arange(part.start, part.stop) for part in parts])


def _select(value: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor | slice = slice(None)) -> torch.Tensor:
    rows = rows.to(value.device)
    return value[rows] if isinstance(columns, slice) else value[rows[:, None], columns.to(value.device)]
