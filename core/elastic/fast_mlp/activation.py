"""The elementwise functions behind a layer of a chain, with their derivative. Imports torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

Op = Callable[[torch.Tensor], torch.Tensor]


class Bend:
    """The elementwise functions behind a layer, with their derivative."""

    def __init__(self, after: Sequence[Op]) -> None:
        self._after = tuple(after)
        self._slope = _slope_of(self._after)

    @property
    def homogeneous(self) -> bool:
        """Whether the function of a z, a above 0, is a times that of z, and `backward` the same where a is 0."""
        return self._slope is not None

    def forward(self, z: torch.Tensor) -> tuple[torch.Tensor, Any]:
        """The function's value, and what `backward` wants of it; may write over `z`."""
        if self._slope == 1.0:
            return z, None
        if self._slope is not None:
            h = F.leaky_relu_(z, self._slope) if self._slope else z.relu_()
            return h, h
        with torch.enable_grad():
            h = z = z.detach().requires_grad_()
            for op in self._after:
                h = op(h)
        return h.detach(), (z, h)

    def backward(self, grad: torch.Tensor, kept: Any) -> torch.Tensor:
        """The gradient ahead of the function, from that behind it."""
        if self._slope is None:
            z, h = kept
            (grad,) = torch.autograd.grad(h, z, grad)
        elif self._slope == 0.0:  # half the time of the same as a leaky one
            grad = torch.ops.aten.threshold_backward(grad, kept, 0)
        elif self._slope != 1.0:
            grad = torch.ops.aten.leaky_relu_backward(grad, kept, self._slope, True)
        return grad


def _slope_of(after: tuple[Op, ...]) -> float | None:
    """Of a function that is a line on either side of 0, its slope below: 1 is no function at all; None: any other."""
    after = tuple(op for op in after if type(op) is not nn.Identity)
    if not after:
        return 1.0
    op = after[0]
    if len(after) == 1 and type(op) is nn.ReLU:
        return 0.0
    # with a negative slope a value does not tell its side
    return op.negative_slope if len(after) == 1 and type(op) is nn.LeakyReLU and op.negative_slope >= 0 else None
