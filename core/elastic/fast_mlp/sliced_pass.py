"""A chain's outputs at several cutoffs, with all their gradients in the calls it takes and no more. Imports torch.

A narrow product costs its call more than its numbers, and so does each node of autograd behind it. So one pass is one
node: its backward adds the gradient of every cutoff into the full weights' own, where autograd would fill an array of
that size with zeros for each.
"""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch.nn import functional as F

from core.elastic.fast_mlp.activation import Bend
from core.elastic.fast_mlp.chain import Chain
from core.elastic.fast_mlp.manual_backward import run
from core.elastic.fast_mlp.masked_pass import MaskedPass, masks
from core.elastic.fast_mlp.outputs import Joined
from core.elastic.layout import Layout
from core.elastic.scale import Scale

MOST_KNOWN, MOST_MASKS = 10_000, 500  # cutoffs whose sizes and whose masks are remembered
#: Multiplications a cutoff up to which masks are faster than to cut the weights (of a GPU reckoned: so they are at
#: 5e8, and no longer at 5e10).
MASKED_BELOW = {"cpu": 1.75e6, "cuda": 4e9}


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
        self._known_masks: dict[tuple[Any, ...], list[torch.Tensor]] = {}
        tensors = [layout.tensors[link.weight] for link in chain.links]
        self._multiplications = sum(math.prod(tensor.shape) for tensor in tensors)  # of one row at full width
        self._maskable = tensors[-1].axes[0] is None  # the outputs are the same at every width

    def __call__(
        self,
        entered: torch.Tensor,
        numbers: Sequence[int],
        cutoffs: Sequence[Mapping[str, int]],
        rows: Sequence[slice],
        full: Mapping[str, torch.Tensor],
        vectors: Mapping[str, Sequence[torch.Tensor]],
        by_hand: bool = False,
    ) -> list[Joined]:
        """The output at each cutoff on its rows of `entered`, (batch, ..., inputs), which the first layer takes.

        numbers: what the cutoffs are called by in the result; full: the full weights by name; vectors: those that
        differ by more than their length, one for each cutoff; by_hand: whether `Joined.hand_on` may be asked for.
        """
        lengths = [span.stop - span.start for span in rows]
        joinable = not vectors and _alike_or_in_a_row(rows)
        if joinable and self._is_small(entered, len(rows), sum(lengths)):
            return [self._masked(entered, numbers, cutoffs, rows, lengths, full, by_hand)]
        biases: list[torch.Tensor] = []
        places: list[Sequence[int | None]] = []  # of each layer, each cutoff's bias among all of them
        for link in self._links:
            own = vectors.get(link.bias or "", [full[link.bias]] if link.bias else [])
            found = [*range(len(biases), len(biases) + len(own))] or [None]
            places.append(found if len(found) == len(cutoffs) else found * len(cutoffs))
            biases += own
        rows_each = entered.shape[1:-1].numel()  # of the first layer, for one of the batch
        cuts = [
            Cut(slice(span.start * rows_each, span.stop * rows_each), *self._sizes(cutoff), found)
            for cutoff, span, found in zip(cutoffs, rows, zip(*places, strict=True), strict=True)
        ]
        weights = [full[link.weight] for link in self._links]
        ahead = cuts, self._bends, entered.flatten(0, -2)
        outputs, hand_on = run(Pass, ahead, [*weights, *biases], by_hand and joinable)
        if hand_on is not None:
            together = torch.cat([output.t() for output in outputs], 1).t()  # as `MaskedPass` has them, across
            return [
                Joined(
                    slice(rows[0].start, rows[-1].stop),
                    numbers,
                    together.unsqueeze(1),
                    lengths,
                    hand_on=lambda grad: hand_on(*grad.squeeze(1).split(lengths)),
                )
            ]
        if entered.dim() > 2:  # else a view would be one more node of autograd
            outputs = [output.view(-1, *entered.shape[1:-1], output.shape[-1]) for output in outputs]
        each = zip(numbers, rows, outputs, strict=True)
        return [Joined(span, [number], output) for number, span, output in each]

    def _is_small(self, entered: torch.Tensor, cutoffs: int, examples: int) -> bool:
        """Whether what a mask multiplies in vain costs less than the calls it saves."""
        numbers = examples * entered.shape[1:-1].numel() * self._multiplications
        return self._maskable and numbers <= cutoffs * MASKED_BELOW.get(entered.device.type, 0.0)

    def _masked(
        self,
        entered: torch.Tensor,
        numbers: Sequence[int],
        cutoffs: Sequence[Mapping[str, int]],
        rows: Sequence[slice],
        lengths: Sequence[int],
        full: Mapping[str, torch.Tensor],
        by_hand: bool,
    ) -> Joined:
        """All cutoffs in one pass through the whole weights; their rows are the same, or follow each other."""
        span = slice(rows[0].start, rows[-1].stop)
        alike, each = sum(lengths) > span.stop - span.start, entered.shape[1:-1].numel()
        masks_of = [
            self._masks(cutoff, None if alike else length * each, entered)
            for cutoff, length in zip(cutoffs, lengths, strict=True)
        ]
        factors: list[torch.Tensor] = []
        before: tuple[torch.Tensor, ...] = ()
        for of_layer in zip(*masks_of, strict=True):
            same = factors and all(map(operator.is_, of_layer, before))
            factors.append(factors[-1] if same else of_layer[0] if len(rows) == 1 else torch.cat(of_layer))
            before = of_layer
        weights = [full[link.weight] for link in self._links]
        biases = [full[link.bias] if link.bias else None for link in self._links]
        x, flat = entered if span == slice(0, entered.shape[0]) else entered[span], entered.dim() == 2
        ahead = self._bends, factors, None, None, by_hand, x if flat else x.flatten(0, -2)
        output, hand_on = run(MaskedPass, ahead, [*weights, *biases], by_hand)
        if hand_on is not None:
            return Joined(span, numbers, output.unsqueeze(1), lengths, hand_on=lambda grad: hand_on(grad.squeeze(1)))
        output = output if flat else output.view(-1, *entered.shape[1:-1], output.shape[-1])
        return Joined(span, numbers, output, lengths)

    def _masks(self, cutoff: Mapping[str, int], rows: int | None, like: torch.Tensor) -> list[torch.Tensor]:
        """Of each hidden layer, for so many rows, (rows, features), or for however many there are, (1, 1, features)."""
        key = like.device, like.dtype, rows, *cutoff.values()
        if key not in self._known_masks:
            if len(self._known_masks) > MOST_MASKS:
                self._known_masks.clear()
            found = masks(self._links, self._layout, self._scale, cutoff, like)
            made = {id(m): m[None, None] if rows is None else m.expand(rows, -1) for m in found}
            self._known_masks[key] = [made[id(mask)] for mask in found]
        return self._known_masks[key]

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


def _alike_or_in_a_row(rows: Sequence[slice]) -> bool:
    """Whether cutoffs have the same rows, or each those that follow the one's before."""
    return all(a.stop == b.start for a, b in itertools.pairwise(rows)) or all(span == rows[0] for span in rows)


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
