"""A node of autograd without autograd, whose account of a step costs a small network as much as its numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

#: Hands gradients of a pass's outputs on to its weights, whose own they are added to.
HandOn = Callable[..., None]


def run(
    function: type[torch.autograd.Function],
    ahead: Sequence[Any],
    tensors: Sequence[torch.Tensor | None],
    by_hand: bool,
) -> tuple[Any, HandOn | None]:
    """What `function.apply(*ahead, *tensors)` gives; `by_hand`: with no graph behind it, but what takes its gradients.

    tensors: leaves that learn, or None; ahead: arguments before them, of which none learns then.
    """
    if not by_hand:
        return function.apply(*ahead, *tensors), None
    with torch.no_grad():
        outputs = function.forward(of := _Saved(len(ahead)), *ahead, *tensors)

    def hand_on(*grads: torch.Tensor) -> None:
        found: Any = function.backward(of, *grads)
        for tensor, grad in zip(tensors, found[len(ahead) :], strict=True):
            if tensor is not None and tensor.requires_grad and grad is not None:
                tensor.grad = grad if tensor.grad is None else tensor.grad + grad

    return outputs, hand_on


class _Saved:
    """What a pass by hand has of a node of autograd."""

    of: Any
    saved_tensors: Sequence[torch.Tensor]

    def __init__(self, ahead: int) -> None:
        self.needs_input_grad = (False,) * ahead

    def save_for_backward(self, *tensors: torch.Tensor) -> None:
        self.saved_tensors = tensors

    def set_materialize_grads(self, value: bool) -> None:
        """Nothing is asked for that there is no gradient of."""
