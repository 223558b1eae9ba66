"""The optimiser of a training and its learning-rate schedule."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from core.elastic.recipes.base import Recipe, decided

if TYPE_CHECKING:
    import torch
    from torch import nn

    from core.elastic.module import Elastic


def make_optimizer(model: Elastic, recipe: Recipe) -> torch.optim.Optimizer:
    """AdamW (Loshchilov & Hutter, 2019): weight decay on the shared matrices, a rate of its own for each band."""
    import torch

    (shared, _), *bands = model.parameter_sets()
    groups = decay_groups(shared, decided(recipe.weight_decay))
    groups += [{"params": parameters, "weight_decay": 0.0, "times": rate} for parameters, rate in bands]
    return torch.optim.AdamW(groups, lr=decided(recipe.lr), fused=True)


def decay_groups(parameters: Iterable[nn.Parameter], weight_decay: float) -> list[dict[str, Any]]:
    """Group parameters so that matrices alone decay: to shrink a bias or a gain only shifts a feature."""
    parts: dict[bool, list[nn.Parameter]] = {True: [], False: []}
    for parameter in parameters:
        parts[parameter.dim() > 1].append(parameter)
    return [{"params": part, "weight_decay": weight_decay if decays else 0.0} for decays, part in parts.items() if part]


def learning_rate(recipe: Recipe, step: int, total: int) -> float:
    """Learning rate at a step: linear warm-up, then a cosine to zero (Loshchilov & Hutter, 2017)."""
    warm = max(1, round(recipe.warmup * total))
    if step < warm:
        return decided(recipe.lr) * (step + 1) / warm
    return decided(recipe.lr) * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, total - warm)))


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of every group of parameters, times the group's own factor `times`."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("times", 1.0)
