"""Outputs of any kind of forward: their floating-point tensors, and how much those of two calls differ."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def float_tensors(value: Any) -> Iterator[torch.Tensor]:
    """Every floating-point tensor in a nest of tuples, lists, mappings and data classes of output."""
    import torch

    if isinstance(value, torch.Tensor):
        if value.is_complex():
            yield torch.view_as_real(value.resolve_conj())
        elif value.is_floating_point():
            yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from float_tensors(part)
    elif isinstance(value, (tuple, list)):
        for part in value:
            yield from float_tensors(part)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for entry in dataclasses.fields(value):
            yield from float_tensors(getattr(value, entry.name))


def largest_change(before: list[torch.Tensor], after: list[torch.Tensor]) -> float:
    """Largest change of any entry, relative to how much its tensor's entries differ among themselves."""
    if [x.shape for x in before] != [x.shape for x in after]:
        return math.inf
    worst = 0.0
    for a, b in zip(before, after, strict=True):
        changed = a != b  # an infinity that stays (a masked score) is no change
        if not bool(changed.any()):
            continue
        finite = a[a.isfinite()]
        spread = float(finite.std()) if finite.numel() > 1 else 0.0
        scale = spread or (float(finite.abs().max()) if finite.numel() else 0.0) or 1.0
        change = float((a[changed] - b[changed]).abs().max()) / scale
        worst = max(worst, change if math.isfinite(change) else math.inf)
    return worst
