"""A chain's outputs at several cutoffs, with all their gradients in the calls it takes and no more. Imports torch.

A narrow product costs its call more than its numbers, and so does each node of autograd behind it. So one pass is one
node: its backward adds the gradient of every cutoff into the full weights' own, where autograd would fill an array of
that size with zeros for each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from core.chain import Chain
from core.layout import Layout
from core.scale import Scale

MOST_KNOWN = 10_000  # cutoffs whose sizes are remembered
Op = Callable[[torch.Tensor], torch.Tensor]


class Bend:
    """The elementwise functions behind a layer, with their derivative."""

    def __init__(self, after: Sequence[Op]) -> None:
        self._after = tuple(after)
        self._slope = _slope_of(self._after)

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


class Cut(NamedTuple):
    """One cutoff of a pass."""

    rows: slice  # of the batch
    kept: tuple[int, ...]  # outputs of each layer
    times: tuple[float, ...]  # that each layer's weight is multiplied by
    biases: tuple[int | None, ...]  # which of the pass's biases each layer adds: the leading part of it


class Passes:
    """A chain's passes, of whatever cutoffs."""

    def __init__(self, chain: Chain, layout: Layout, scale: Scale) -> None:
        self._links, self._layout, self._scale = chain.links, layout, scale
        self._bends = [Bend(link.after) for link in chain.links]
        self._known: dict[tuple[int, ...], tuple[tuple[int, ...], tuple[float, ...]]] = {}

    def __call__(
        self,
        entered: torch.Tensor,
        cutoffs: Sequence[Mapping[str, int]],
        rows: Sequence[slice],
        full: Mapping[str, torch.Tensor],
        vectors: Mapping[str, Sequence[torch.Tensor]],
    ) -> list[torch.Tensor]:
        """The output at each cutoff on its rows of `entered`, (batch, ..., inputs), which the first layer takes.

        full: the full weights by name; vectors: those that differ by more than their length, one for each cutoff.
        """
        biases: list[torch.Tensor] = []
        places: list[Sequence[int | None]] = []  # of each layer, each cutoff's bias among all of them
        for link in self._links:
            own = vectors.get(link.bias or "", [full[link.bias]] if link.bias else [])
            numbers = [*range(len(biases), len(biases) + len(own))] or [None]
            places.append(numbers if len(numbers) == len(cutoffs) else numbers * len(cutoffs))
            biases += own
        rows_each = entered.shape[1:-1].numel()  # of the first layer, for one of the batch
        cuts = [
            Cut(slice(span.start * rows_each, span.stop * rows_each), *self._sizes(cutoff), numbers)
            for cutoff, span, numbers in zip(cutoffs, rows, zip(*places, strict=True), strict=True)
        ]
        weights = [full[link.weight] for link in self._links]
        outputs: Sequence[torch.Tensor] = Pass.apply(cuts, self._bends, entered.flatten(0, -2), *weights, *biases)
        if entered.dim() == 2:  # a view is a node of autograd
            return list(outputs)
        return [output.view(-1, *entered.shape[1:-1], output.shape[-1]) for output in outputs]

    def _sizes(self, cutoff: Mapping[str, int]) -> tuple[tuple[int, ...], tuple[float, ...]]:
        """Of each layer, the outputs kept and what its weight is multiplied by."""
        key = tuple(cutoff.values())
        if key not in self._known:  # a step asks for few
            if len(self._known) > MOST_KNOWN:
                self._known.clear()
            factors = self._scale.factors(self._layout, cutoff)
            self._known[key] = (
                tuple(self._layout.tensors[link.weight].shape_at(cutoff)[0] for link in self._links),
                tuple(factors.get(link.weight, 1.0) for link in self._links),
            )
        return self._known[key]


