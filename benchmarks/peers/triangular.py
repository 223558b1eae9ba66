"""Triangular dropout (Staley & Markowitz, 2022): all widths in one pass. Fully-connected networks; imports torch."""

from __future__ import annotations

import torch
from torch import nn


def cutoffs(rows: int, full: int) -> torch.Tensor:
    """A cutoff for each example of a batch, evenly over 1 ... full: (rows,)."""
    return -(-(torch.arange(rows) + 1) * full // rows)


class Triangular(nn.Module):
    """A plain stack of linear layers; in training example i keeps the features below cutoff i in each hidden layer.

    The mask of a batch is a lower triangle, and the loss the mean of the losses at all those widths.
    """

    def __init__(self, stack: nn.Sequential, full: int) -> None:
        super().__init__()
        self.stack, self.full = stack, full
        linear = [k for k, part in enumerate(stack) if isinstance(part, nn.Linear)]
        # zero stays zero through the activations of such a stack, so the product itself may be masked
        self.masked = set(linear[:-1])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Shapes: (batch, ...) to (batch, outputs)."""
        keep = torch.arange(self.full) < cutoffs(len(x), self.full)[:, None]  # (batch, full)
        for k, part in enumerate(self.stack):
            x = part(x)
            if self.training and k in self.masked:
                x = x * keep
        return x
