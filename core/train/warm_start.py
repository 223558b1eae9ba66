"""Warm start: weights of an already trained full model as the start of a training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from core.elastic.family import Family
from core.errors import UserError
from core.utils.fingerprint import fingerprint

if TYPE_CHECKING:
    import torch

    from core.data import Dataset

ORDERED_BY = 500  # training examples whose loss orders the features of a trained model


@dataclass(frozen=True)
class WarmStart:
    """Weights that a training starts from, and the note of their origin in the run."""

    weights: dict[str, torch.Tensor]  # of the full model, in order
    note: dict[str, Any]  # sha256 of the weights as they were given, and how they were ordered


def warm_start(
    family: Family, data: Dataset, start: Mapping[str, Any] | None, order: str | None, seed: int
) -> WarmStart | None:
    """Check the given weights and sort their features by importance where `order` is given.

    Returns None without weights. Raises UserError where they are not the full model's.
    """
    if start is None:
        if order is not None:
            raise UserError(f"order is {order!r}, but there are no weights to order; give start=<their state dict>")
        return None
    weights = family.full_state(start)
    note = {"sha256": fingerprint({name: value.numpy() for name, value in weights.items()}), "order": order}
    if order is not None:
        rows = np.sort(np.random.default_rng([seed, 6]).permutation(data.train.n)[:ORDERED_BY])
        batch = (data.train.x[rows].astype(np.float32), data.train.y[rows])
        weights = family.order(weights, order, batch=batch, task=data.task)
    return WarmStart(weights, note)
