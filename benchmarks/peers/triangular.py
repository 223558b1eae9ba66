"""Triangular dropout (Staley & Markowitz, 2022): all widths in one pass of a fully-connected network. Imports torch."""

from __future__ import annotations

import torch
from torch import nn


def cutoffs(rows: int, full: int) -> torch.Tensor:
    """Return a cutoff for each example of a batch, evenly over 1 ... full. Shape (rows,)."""
    return -(-(torch.arange(rows) + 1) * full // rows)


class Triangular(nn.Module):
    """A stack of linear layers; in training, example i keeps the features below cutoff i in each hidden layer.

    The mask of a batch is a lower triangle, and the loss is the mean of the losses at all those widths.
    """

    def __init__(self, stack: nn.Sequential, full: int) -> None:
        super().__init__()
        self.stack, self.full = stack, full
        linear = [k for k, part in enumerate(stack) if isinstance(part, nn.Linear)]
        # zero stays zero through the activations of such a stack, so the product itself may be masked
        self.masked = set(linear[:-1])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Compute outputs, shape (batch, outputs), from inputs of shape (batch, ...)."""
        keep = torch.arange(self.full) < cutoffs(len(x), self.full)[:, None]  # (batch, full)
        for k, part in enumerate(self.stack):
            x = part(x)
            if self.training and k in self.masked:
                x = x * keep
        return x
