"""One module that owns the full weights and runs at any width. Imports torch; import it only to train or evaluate."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn
from torch.func import functional_call

from core.batch_norm import buffers, set_mode
from core.chain import Chain, find_chain
from core.dropout import Cuts
from core.family import Family
from core.layout import Axis
from core.scale import Scale, knot_shares, knots, tabled

TABLE_RATE = 10.0  # a row of a table is met in a part of the steps: it learns so much faster (Adam's step has no scale)
Sizes = Sequence[tuple[tuple[int, int], ...]]


class Elastic(nn.Module):
    """The full weights of a family, run at any width through slices of them.

    Autograd carries the gradients of every slice into the full weights, and everything happens in `forward`, so
    DistributedDataParallel and the like work on it unchanged.
    """

    def __init__(self, family: Family, alpha: float, tables: bool = False) -> None:
        super().__init__()
        self.family = family
        self.layout = family.layout
        self.full = family.build()
        self.chain: Chain | None = find_chain(family.sibling(), self.layout)
        self._fixed = Scale(alpha, self.chain.scaled_weights()) if self.chain else Scale()
        self.penalty: torch.Tensor | None = None  # a term of the loss that the model adds to it
        self._estimated = buffers(self.full)
        self._places = [_place(self.full, name) for name in self.layout.tensors]
        self._runs = {  # tensors whose leading part is one run in every axis
            name: [(dim, str(axis[0].width), axis[0].each) for dim, axis in enumerate(tensor.axes) if axis is not None]
            for name, tensor in self.layout.tensors.items()
            if all(axis is None or _single(axis) for axis in tensor.axes)
        }
        # a chain's first layer is the same numbers at every width, so that one product serves all: it has no table
        first = {self.chain.links[0].bias} if self.chain else set()
        named = tabled(self.layout, frozenset(str(name) for name in first)) if tables and knots(self.layout) else []
        sizes = [self.layout.tensors[name].shape[0] for name in named]
        self._columns = dict(zip(named, itertools.pairwise([0, *itertools.accumulate(sizes)]), strict=True))
        #: All tables side by side over `TABLE_RATE`, (knots, entries): one product gives every offset of a step.
        self.table = nn.Parameter(torch.zeros(knots(self.layout), sum(sizes))) if named else None

    @property
    def scale(self) -> Scale:
        """What a slice is multiplied by and what is added to it; its tables are computed from the parameter."""
        if self.table is None:
            return self._fixed
        whole = self.table * TABLE_RATE
        return replace(self._fixed, tables={name: whole[:, a:b] for name, (a, b) in self._columns.items()})

    def forward(self, x: torch.Tensor, cuts: Cuts) -> list[torch.Tensor]:
        """Output at each cutoff: of the whole batch, or of its k-th of K parts (`parts`).

        `penalty` is then the mean over the cutoffs of what the model itself set under that name, if it does.
        """
        self.penalty = None
        if self.chain is not None:
            return self._run_chain(self.chain, x, cuts)
        states = self._slices(cuts.cutoffs, self._state())
        outputs, penalties = [], []
        for cutoff, state, rows in zip(cuts.cutoffs, states, parts(len(x), cuts), strict=True):
            sibling = set_mode(self.family.sibling(**cutoff), self.training, by_batch=True)
            # a module writes its running statistics; those of one slice are no other's, so it writes to a copy
            state |= {name: state[name].clone() for name in self._estimated}
            outputs.append(call(sibling, state, x[rows]))
            penalty = vars(sibling).get("penalty")  # not a parameter or buffer that happens to bear the name
            if isinstance(penalty, torch.Tensor):
                sibling.penalty = None  # type: ignore[assignment]  # a sibling is kept, its graph must not be
                if self.training:
                    penalties.append(penalty)
        self.penalty = torch.stack(penalties).mean() if penalties else None
        return outputs

    def _run_chain(self, chain: Chain, x: torch.Tensor, cuts: Cuts) -> list[torch.Tensor]:
        """The outputs of a chain. Cutoffs on the same rows share the first layer: a narrow one is its prefix."""
        full = self._state()
        entered = chain.enter(x, full)
        if not cuts.whole_batch or len(cuts.cutoffs) == 1:
            states = self._slices(cuts.cutoffs, full)
            return [chain.run(entered[rows], s) for rows, s in zip(parts(len(x), cuts), states, strict=True)]
        link = chain.links[0]
        own = {name: full.pop(name) for name in (link.weight, link.bias) if name}
        states = self._slices(cuts.cutoffs, full)
        kept = [self.layout.tensors[link.weight].shape_at(cutoff)[0] for cutoff in cuts.cutoffs]
        widest = self._slices([cuts.cutoffs[kept.index(max(kept))]], own)[0]
        first = nn.functional.linear(entered, widest[link.weight], widest[link.bias] if link.bias else None)
        shared = _leading(link.activate(first), [((first.dim() - 1, size),) for size in kept], [1.0] * len(kept))
        return [chain.run(h, state, start=1) for h, state in zip(shared, states, strict=True)]

    def _state(self) -> dict[str, torch.Tensor]:
        """The full weights by name: what `state_dict(keep_vars=True)` gives, without its cost in every step."""
        return {name: value for name, place, key in self._places if (value := place[key]) is not None}

    def _slices(
        self, cutoffs: Sequence[Mapping[str, int]], full: Mapping[str, torch.Tensor]
    ) -> list[dict[str, torch.Tensor]]:
        """The slice of the tensors in `full` at each cutoff, with scale and tables folded in."""
        factors = [self._fixed.factors(self.layout, cutoff) for cutoff in cutoffs]
        vectors = self._vectors(cutoffs, full)
        states: list[dict[str, torch.Tensor]] = [{} for _ in cutoffs]
        for name, value in full.items():
            times = [factor.get(name, 1.0) for factor in factors]
            cut: Iterable[torch.Tensor]
            if name in vectors:
                cut = vectors[name]
                if name not in self._runs:
                    cut = (self.layout.slice_tensor(name, v, c) for v, c in zip(cut, cutoffs, strict=True))
            elif name in self._runs:
                runs = self._runs[name]
                sizes = [tuple((dim, cutoff[width] * each) for dim, width, each in runs) for cutoff in cutoffs]
                cut = _leading(value, sizes, times)
            else:
                cut = (self.layout.slice_tensor(name, value, cutoff) for cutoff in cutoffs)
                cut = (part if t == 1.0 else part * t for part, t in zip(cut, times, strict=True))
            for state, part in zip(states, cut, strict=True):
                state[name] = part
        return states

    def _vectors(
        self, cutoffs: Sequence[Mapping[str, int]], full: Mapping[str, torch.Tensor]
    ) -> dict[str, Sequence[torch.Tensor]]:
        """The vectors that have a table, as they are at each cutoff; uncut where what is kept is not one run."""
        if self.table is None or not self._columns.keys() <= full.keys():
            return {}
        shares = [knot_shares(self.layout, cutoff) for cutoff in cutoffs]
        rows = range(len(self.table))
        mix = torch.tensor(
            [[TABLE_RATE * share.get(knot, 0.0) for knot in rows] for share in shares],
            dtype=self.table.dtype,
            device=self.table.device,
        )
        kept = [
            (start, start + cutoff[self._runs[name][0][1]] * self._runs[name][0][2] if self._runs.get(name) else end)
            for name, (start, end) in self._columns.items()
            for cutoff in cutoffs
        ]
        found = _Offset.apply(mix, self.table, kept, *[full[name] for name in self._columns])
        k = len(cutoffs)
        return {name: found[i * k : (i + 1) * k] for i, name in enumerate(self._columns)}


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
    """Leading parts of one tensor, each times a number. All their gradients go into one padded one, not each its own.

    `sizes` holds, for each part, what to keep of which dimension.
    """

    @staticmethod
    def forward(ctx: Any, value: torch.Tensor, sizes: Sizes, times: Sequence[float]) -> tuple[torch.Tensor, ...]:
        ctx.sizes, ctx.times, ctx.shape = sizes, times, value.shape
        ctx.set_materialize_grads(False)
        value = value.detach()
        return tuple(
            _part(value, kept) * t if t != 1.0 else _part(value, kept) for kept, t in zip(sizes, times, strict=True)
        )

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor | None) -> tuple[torch.Tensor | None, None, None]:
        known = [(g, kept, t) for g, kept, t in zip(grads, ctx.sizes, ctx.times, strict=True) if g is not None]
        if not known:
            return None, None, None
        grad, _, t = known[0]
        if grad.shape == ctx.shape:  # nothing to pad, as at full width, which comes first
            total = grad * t
            del known[0]
        else:
            total = grad.new_zeros(ctx.shape)
        for grad, kept, t in known:
            _part(total, kept).add_(grad, alpha=t)
        return total, None, None


def _leading(value: torch.Tensor, sizes: Sizes, times: Sequence[float]) -> Sequence[torch.Tensor]:
    """The parts of `_Leading`; the tensor itself where nothing is cut."""
    if all(t == 1.0 for t in times) and all(value.shape[dim] == size for kept in sizes for dim, size in kept):
        return [value] * len(sizes)
    parts_of: Sequence[torch.Tensor] = _Leading.apply(value, sizes, times)
    return parts_of


def _part(value: torch.Tensor, kept: tuple[tuple[int, int], ...]) -> torch.Tensor:
    for dim, size in kept:
        if size != value.shape[dim]:
            value = value.narrow(dim, 0, size)
    return value


def call(sibling: nn.Module, state: Mapping[str, torch.Tensor], x: torch.Tensor) -> Any:
    """A sibling's output on a copy of `x`, which it may write over, through the tensors of `state` for its own."""
    aside = {n: b.to(x.device) for n, b in sibling.named_buffers() if n not in state}  # made on the CPU
    # a slice of a tied weight comes as one tensor under each of its names, which torch would take for a contradiction
    return functional_call(sibling, {**state, **aside}, (x.clone(),), tie_weights=False)


