"""The several starts of a chain's smallest bands (`core.elastic.fast_mlp.stacked_bands`), of which the best goes on alone.

So small a network ends in one of several places, and how good that one is shows early; the others would cost time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

    from core.elastic.module import Elastic

END, LEAST = 1 / 4, 150  # share of the steps after which the best goes on, and how many they are at least
JUDGED_ROWS = 8000  # training rows by which it is chosen


def end(total: int) -> int:
    """After how many of a training's steps the choice is made."""
    return max(round(END * total), min(LEAST, total))


def choose(
    model: Elastic,
    optimizer: torch.optim.Optimizer,
    x: torch.Tensor,
    y: torch.Tensor,
    loss_of: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    seed: int,
    *,
    entered: bool,
) -> None:
    """Keep the best start of each band, where there are several.

    x, y: all training examples, (n, ...) and (n,) or (n, outputs); `entered`: x is of `Elastic.enter`.
    """
    import torch

    beside = model.beside
    if beside is None or not beside.several:
        return
    where = next(model.parameters()).device
    rows = torch.from_numpy(np.random.default_rng([seed, 8]).permutation(len(x))[:JUDGED_ROWS])
    judged = x[rows.to(x.device)].float().to(where)
    with torch.no_grad():
        beside.choose(judged if entered else model.enter(judged), y[rows.to(y.device)].to(where), loss_of)
    _go_on_alone(model, optimizer)


def shape_behind(step: int, model: Elastic, optimizer: torch.optim.Optimizer, total: int) -> None:
    """Give a new model the shapes that it has after so many of `total` steps."""
    if step > end(total):
        _go_on_alone(model, optimizer)


def _go_on_alone(model: Elastic, optimizer: torch.optim.Optimizer) -> None:
    """Drop all starts but those that stand for their bands, and what the optimiser knows of them."""
    if model.beside is None:
        return
    for parameter, cut in model.beside.go_on_alone().items():
        state = optimizer.state.get(parameter, {})
        state.update({name: cut(value) for name, value in state.items() if value.dim()})
