"""Partial whitening of inputs: centred, and shrunk along the directions of large variance. Imports torch.

A few directions hold most of the variance of inputs (the overall brightness of pictures, say), and a layer's weights
along them converge long before the others. Whitening makes all directions converge at about the same pace (LeCun et
al., 1998, "Efficient BackProp", section 4.3); here only those above a floor are shrunk, since amplifying the many of
next to no variance would amplify noise. The map is linear, so it folds into the first layer at the end of training.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import nn

from core.elastic.discovery.chain import Link

FLOOR = 0.1  # of the total variance; a direction that holds this much is shrunk by the square root of two
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
        """Estimate from some inputs of the first layer, (n, features)."""
        super().__init__()
        n, features = rows.shape
        mean = rows.mean(0)
        spread = rows - mean
        total = spread.square().sum() / n
        _, deviation, directions = torch.pca_lowrank(spread, q=min(DIRECTIONS, n, features), center=False)
        variance = deviation.square() / n
        less = 1.0 - (FLOOR * total / (variance + FLOOR * total)).sqrt() if total > 0 else torch.zeros_like(variance)
        left = total - (variance * (1.0 - (1.0 - less).square())).sum()
        self.register_buffer("mean", mean if centre else torch.zeros_like(mean))
        self.register_buffer("directions", directions)
        self.register_buffer("less", less)
        self.register_buffer("gain", (features / left).sqrt() if left > 0 else torch.ones(()))
        self.factor = float(self.gain)
        # two products do it all: what is taken away, and in one row more what is added to every example
        added = -self.gain * (self.mean - (self.mean @ directions * less) @ directions.T)
        self.register_buffer("into", self.gain * directions * less)
        self.register_buffer("back", torch.cat([added[None], -directions.T]))

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        """Shapes: (batch, features) to the same."""
        along = torch.cat([h.new_ones(len(h), 1), h @ self.into], dim=1)
        return torch.addmm(h, along, self.back, beta=self.factor)

    def fold(self, weight: torch.Tensor, bias: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Weight (out, features) and bias (out,) on plain inputs of the layer given on whitened ones."""
        plain = self.gain * (weight - (weight @ self.directions * self.less) @ self.directions.T)
        return plain, None if bias is None else bias - plain @ self.mean

    def unfold(self, weight: torch.Tensor, bias: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Weight and bias on whitened inputs of the layer given on plain ones."""
        more = self.less / (1.0 - self.less)
        inner = (weight + (weight @ self.directions * more) @ self.directions.T) / self.gain
        return inner, None if bias is None else bias + weight @ self.mean


class WhitenedLayer:
    """First linear layer of a plain module that learns from whitened inputs until `end`; it computes the same."""

    def __init__(self, module: nn.Module, link: Link, rows: torch.Tensor) -> None:
        """Estimate from some of the layer's inputs, (n, features)."""
        self._link, layer = link, module.get_submodule(link.weight.rpartition(".")[0])
        self._whitening = whitening = Whitening(rows, centre=link.bias is not None)
        rewrite(module.state_dict(), link, whitening.unfold)
        self._hook = layer.register_forward_pre_hook(lambda _, inputs: (_by_row(whitening, inputs[0]), *inputs[1:]))

    def end(self, state: dict[str, torch.Tensor], *, fold: bool) -> dict[str, torch.Tensor]:
        """Stop whitening; return `state` with the whitening folded into the layer where `fold`."""
        self._hook.remove()
        if fold:
            rewrite(state, self._link, self._whitening.fold)
        return state


@torch.no_grad()
def rewrite(state: Mapping[str, torch.Tensor], link: Link, change: Change) -> None:
    """Replace weight and bias of a layer in a state, in place, by `change` of them."""
    weight, bias = change(state[link.weight], state[link.bias] if link.bias else None)
    state[link.weight].copy_(weight)
    if link.bias and bias is not None:
        state[link.bias].copy_(bias)


def _by_row(whitening: Whitening, inputs: torch.Tensor) -> torch.Tensor:
    whitened: torch.Tensor = whitening(inputs.flatten(0, -2)).view_as(inputs)
    return whitened
