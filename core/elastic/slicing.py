"""Cutting weights with little to pay for in the backward pass: all slices of a tensor share one gradient. Torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

Sizes = Sequence[tuple[tuple[int, int], ...]]


class _Offset(torch.autograd.Function):
    """Vectors plus their tables' offsets at each cutoff, cut; one product each way, however many they are.

    mix: (cutoffs, knots), table: (knots, entries), the vectors side by side: (entries,). `kept` holds, by vector and
    then by cutoff, from where to where among the entries.
    """

    @staticmethod
    def forward(
        ctx: Any, mix: torch.Tensor, table: torch.Tensor, kept: Sequence[tuple[int, int]], *vectors: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        ctx.save_for_backward(mix)
        ctx.kept, ctx.sizes = kept, [len(v) for v in vectors]
        ctx.set_materialize_grads(False)
        rows = torch.addmm(torch.cat(vectors), mix, table).unbind()
        found = (rows[i % len(rows)][a:b] for i, (a, b) in enumerate(kept))
        # a kernel of cuDNN reads a vector in steps of 16 bytes, and a part may begin between two
        return tuple(part.clone() for part in found) if table.is_cuda else tuple(found)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor | None) -> tuple[torch.Tensor | None, ...]:
        (mix,) = ctx.saved_tensors
        total = mix.new_zeros((len(mix), sum(ctx.sizes)))
        rows = total.unbind()
        for i, ((a, b), grad) in enumerate(zip(ctx.kept, grads, strict=True)):
            if grad is not None:
                rows[i % len(rows)][a:b] = grad
        return None, mix.T @ total, None, *total.sum(0).split(ctx.sizes)


class _Leading(torch.autograd.Function):
    """Leading parts of one tensor. All their gradients go into one padded one, not each its own.

    `sizes` holds, for each part, what to keep of which dimension.
    """

    @staticmethod
    def forward(ctx: Any, value: torch.Tensor, sizes: Sizes) -> tuple[torch.Tensor, ...]:
        ctx.sizes, ctx.shape = sizes, value.shape
        ctx.set_materialize_grads(False)
        value = value.detach()
        return tuple(_part(value, kept) for kept in sizes)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor | None) -> tuple[torch.Tensor | None, None]:
        known = [(grad, kept) for grad, kept in zip(grads, ctx.sizes, strict=True) if grad is not None]
        if not known:
            return None, None
        total = known[0][0]
        if total.shape == ctx.shape:  # nothing to pad, as at full width, which comes first
            total = total.clone()  # autograd's own, which may be another's too
            del known[0]
        else:
            total = total.new_zeros(ctx.shape)
        for grad, kept in known:
            _part(total, kept).add_(grad)
        return total, None


def offset(
    mix: torch.Tensor, table: torch.Tensor, kept: Sequence[tuple[int, int]], vectors: Sequence[torch.Tensor]
) -> Sequence[torch.Tensor]:
    """The parts of `_Offset`: of each vector in turn one a cutoff."""
    found: Sequence[torch.Tensor] = _Offset.apply(mix, table, kept, *vectors)
    return found


def leading(value: torch.Tensor, sizes: Sizes) -> Sequence[torch.Tensor]:
    """The parts of `_Leading`; the tensor itself where nothing is cut."""
    if all(value.shape[dim] == size for kept in sizes for dim, size in kept):
        return [value] * len(sizes)
    if len(sizes) == 1:  # one gradient alone: torch's own slice costs less
        return [_part(value, sizes[0])]
    parts_of: Sequence[torch.Tensor] = _Leading.apply(value, sizes)
    return parts_of


def _part(value: torch.Tensor, kept: tuple[tuple[int, int], ...]) -> torch.Tensor:
    for dim, size in kept:
        if size != value.shape[dim]:
            value = value.narrow(dim, 0, size)
    return value
