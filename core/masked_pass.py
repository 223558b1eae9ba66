"""A chain's outputs through whole weights, where features that are dropped are multiplied by 0. Imports torch.

A small product costs its call more than its numbers: several small networks in one product, with a mask behind it,
are faster than each by itself (`core.beside`), and so are the cutoffs of a small network. One pass is one node of
autograd, as in `core.chain_pass`, which cuts the weights instead, or none (`run`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.nn import functional as F

from core.bend import Bend
from core.chain import Link
from core.layout import Layout
from core.scale import Scale

AHEAD = 5  # arguments of a pass before its weights and biases


class MaskedPass(torch.autograd.Function):
    """(rows, inputs) to (rows, outputs), or to the outputs of several cutoffs of those rows one after the other.

    factors: of each hidden layer, what its features are multiplied by behind the function: (features,), or other ones
    for each row, (rows, features), or for each of several cutoffs that all rows are run at, (cutoffs, 1, features).
    rates: what each layer's outputs are multiplied by ahead of the function, (its outputs), or None. inside: 1 where a
    weight but the first learns and 0 where it stays at the 0 that it is, (outputs, inputs). Neither has to be given.
    """

    @staticmethod
    def forward(
        ctx: Any,
        bends: Sequence[Bend],
        factors: Sequence[torch.Tensor],
        rates: Sequence[torch.Tensor | None] | None,
        inside: Sequence[torch.Tensor] | None,
        x: torch.Tensor,
        *tensors: torch.Tensor | None,
    ) -> torch.Tensor:
        """Arguments after the input: the weight of each layer, and its bias or None."""
        n = len(bends)
        weights, h, seen = tensors[:n], x, []
        rates = rates or [None] * n
        for k, (weight, bias) in enumerate(zip(weights, tensors[n:], strict=True)):
            assert weight is not None
            z = F.linear(h, weight, bias)
            if (rate := rates[k]) is not None:
                z.mul_(rate)
            after, kept = bends[k].forward(z)
            seen.append((h, kept))
            h = _times(after, factors[k], x.shape[0], bends[k].homogeneous) if k < n - 1 else after
        ctx.of = bends, factors, rates, inside, weights, seen, [bias is not None for bias in tensors[n:]]
        return h.detach()  # or it would hold the graph that holds it

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Of the input, if that is wanted, of the weights and of the biases."""
        bends, factors, rates, inside, weights, seen, has_bias = ctx.of
        of_weights: list[torch.Tensor] = []
        of_biases: list[torch.Tensor | None] = []
        rows = seen[0][0].shape[0]
        for k in reversed(range(len(bends))):
            h, kept = seen[k]
            grad = bends[k].backward(grad, kept)
            if (rate := rates[k]) is not None:
                grad = grad * rate
            of_weight = grad.t() @ h
            if k and inside is not None:
                of_weight.mul_(inside[k - 1])
            of_weights.append(of_weight)
            of_biases.append(grad.sum(0) if has_bias[k] else None)
            if k:
                grad = _times(grad @ weights[k], factors[k - 1], rows, True)
                if k == 1 and grad.shape[0] > rows:  # the first layer's outputs were the same at every cutoff
                    grad = grad.unflatten(0, (-1, rows)).sum(0)
        of_x = grad @ weights[0] if ctx.needs_input_grad[4] else None
        return None, None, None, None, of_x, *of_weights[::-1], *of_biases[::-1]


def run(*arguments: Any, by_hand: bool) -> tuple[torch.Tensor, Callable[[], None] | None]:
    """What `MaskedPass.apply` gives; `by_hand`: as a tensor of its own, and what hands its gradient on to the weights.

    With autograd for no more than the loss a step of 64-128-128-10 takes 0.04 of a dense one less.
    """
    if not by_hand:
        return MaskedPass.apply(*arguments), None
    with torch.no_grad():
        output = MaskedPass.forward(of := _Saved(), *arguments).requires_grad_()

    def hand_on() -> None:
        if output.grad is None:
            return
        for tensor, grad in zip(arguments[AHEAD:], MaskedPass.backward(of, output.grad)[AHEAD:], strict=True):
            if tensor is not None and tensor.requires_grad:
                tensor.grad = grad if tensor.grad is None else tensor.grad + grad

    return output, hand_on


class _Saved:
    """What a pass by hand has of a node of autograd."""

    of: Any
    needs_input_grad = (False,) * AHEAD  # nothing ahead of the pass learns


def masks(links: Sequence[Link], layout: Layout, scale: Scale, cutoff: Mapping[str, int]) -> list[list[float]]:
    """Of each hidden layer, what its features are multiplied by at a cutoff: 0 for those dropped, else the scale."""
    factors, found = scale.factors(layout, cutoff), []
    for link in links[1:]:
        tensor = layout.tensors[link.weight]
        kept = tensor.shape_at(cutoff)[1]
        found.append([factors.get(link.weight, 1.0)] * kept + [0.0] * (tensor.shape[1] - kept))
    return found


def _times(h: torch.Tensor, factor: torch.Tensor, rows: int, over: bool) -> torch.Tensor:
    """`h` by the factor: of so many rows, or of those for each cutoff one after the other; may write `over` it."""
    if factor.dim() < 3:
        return h.mul_(factor) if over else h * factor
    return (h.view(-1, rows, h.shape[1]) * factor).flatten(0, 1)
