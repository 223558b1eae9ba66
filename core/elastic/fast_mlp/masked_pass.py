"""A chain's outputs through whole weights, where features that are dropped are multiplied by 0. Imports torch.

A small product costs its call more than its numbers: several small networks in one product, with a mask behind it,
are faster than each by itself (`core.elastic.fast_mlp.stacked_bands`), and so are the cutoffs of a small network. One pass is one node of
autograd, as in `core.elastic.fast_mlp.sliced_pass`, which cuts the weights instead, or none (`core.elastic.fast_mlp.manual_backward`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.nn import functional as F

from core.elastic.fast_mlp.activation import Bend
from core.elastic.fast_mlp.chain import Link
from core.elastic.layout import Layout
from core.elastic.scale import Scale


class MaskedPass(torch.autograd.Function):
    """(rows, inputs) to (rows, outputs), or to the outputs of several cutoffs of those rows one after the other.

    factors: of each hidden layer, what its features are multiplied by behind the function: (features,), or other ones
    for each row, (rows, features), or for each of several cutoffs that all rows are run at, (cutoffs, 1, features).
    rates: what each layer's outputs are multiplied by ahead of the function, (its outputs), or None. inside: 1 where a
    weight but the first learns and 0 where it stays at the 0 that it is, (outputs, inputs). Neither has to be given.
    across: whether in memory the outputs of all rows for one class lie side by side, as a loss is fastest with.
    """

    @staticmethod
    def forward(
        ctx: Any,
        bends: Sequence[Bend],
        factors: Sequence[torch.Tensor],
        rates: Sequence[torch.Tensor | None] | None,
        inside: Sequence[torch.Tensor] | None,
        across: bool,
        x: torch.Tensor,
        *tensors: torch.Tensor | None,
    ) -> torch.Tensor:
        """Arguments after the input: the weight of each layer, and its bias or None."""
        n = len(bends)
        weights, h, seen = tensors[:n], x, []
        rates = rates or [None] * n
        for k, (weight, bias) in enumerate(zip(weights, tensors[n:], strict=True)):
            assert weight is not None
            z = linear_across(h, weight, bias) if across and k == n - 1 else F.linear(h, weight, bias)
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
        of_x = grad @ weights[0] if ctx.needs_input_grad[5] else None
        return None, None, None, None, None, of_x, *of_weights[::-1], *of_biases[::-1]


def linear_across(h: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """`F.linear`, with the numbers of one output for all rows side by side in memory."""
    z = weight @ h.t() if bias is None else torch.addmm(bias.unsqueeze(1), weight, h.t())
    return z.t()


def masks(
    links: Sequence[Link], layout: Layout, scale: Scale, cutoff: Mapping[str, int], like: torch.Tensor
) -> list[torch.Tensor]:
    """Of each hidden layer, (features,): what they are multiplied by at a cutoff, 0 for those dropped, else the scale.

    Layers of one size and scale share theirs, so that there is less to do in a step.
    """
    factors, known = scale.factors(layout, cutoff), {}
    found: list[torch.Tensor] = []
    for link in links[1:]:
        tensor = layout.tensors[link.weight]
        key = tensor.shape[1], tensor.shape_at(cutoff)[1], factors.get(link.weight, 1.0)
        if key not in known:
            size, kept, factor = key
            known[key] = like.new_zeros(size)
            known[key][:kept] = factor
        found.append(known[key])
    return found


def _times(h: torch.Tensor, factor: torch.Tensor, rows: int, over: bool) -> torch.Tensor:
    """`h` by the factor: of so many rows, or of those for each cutoff one after the other; may write `over` it."""
    if factor.dim() < 3:
        return h.mul_(factor) if over else h * factor
    return (h.view(-1, rows, h.shape[1]) * factor).flatten(0, 1)
