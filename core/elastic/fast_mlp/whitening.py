"""Inputs that a first layer learns from more easily: centred, and shrunk where all of them vary alike. Imports torch.

A few directions hold most of what inputs vary in (the overall brightness of pictures, say), and a layer's weights
along them settle long before the others. Divided by how far it reaches (LeCun et al., 1998, "Efficient BackProp",
section 4.3), each direction is learned at about one pace; here only those above a floor are, for to blow up the many
that hold next to nothing would teach a network noise. It is one linear map, so that at the end of the training it
goes into the first layer's weights: what is kept takes the inputs as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import nn

from core.elastic.discovery.chain import Link

FLOOR = 0.1  # of the whole variance; a direction that holds this much is shrunk by the square root of two
DIRECTIONS = 12  # at most so many are shrunk

Change = Callable[[torch.Tensor, torch.Tensor | None], tuple[torch.Tensor, torch.Tensor | None]]


class Whitening(nn.Module):
    """`z = gain * (h - mean - directions (less * directions^T (h - mean)))` on rows h: (batch, features)."""

    mean: torch.Tensor
    directions: torch.Tensor
    less: torch.Tensor
    gain: torch.Tensor
    into: torch.Tensor
    back: torch.Tensor

    def __init__(self, rows: torch.Tensor, *, centre: bool) -> None:
        """From some inputs as they come to the first layer, (n, features)."""
        super().__init__()
        n, features = rows.shape
        mean = rows.mean(0)
        spread = rows - mean
        whole = spread.square().sum() / n
        _, deviation, found = torch.pca_lowrank(spread, q=min(DIRECTIONS, n, features), center=False)
        variance = deviation.square() / n
        less = 1.0 - (FLOOR * whole / (variance + FLOOR * whole)).sqrt() if whole > 0 else torch.zeros_like(variance)
        left = whole - (variance * (1.0 - (1.0 - less).square())).sum()
        self.register_buffer("mean", mean if centre else torch.zeros_like(mean))
        self.register_buffer("directions", found)
        self.register_buffer("less", less)
        self.register_buffer("gain", (features / left).sqrt() if left > 0 else torch.ones(()))
        self.factor = float(self.gain)
        # two products do it all: what is taken away, and in one row more what is added to every example
        added = -self.gain * (self.mean - (self.mean @ found * less) @ found.T)
        self.register_buffer("into", self.gain * found * less)
        self.register_buffer("back", torch.cat([added[None], -found.T]))

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        """Shapes: (batch, features) to the same."""
        along = torch.cat([h.new_ones(len(h), 1), h @ self.into], dim=1)
        return torch.addmm(h, along, self.back, beta=self.factor)

    def fold(self, weight: torch.Tensor, bias: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor | None]:
        """The layer (out, features), (out,) that makes of h what this one makes of z."""
        plain = self.gain * (weight - (weight @ self.directions * self.less) @ self.directions.T)
        return plain, None if bias is None else bias - plain @ self.mean

    def unfold(self, weight: torch.Tensor, bias: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor | None]:
        """The layer that makes of z what this one makes of h."""
        more = self.less / (1.0 - self.less)
        inner = (weight + (weight @ self.directions * more) @ self.directions.T) / self.gain
        return inner, None if bias is None else bias + weight @ self.mean


class WhitenedLayer:
    """The first linear layer of a plain module, which does what it did, and learns from whitened inputs until `end`."""

    def __init__(self, module: nn.Module, link: Link, rows: torch.Tensor) -> None:
        """From some of the layer's inputs, (n, features)."""
        self._link, layer = link, module.get_submodule(link.weight.rpartition(".")[0])
        self._whitening = whitening = Whitening(rows, centre=link.bias is not None)
        rewrite(module.state_dict(), link, whitening.unfold)
        self._hook = layer.register_forward_pre_hook(lambda _, inputs: (_by_row(whitening, inputs[0]), *inputs[1:]))

    def end(self, state: dict[str, torch.Tensor], *, fold: bool) -> dict[str, torch.Tensor]:
        """Leave the module to inputs as they are; a state of it in which the layer does so too where `fold`."""
        self._hook.remove()
        if fold:
            rewrite(state, self._link, self._whitening.fold)
        return state


@torch.no_grad()
def rewrite(state: Mapping[str, torch.Tensor], link: Link, change: Change) -> None:
    """Put another weight and bias into a layer of a state, in place, by what makes them of the present ones."""
    weight, bias = change(state[link.weight], state[link.bias] if link.bias else None)
    state[link.weight].copy_(weight)
    if link.bias and bias is not None:
        state[link.bias].copy_(bias)


def _by_row(whitening: Whitening, inputs: torch.Tensor) -> torch.Tensor:
    whitened: torch.Tensor = whitening(inputs.flatten(0, -2)).view_as(inputs)
    return whitened
