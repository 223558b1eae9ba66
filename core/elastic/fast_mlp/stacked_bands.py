"""The bands of a fully-connected chain, side by side: one product a layer for all of them. Imports torch.

A band is so narrow that its calls cost more than its numbers. All the bands' features together are one layer's, and
what is between the layers keeps to its own band, so that a pass through all of them takes the calls of one.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import nn

from core.elastic.family import Family
from core.elastic.fast_mlp.activation import Bend
from core.elastic.fast_mlp.chain import Chain
from core.elastic.fast_mlp.manual_backward import HandOn, run
from core.elastic.fast_mlp.masked_pass import MaskedPass, masks
from core.elastic.fast_mlp.whitening import Change
from core.elastic.scale import Band, Scale
from core.elastic.size_grid import Range

STARTED = 4  # features; from five on one start is as good as another
MOST_KNOWN = 2000  # factors of so many steps' cutoffs are remembered


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
        #: Of each layer, whether its rates are in what is multiplied behind its function anyway.
        self._in_factors = [*(bend.homogeneous for bend in self._bends[:-1]), False]
        self._known: dict[tuple[Any, ...], list[torch.Tensor]] = {}  # factors of each layer at some cutoffs
        self._known_bands: dict[tuple[Any, ...], list[torch.Tensor]] = {}  # of one band at one cutoff
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
                self.register_buffer(f"inside_{k}", torch.block_diag(*map(torch.ones_like, own)))
            whole = torch.cat(own) if k == 0 else torch.block_diag(*own)
            self.weights.append(nn.Parameter(whole / rate[:, None]))
            if link.bias:
                self.biases[str(k)] = nn.Parameter(torch.cat([state[link.bias] for state in states]) / rate)

    def forward(self, entered: torch.Tensor, cutoffs: Sequence[Mapping[str, int]]) -> torch.Tensor:
        """All bands, from wide to narrow, each at its cutoff: (batch, ..., features) to (batch * starts, ..., outputs).

        The outputs of an example for all starts of all bands are side by side.
        """
        return self.run(entered, cutoffs)[0]

    def run(
        self, entered: torch.Tensor, cutoffs: Sequence[Mapping[str, int]], by_hand: bool = False
    ) -> tuple[torch.Tensor, HandOn | None]:
        """`forward`, or `by_hand`: of (batch, features), (batch, starts, outputs) and what hands its gradient on."""
        kept, biases, layers = self._buffers, self.biases._parameters, range(len(self._chain.links))
        rates = [None if folded else kept[f"rate_{k}"] for k, folded in enumerate(self._in_factors)]
        inside = [kept[f"inside_{k}"] for k in layers[1:]]
        factors, flat = self._factors(cutoffs, entered), entered.dim() == 2
        output, hand_on = run(
            MaskedPass,
            (self._bends, factors, rates, inside, by_hand, entered if flat else entered.flatten(0, -2)),
            # the list itself looks each one up by its number's name
            [*self.weights._parameters.values(), *(biases.get(str(k)) for k in layers)],
            by_hand,
        )
        starts = len(self._ranges)
        if hand_on is not None:
            return output.unflatten(1, (starts, -1)), lambda grad: hand_on(grad.flatten(1))
        if flat:  # each further view would be a node of autograd
            return output.view(entered.shape[0] * starts, -1), None
        return output.view(*entered.shape[:-1], starts, -1).movedim(-2, 1).flatten(0, 1), None

    @property
    def starts(self) -> list[int]:
        """How many of them each band has."""
        return [len(starts) for starts in self._starts]

    @property
    def several(self) -> bool:
        """Whether some band is there more than once."""
        return len(self._ranges) > len(self._kept)

    @torch.no_grad()
    def choose(self, entered: torch.Tensor, y: torch.Tensor, loss_of: Callable[..., torch.Tensor]) -> None:
        """Let of each band's starts the one stand for it that has the smallest loss on these examples."""
        full = [self._layouts[first].full for first, *_ in self._starts]
        outputs = self(entered, full).unflatten(0, (len(entered), len(self._ranges)))
        for band, starts in enumerate(self._starts):
            if len(starts) > 1:
                self._kept[band] = min(starts, key=lambda start: float(loss_of(outputs[:, start], y)))

    @torch.no_grad()
    def go_on_alone(self) -> dict[nn.Parameter, Callable[[torch.Tensor], torch.Tensor]]:
        """Drop all starts but those that stand for their bands.

        Returns how each parameter was cut, which whatever belongs to it entry by entry has to be too.
        """
        blocks = [list(self._blocks(number)) for number in self._kept]
        cuts: dict[nn.Parameter, Callable[[torch.Tensor], torch.Tensor]] = {}
        for k in range(len(self._chain.links)):
            rows = _joined([block[k][0] for block in blocks])
            columns = _joined([block[k][1] for block in blocks]) if k else slice(None)
            cuts[self.weights[k]] = partial(_cut, rows=rows, columns=columns)
            if str(k) in self.biases:
                cuts[self.biases[str(k)]] = partial(_cut, rows=rows)
            self.register_buffer(f"rate_{k}", _cut(self._rate(k), rows))
            if k:
                self.register_buffer(f"inside_{k}", _cut(self.get_buffer(f"inside_{k}"), rows, columns))
        for parameter, cut in cuts.items():
            parameter.data, parameter.grad = cut(parameter.data), None
        self._sizes = [[sizes[number] for number in self._kept] for sizes in self._sizes]
        self._layouts = [self._layouts[number] for number in self._kept]
        self._ranges = tuple(self._ranges[number] for number in self._kept)
        self._kept = list(range(len(self._kept)))
        self._starts = [[number] for number in self._kept]
        self._known.clear()
        self._known_bands.clear()
        return cuts

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
        """What each hidden layer's features are multiplied by: 0 for those dropped, else the scale at the cutoff.

        The rates are in it where they can be.
        """
        key = like.device, like.dtype, *(size for cutoff in cutoffs for size in cutoff.values())
        found = self._known.get(key)
        if found is None:  # bands have few sizes, so that steps ask for the same ones again
            if len(self._known) > MOST_KNOWN:
                self._known.clear()
            of_bands = [self._of_band(place, cutoff, like) for place, cutoff in enumerate(cutoffs)]
            found = self._known[key] = [torch.cat(of_layer) for of_layer in zip(*of_bands, strict=True)]
        return found

    def _of_band(self, place: int, cutoff: Mapping[str, int], like: torch.Tensor) -> list[torch.Tensor]:
        """One band's part of `_factors`, (its features in all its starts,)."""
        key = like.device, like.dtype, place, *cutoff.items()
        found = self._known_bands.get(key)
        if found is None:
            numbers = self._starts[place]
            blocks = list(self._blocks(numbers[0]))
            found = self._known_bands[key] = []
            for k, mask in enumerate(masks(self._chain.links, self._layouts[numbers[0]], self._scale, cutoff, like)):
                # a band's starts are of one size and rate, one after the other
                factor = mask * self._rate(k)[blocks[k][0]] if self._in_factors[k] else mask
                found.append(factor.repeat(len(numbers)))
        return found


def _joined(parts: Sequence[slice]) -> torch.Tensor:
    return torch.cat([torch.arange(part.start, part.stop) for part in parts])


def _cut(value: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor | slice = slice(None)) -> torch.Tensor:
    rows = rows.to(value.device)
    return value[rows] if isinstance(columns, slice) else value[rows[:, None], columns.to(value.device)]