class Pass(torch.autograd.Function):
    """(rows, inputs) of the first layer to the outputs of each cut, (its rows, outputs), through leading parts.

    Arguments after `bends`: the input, the weight of each layer, and biases as the cuts name them. Cuts of the same
    rows share their first product, of which a narrow one is a prefix, so that their factor and bias there are the same.
    """

    @staticmethod
    def forward(
        ctx: Any, cuts: Sequence[Cut], bends: Sequence[Bend], x: torch.Tensor, *tensors: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        """The output of each cut."""
        n = len(bends)
        weights, biases = tensors[:n], tensors[n:]
        firsts = {}
        for cut in sorted(cuts, key=lambda cut: -cut.kept[0]):
            if (place := _place(cut)) not in firsts:
                z = _product(x[cut.rows], weights[0][: cut.kept[0]], _bias(biases, cut, 0), cut.times[0])
                firsts[place] = bends[0].forward(z)
        outputs, inner = [], []
        for cut in cuts:
            h = firsts[_place(cut)][0][:, : cut.kept[0]]
            seen: list[tuple[torch.Tensor, Any]] = []
            for k in range(1, n):
                weight = _part(weights[k], cut.kept[k], cut.kept[k - 1])
                after, kept = bends[k].forward(_product(h, weight, _bias(biases, cut, k), cut.times[k]))
                seen.append((h, kept))
                h = after
            outputs.append(h.detach())  # or it would hold the graph that holds it
            inner.append(seen)
        ctx.save_for_backward(x, *weights)
        ctx.of = cuts, bends, firsts, inner, [bias.shape[0] for bias in biases]
        ctx.set_materialize_grads(False)
        return tuple(outputs)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: torch.Tensor | None) -> tuple[torch.Tensor | None, ...]:
        """Of the input, if that is wanted, of the weights and of the biases."""
        x, *weights = ctx.saved_tensors
        cuts, bends, firsts, inner, sizes = ctx.of
        into = _Gradients(weights)
        of_biases: list[torch.Tensor | None] = [None] * len(sizes)
        behind: dict[tuple[int, int], torch.Tensor] = {}  # the first layer's output's gradient, by rows
        for cut, seen, grad in zip(cuts, inner, grads, strict=True):
            if grad is None:
                continue
            for k in reversed(range(1, len(bends))):
                h, kept = seen[k - 1]
                grad = bends[k].backward(grad, kept)
                into.add(k, grad, h, cut.times[k])
                _add_bias(of_biases, sizes, cut.biases[k], grad)
                grad = grad @ _part(weights[k], cut.kept[k], cut.kept[k - 1])
                if cut.times[k] != 1.0:
                    grad.mul_(cut.times[k])
            known = behind.get(place := _place(cut))
            if known is None:
                width = firsts[place][0].shape[1]
                behind[place] = grad if grad.shape[1] == width else F.pad(grad, (0, width - grad.shape[1]))
            else:
                known[:, : grad.shape[1]] += grad
        of_x = torch.zeros_like(x) if ctx.needs_input_grad[2] else None
        leaders = {_place(cut): cut for cut in cuts}
        for place, grad in behind.items():
            cut = leaders[place]
            grad = bends[0].backward(grad, firsts[place][1])
            into.add(0, grad, x[cut.rows], cut.times[0])
            _add_bias(of_biases, sizes, cut.biases[0], grad)
            if of_x is not None:
                of_x[cut.rows] += cut.times[0] * (grad @ weights[0][: grad.shape[1]])
        return None, None, of_x, *into.found, *of_biases


class _Gradients:
    """Of the full weights, made at the first cut: most often of full size, so that nothing has to be filled before."""

    def __init__(self, weights: Sequence[torch.Tensor]) -> None:
        self._weights = weights
        self.found: list[torch.Tensor | None] = [None] * len(weights)

    def add(self, k: int, grad: torch.Tensor, h: torch.Tensor, times: float) -> None:
        """`times * grad^T h`, into the leading part of the k-th."""
        whole, shape = self.found[k], (grad.shape[1], h.shape[1])
        if whole is None:
            if shape == self._weights[k].shape:
                made = grad.t() @ h
                self.found[k] = made if times == 1.0 else made.mul_(times)
                return
            whole = self.found[k] = torch.zeros_like(self._weights[k])
        _part(whole, *shape).addmm_(grad.t(), h, alpha=times)


def _add_bias(found: list[torch.Tensor | None], sizes: Sequence[int], place: int | None, grad: torch.Tensor) -> None:
    if place is None:
        return
    added, known = grad.sum(0), found[place]
    if known is not None:
        known[: added.shape[0]] += added
    else:
        missing = sizes[place] - added.shape[0]
        found[place] = F.pad(added, (0, missing)) if missing else added


def _place(cut: Cut) -> tuple[int, int]:
    return cut.rows.start, cut.rows.stop


def _product(h: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, times: float) -> torch.Tensor:
    if bias is not None:
        return torch.addmm(bias, h, weight.t(), alpha=times)
    z = h @ weight.t()
    return z if times == 1.0 else z.mul_(times)


def _bias(biases: Sequence[torch.Tensor], cut: Cut, k: int) -> torch.Tensor | None:
    place = cut.biases[k]
    return None if place is None else biases[place][: cut.kept[k]]


def _part(value: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    return value if value.shape == (rows, columns) else value[:rows, :columns]
