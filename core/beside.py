"""The bands of a fully-connected chain, side by side: one product a layer for all of them. Imports torch.

A band is so narrow that its calls cost more than its numbers. All the bands' features together are one layer's, and
what is between the layers keeps to its own band, so that a pass through all of them takes the calls of one.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from core.chain import Chain
from core.chain_pass import Bend
from core.family import Family
from core.path import Range
from core.scale import Band, Scale
from core.whitening import Change

STARTED = 4  # features; from five on one start is as good as another


class Beside(nn.Module):
    """Bands with weights of their own, freshly drawn: those of `family` at each of `ranges`.

    Adam's step has no scale, so a band learns `rates` times as fast where its weights are that many times the
    parameters. A band of `STARTED` features or fewer is there `starts` times, each from another draw: so small a
    network ends in one of several places, some of them points of accuracy below others.
    """

    def __init__(
        self,
        family: Family,
        chain: Chain,
        ranges: Sequence[Range],
        alpha: float,
        rates: Sequence[float],
        starts: int = 1,
    ) -> None:
        super().__init__()
        times = [starts if top <= STARTED else 1 for _, top in ranges]
        #: Of each band, the numbers of its starts, and the one that stands for it.
        self._starts = [list(range(end - n, end)) for n, end in zip(times, itertools.accumulate(times), strict=True)]
        self._kept = [first for first, *_ in self._starts]
        ranges = [one for one, n in zip(ranges, times, strict=True) for _ in range(n)]
        rates = [rate for rate, n in zip(rates, times, strict=True) for _ in range(n)]
        self._chain, self._ranges = chain, tuple(ranges)
        self._bends = [Bend(link.after) for link in chain.links]
        self._known: dict[tuple[int, ...], list[list[float]]] = {}  # factors of each layer at a band's cutoff
        self._layouts = [family.narrowed(low, top).layout for low, top in ranges]
        self._scale = Scale(alpha, chain.scaled_weights())
        states = [family.build(**layout.full).state_dict() for layout in self._layouts]
        self.weights, self.biases = nn.ParameterList(), nn.ParameterDict()
        self._sizes: list[list[int]] = []  # of each layer, its outputs in each band
        for k, link in enumerate(chain.links):
            own = [state[link.weight] for state in states]
            self._sizes.append([len(weight) for weight in own])
            rate = torch.cat([torch.full((len(weight),), r) for weight, r in zip(own, rates, strict=True)])
            self.register_buffer(f"rate_{k}", rate)
            if k:
                self.register_buffer(f"inside_{k}", torch.block_diag(*map(torch.ones_like, own)) * rate[:, None])
            whole = torch.cat(own) if k == 0 else torch.block_diag(*own)
            self.weights.append(nn.Parameter(whole / rate[:, None]))
            if link.bias:
                self.biases[str(k)] = nn.Parameter(torch.cat([state[link.bias] for state in states]) / rate)

    def forward(self, entered: torch.Tensor, cutoffs: Sequence[Mapping[str, int]]) -> torch.Tensor:
        """All bands, from wide to narrow, each at its cutoff: (batch, ..., features) to (batch * starts, ..., outputs).

        The outputs of an example for all starts of all bands are side by side; `parted` tells them apart.
        """
        kept, layers = self._buffers, range(len(self._chain.links))
        rates, inside = [kept[f"rate_{k}"] for k in layers], [kept[f"inside_{k}"] for k in layers[1:]]
        biases = [self.biases[str(k)] if link.bias else None for k, link in enumerate(self._chain.links)]
        factors = self._factors(cutoffs, entered)
        output: torch.Tensor = BesidePass.apply(
            self._bends, rates, inside, factors, entered.flatten(0, -2), *self.weights, *biases
        )
        starts = len(self._ranges)
        if entered.dim() == 2:  # each further view would be a node of autograd
            return output.view(len(entered) * starts, -1)
        return output.view(*entered.shape[:-1], starts, -1).movedim(-2, 1).flatten(0, 1)

    def parted(self, output: torch.Tensor, batch: int) -> list[torch.Tensor]:
        """Of what `forward` gives for so many examples, the output of each band, (batch * its starts, ..., outputs)."""
        by_start = output.unflatten(0, (batch, len(self._ranges)))
        return [part.flatten(0, 1) for part in by_start.split([len(starts) for starts in self._starts], dim=1)]

    @torch.no_grad()
    def choose(self, entered: torch.Tensor, y: torch.Tensor, loss_of: Callable[..., torch.Tensor]) -> None:
        """Keep of each band's starts the one with the smallest loss on these examples."""
        full = [self._layouts[first].full for first, *_ in self._starts]
        outputs = self(entered, full).unflatten(0, (len(entered), len(self._ranges)))
        for band, starts in enumerate(self._starts):
            if len(starts) > 1:
                self._kept[band] = min(starts, key=lambda start: float(loss_of(outputs[:, start], y)))

    def bands(self, rest: Mapping[str, torch.Tensor]) -> tuple[Band, ...]:
        """Each band by itself; `rest` holds what no width touches under its names."""
        return tuple(self.band(place, rest) for place in range(len(self._kept)))

    def band(self, place: int, rest: Mapping[str, torch.Tensor]) -> Band:
        """One of them, by its place from wide to narrow."""
        number = self._kept[place]
        (low, top), layout = self._ranges[number], self._layouts[number]
        state = {name: value for name, value in rest.items() if name in layout.tensors}
        for k, (link, (rows, columns)) in enumerate(zip(self._chain.links, self._blocks(number), strict=True)):
            rate = self._rate(k)[rows]
            state[link.weight] = self.weights[k][rows, columns] * rate[:, None]
            if link.bias:
                state[link.bias] = self.biases[str(k)][rows] * rate
        return Band(low, top, layout, self._scale, {name: state[name] for name in layout.tensors})

    @torch.no_grad()
    def take(self, place: int, state: Mapping[str, torch.Tensor]) -> None:
        """Put weights into one of them."""
        number = self._kept[place]
        for k, (link, (rows, columns)) in enumerate(zip(self._chain.links, self._blocks(number), strict=True)):
            rate = self._rate(k)[rows]
            self.weights[k][rows, columns] = state[link.weight] / rate[:, None]
            if link.bias:
                self.biases[str(k)][rows] = state[link.bias] / rate

    @torch.no_grad()
    def rewrite_first(self, change: Change) -> None:
        """Put other weights into the first layer, by what makes them of the present ones."""
        rate = self._rate(0)
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

    def _rate(self, k: int) -> torch.Tensor:
        rate: torch.Tensor = getattr(self, f"rate_{k}")
        return rate

    def _factors(self, cutoffs: Sequence[Mapping[str, int]], like: torch.Tensor) -> list[torch.Tensor]:
        """What each hidden layer's features are multiplied by: 0 for those dropped, else the scale at the cutoff."""
        layers, known = range(len(self._chain.links) - 1), self._known
        factors: list[list[float]] = [[] for _ in layers]
        for band, cutoff in enumerate(cutoffs):
            key = band, *cutoff.values()
            if key not in known:  # a step asks for one of each band's few sizes
                start, *others = self._starts[band]
                layout, times = self._layouts[start], 1 + len(others)
                scaled = self._scale.factors(layout, cutoff)
                known[key] = []
                for k in layers:
                    weight = self._chain.links[k + 1].weight
                    kept = layout.tensors[weight].shape_at(cutoff)[1]
                    dropped = self._sizes[k][start] - kept
                    known[key].append(([scaled.get(weight, 1.0)] * kept + [0.0] * dropped) * times)
            for of_layer, own in zip(factors, known[key], strict=True):
                of_layer += own
        whole = torch.tensor([*itertools.chain(*factors)], dtype=like.dtype, device=like.device)
        return list(whole.split([len(of_layer) for of_layer in factors]))


