"""The optimiser of a training and its learning-rate schedule."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from core.elastic.recipes.base import Recipe, decided

if TYPE_CHECKING:
    import torch

    from core.elastic.module import Elastic


def make_optimizer(model: Elastic, recipe: Recipe) -> torch.optim.Optimizer:
    """Adam with decoupled weight decay on the matrices of the shared weights (AdamW; Loshchilov & Hutter, 2019)."""
    import torch

    return torch.optim.AdamW(model.parameter_groups(decided(recipe.weight_decay)), lr=decided(recipe.lr), fused=True)


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
