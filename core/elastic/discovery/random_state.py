"""Random weights for the symmetry check, so that a wrong layout can't hide behind zeros or ones."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

Draw = Callable[["torch.Tensor", str, "torch.Generator"], "torch.Tensor"]  # value, kind in the layout, generator


def random_numbers(value: torch.Tensor, kind: str, generator: torch.Generator) -> torch.Tensor:
    """Normal weights of a trained model's scale; positive buffers, as a variance must be."""
    import torch

    drawn = torch.empty(value.shape, dtype=value.dtype, device="cpu")
    if kind == "buffer" and not value.is_complex():
        return drawn.uniform_(0.5, 1.5, generator=generator)
    fan_in = max(1, value[0].numel()) if value.dim() > 1 and len(value) else 1
    drawn.normal_(generator=generator).mul_(1 / math.sqrt(fan_in))
    # vectors are gains and biases: around 0.5 keeps a norm's output alive
    return drawn if value.dim() > 1 else drawn.add_(0.5)


def own_numbers(value: torch.Tensor, kind: str, generator: torch.Generator) -> torch.Tensor:
    """The model's own first weights, each scaled at random: for models that need some range (a root, a logarithm)."""
    import torch

    return value * torch.empty(value.shape, dtype=value.real.dtype, device="cpu").uniform_(
        0.5, 1.5, generator=generator
    )
