"""The bands of a fully-connected chain, side by side: one product a layer for all of them. Imports torch.

A band is so narrow that its calls cost more than its numbers. All the bands' features together are one layer's, and
what is between the layers keeps to its own band, so that a pass through all of them takes the calls of one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import nn
from torch.nn import functional as F

from core.chain import Chain
from core.family import Family
from core.path import Range
from core.scale import Band, Scale


class Beside(nn.Module):
    """Bands with weights of their own, freshly drawn: those of `family` at each of `ranges`.

    Adam's step has no scale, so a band learns `rates` times as fast where its weights are that many times the
    parameters.
    """

    def __init__(
        self, family: Family, chain: Chain, ranges: Sequence[Range], alpha: float, rates: Sequence[float]
    ) -> None:
        super().__init__()
        self._chain, self._ranges = chain, tuple(ranges)
        self._layouts = [family.narrowed(low, top).layout for low, top in ranges]
        self._scale = Scale(alpha, chain.scaled_weights())
        states = [family.build(**layout.full).state_dict() for layout in self._layouts]
        self.weights, self.biases = nn.ParameterList(), nn.ParameterDict()
        self._sizes: list[list[int]] = []  # of each layer, its outputs in each band
        for k, link in enumerate(chain.links):
            own = [state[link.weight] for state in states]
            self._sizes.append([len(weight) for weight in own])
            rate = torch.cat([torch.full((len(weight),), r) for weight, r in zip(own, rates, strict=True)])
            inside = torch.ones(len(rate), 1) if k == 0 else torch.block_diag(*map(torch.ones_like, own))
            self.register_buffer(f"times_{k}", rate[:, None] * inside)
            self.register_buffer(f"rate_{k}", rate)
            whole = torch.cat(own) if k == 0 else torch.block_diag(*own)
            self.weights.append(nn.Parameter(whole / rate[:, None]))
            if link.bias:
                self.biases[str(k)] = nn.Parameter(torch.cat([state[link.bias] for state in states]) / rate)

    def forward(self, entered: torch.Tensor, cutoffs: Sequence[Mapping[str, int]]) -> list[torch.Tensor]:
        """The outputs of all bands, from wide to narrow, each at its cutoff; (batch, features) to (batch, outputs)."""
        h, last = entered, len(self._chain.links) - 1
        for k, link in enumerate(self._chain.links):
            weight, bias = self._layer(k)
            h = link.activate(F.linear(h, weight, bias))
            if k < last:
                h = h * self._kept(k, cutoffs, h)
        return list(h.split(self._sizes[-1], dim=-1))

    def bands(self, rest: Mapping[str, torch.Tensor]) -> tuple[Band, ...]:
        """Each band by itself; `rest` holds what no width touches under its names."""
        found = []
        for number, ((low, top), layout) in enumerate(zip(self._ranges, self._layouts, strict=True)):
            state = {name: value for name, value in rest.items() if name in layout.tensors}
            for k, (link, (rows, columns)) in enumerate(zip(self._chain.links, self._blocks(number), strict=True)):
                weight, bias = self._layer(k)
                state[link.weight] = weight[rows, columns]
                if link.bias and bias is not None:
                    state[link.bias] = bias[rows]
            found.append(Band(low, top, layout, self._scale, {name: state[name] for name in layout.tensors}))
        return tuple(found)

    @torch.no_grad()
    def take(self, number: int, state: Mapping[str, torch.Tensor]) -> None:
        """Put weights into band `number`."""
        for k, (link, (rows, columns)) in enumerate(zip(self._chain.links, self._blocks(number), strict=True)):
            rate = getattr(self, f"rate_{k}")[rows]
            self.weights[k][rows, columns] = state[link.weight] / rate[:, None]
            if link.bias:
                self.biases[str(k)][rows] = state[link.bias] / rate

    def _blocks(self, number: int) -> Iterator[tuple[slice, slice]]:
        """Rows and columns of band `number` in each layer's weight."""
        columns = slice(None)
        for sizes in self._sizes:
            rows = slice(sum(sizes[:number]), sum(sizes[: number + 1]))
            yield rows, columns
            columns = rows

    def _layer(self, k: int) -> tuple[torch.Tensor, torch.Tensor | None]:
        bias = self.biases[str(k)] * getattr(self, f"rate_{k}") if self._chain.links[k].bias else None
        return self.weights[k] * getattr(self, f"times_{k}"), bias

    def _kept(self, k: int, cutoffs: Sequence[Mapping[str, int]], like: torch.Tensor) -> torch.Tensor:
        """What a layer's features are multiplied by: 0 for those that are dropped, else the scale at the cutoff."""
        weight, factors = self._chain.links[k + 1].weight, []
        for layout, cutoff, size in zip(self._layouts, cutoffs, self._sizes[k], strict=True):
            kept = layout.tensors[weight].shape_at(cutoff)[1]
            times = self._scale.factors(layout, cutoff).get(weight, 1.0)
            factors += [times] * kept + [0.0] * (size - kept)
        return torch.tensor(factors, dtype=like.dtype, device=like.device)