def _place(module: nn.Module, name: str) -> tuple[str, Any, str]:
    """Where a tensor of the state dict lives: moving a module to a device puts other tensors there."""
    owner, _, key = name.rpartition(".")
    part = module.get_submodule(owner)
    return name, part._parameters if key in part._parameters else part._buffers, key


def _single(axis: Axis) -> bool:
    return len(axis) == 1 and axis[0].width is not None


def parts(n: int, cuts: Cuts) -> list[slice]:
    """The rows of a batch of `n` that each cutoff runs on."""
    k = len(cuts.cutoffs)
    if cuts.whole_batch:
        return [slice(0, n)] * k
    ends = [0, *(round(n * end) for end in itertools.accumulate(cuts.shares or ()))]
    if cuts.shares is None or any(a >= b for a, b in itertools.pairwise(ends)):  # or a part would be empty
        return [slice(i * n // k, (i + 1) * n // k) for i in range(k)]
    return [slice(a, b) for a, b in itertools.pairwise([*ends[:-1], n])]


def with_tensors(scale: Scale) -> Scale:
    """The scale with its tables as tensors, whatever they were."""
    return replace(scale, tables={name: torch.as_tensor(table).detach() for name, table in scale.tables.items()})


def folded_state(
    family: Family,
    scale: Scale,
    weights: Mapping[str, Any],
    widths: Mapping[str, int],
    statistics: Mapping[str, Any] | None = None,
) -> dict[str, torch.Tensor]:
    """The exact weights of the small model at `widths` as torch tensors: cut, then scaled, with its own statistics."""
    tensors = {name: torch.as_tensor(value) for name, value in weights.items()}
    state = with_tensors(scale).fold(family.layout.slice(tensors, widths), family.layout, widths)
    return state | {name: torch.as_tensor(value) for name, value in (statistics or {}).items()}


def load(
    family: Family,
    scale: Scale,
    weights: Mapping[str, Any],
    widths: Mapping[str, int],
    statistics: Mapping[str, Any] | None = None,
) -> nn.Module:
    """The plain small model at `widths`, ready to run."""
    module = family.build(**widths)
    state = {name: value.clone() for name, value in folded_state(family, scale, weights, widths, statistics).items()}
    module.load_state_dict(state, strict=True)
    return module.eval()