class BesidePass(torch.autograd.Function):
    """(rows, inputs) to (rows, outputs of all starts of all bands), one node of autograd as in `core.chain_pass`.

    rates: what the first layer's outputs are multiplied by, (its features); and each bias, likewise. inside: what each
    other layer's weight is multiplied by, (outputs, inputs), which is 0 where they are not of one start. factors: of
    each hidden layer, what its features are multiplied by behind the function.
    """

    @staticmethod
    def forward(
        ctx: Any,
        bends: Sequence[Bend],
        rates: Sequence[torch.Tensor],
        inside: Sequence[torch.Tensor],
        factors: Sequence[torch.Tensor],
        x: torch.Tensor,
        *tensors: torch.Tensor | None,
    ) -> torch.Tensor:
        """Arguments after the input: the weight of each layer, and its bias or None."""
        n = len(bends)
        weights, h, seen = [], x, []
        for k, (weight, bias) in enumerate(zip(tensors[:n], tensors[n:], strict=True)):
            assert weight is not None
            if k == 0:  # of many inputs, so that its few outputs are what is cheaper to multiply
                z = F.linear(h, weight, bias).mul_(rates[0])
            else:
                weight = weight * inside[k - 1]
                z = F.linear(h, weight, None if bias is None else bias * rates[k])
            weights.append(weight)
            after, kept = bends[k].forward(z)
            seen.append((h, kept))
            h = after * factors[k] if k < n - 1 else after
        ctx.of = bends, rates, inside, factors, weights, seen, [bias is not None for bias in tensors[n:]]
        return h.detach()  # or it would hold the graph that holds it

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Of the input, if that is wanted, of the weights and of the biases."""
        bends, rates, inside, factors, weights, seen, has_bias = ctx.of
        of_weights: list[torch.Tensor] = []
        of_biases: list[torch.Tensor | None] = []
        for k in reversed(range(len(bends))):
            h, kept = seen[k]
            grad = bends[k].backward(grad, kept)
            if k:
                of_weights.append((grad.t() @ h).mul_(inside[k - 1]))
                of_biases.append(grad.sum(0).mul_(rates[k]) if has_bias[k] else None)
                grad = (grad @ weights[k]).mul_(factors[k - 1])
            else:
                grad = grad * rates[0]
                of_weights.append(grad.t() @ h)
                of_biases.append(grad.sum(0) if has_bias[0] else None)
        of_x = grad @ weights[0] if ctx.needs_input_grad[4] else None
        return None, None, None, None, of_x, *of_weights[::-1], *of_biases[::-1]
