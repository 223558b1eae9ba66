"""One module that owns the full weights and runs at any width. Imports torch; import it only to train or evaluate."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn
from torch.func import functional_call

from core.elastic.batch_norm import buffers, set_mode
from core.elastic.family import Family
from core.elastic.fast_mlp.chain import Chain, find_chain
from core.elastic.fast_mlp.outputs import Joined
from core.elastic.fast_mlp.sliced_pass import Passes
from core.elastic.fast_mlp.stacked_bands import Beside
from core.elastic.fast_mlp.whitening import Change, Whitening, rewrite
from core.elastic.layout import Axis
from core.elastic.recipes.base import Cutoff, Cuts, parts
from core.elastic.scale import Band, Scale, knot_shares, knots, tabled
from core.elastic.size_grid import Range, narrowest, widths_at
from core.elastic.slicing import leading, offset

BAND_RATE, BAND_GROWS = 2.0, 1.25  # a narrow network wants a larger rate: the widest band's, and with each halving
TABLE_RATE = 10.0  # a row of a table is met in a part of the steps: it learns so much faster (Adam's step has no scale)


class Elastic(nn.Module):
    """The full weights of a family, run at any width through slices of them.

    Autograd carries the gradients of every slice into the full weights, and everything happens in `forward`, so
    DistributedDataParallel and the like work on it unchanged; with bands it wants `find_unused_parameters`, since a
    step meets some of them. A band is one of these modules itself, with the band's widest for full size.
    """

    def __init__(
        self, family: Family, alpha: float, tables: bool = False, bands: Sequence[Range] = (), starts: int = 1
    ) -> None:
        super().__init__()
        self.family = family
        self.layout = family.layout
        self.full = family.build()
        self.chain: Chain | None = find_chain(family.sibling(), self.layout)
        self._fixed = Scale(alpha, self.chain.scaled_weights()) if self.chain else Scale()
        self._passes = Passes(self.chain, self.layout, self._fixed) if self.chain else None
        self._penalties: list[torch.Tensor] = []  # of the last pass
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
        self.whitening: Whitening | None = None
        self.ranges = tuple(bands)  # from wide to narrow
        self._tops = [widths_at(self.layout.widths, top) for _, top in bands]
        self._known: dict[tuple[tuple[str, int], ...], int | None] = {}  # the band of a cutoff
        self.rates = [BAND_RATE * BAND_GROWS ** math.log2(bands[0][1] / top) for _, top in bands]
        self.beside = Beside(family, self.chain, bands, alpha, self.rates, starts) if self.chain and bands else None
        one_by_one = () if self.beside else bands
        self.bands = nn.ModuleList(Elastic(family.narrowed(low, top), alpha) for low, top in one_by_one)

    @property
    def penalty(self) -> torch.Tensor | None:
        """A term of the loss that the model adds to it: the mean over the last pass's cutoffs, if it set any."""
        return torch.stack(self._penalties).mean() if self._penalties else None

    @property
    def scale(self) -> Scale:
        """What a slice is multiplied by and what is added to it, and the bands, all computed from the parameters."""
        tables = {}
        if self.table is not None:
            whole = self.table * TABLE_RATE
            tables = {name: whole[:, a:b] for name, (a, b) in self._columns.items()}
        return replace(self._fixed, tables=tables, bands=self._bands())

    def _bands(self) -> tuple[Band, ...]:
        if self.beside is not None:
            return self.beside.bands(self._state())
        return tuple(
            Band(low, top, part.layout, part.scale, part._state())
            for (low, top), part in zip(self.ranges, self.bands, strict=False)
            if isinstance(part, Elastic)
        )

    def fit(self, change: Callable[[nn.Module], None]) -> None:
        """Do to every module with weights of its own what has to be done to a full one."""
        for source in (self, *self.bands):
            if isinstance(source, Elastic):
                change(source.full)

    def start_from(self, state: Mapping[str, torch.Tensor]) -> None:
        """Take over the weights of a trained full model; those of a band are its leading part."""
        self.full.load_state_dict(state, strict=True)
        for number, band in enumerate(self.scale.bands):
            leading = self.layout.slice(state, band.layout.full)
            if self.beside is not None:
                self.beside.take(number, leading)
            else:
                part: Any = self.bands[number]
                part.full.load_state_dict(leading, strict=True)

    def whiten(self, x: torch.Tensor) -> None:
        """Let the first layers of a chain learn from inputs that are partly whitened, as some examples `x` say.

        The weights that are there by now do the same as before. No other model is changed, nor one whose first elastic
        layer's inputs are learned.
        """
        if self.chain is None or self.chain.learns_before:
            return
        with torch.no_grad():
            rows = self.chain.enter(x, self._state())
            centre = self.chain.links[0].bias is not None
            self.whitening = Whitening(rows.flatten(0, -2), centre=centre)
            self._rewrite_first(self.whitening.unfold)

    def settle(self) -> None:
        """Put the whitening into the weights, which take the inputs as they are from here on."""
        if self.whitening is not None:
            self._rewrite_first(self.whitening.fold)
            self.whitening = None

    def _rewrite_first(self, change: Change) -> None:
        assert self.chain is not None
        rewrite(self._state(), self.chain.links[0], change)
        if self.beside is not None:
            self.beside.rewrite_first(change)

    def enter(self, x: torch.Tensor) -> torch.Tensor:
        """Inputs as a chain's first layer takes them in training, the same at every width: (batch, ..., features)."""
        assert self.chain is not None
        entered = self.chain.enter(x, self._state())
        return entered if self.whitening is None else self.whitening(entered)

    def forward(
        self, x: torch.Tensor, cuts: Cuts, *, entered: bool = False, joined: bool = False, by_hand: bool = False
    ) -> list[torch.Tensor] | list[Joined]:
        """Output at each cutoff: of the whole batch, or of its k-th of K parts (`parts`); `entered`: x is of `enter`.

        In training, that of a band with several starts has so many times the rows, an example's side by side
        (`core.elastic.fast_mlp.stacked_bands`). `joined`: the same outputs, those together that were computed together; `by_hand`: a
        chain's may have no graph of autograd behind them and want to be given their gradient (`Joined.hand_on`), of
        which hooks of the weights learn nothing. `penalty` is then what the model itself set under that name, if any.
        """
        # plain lists and few calls: of a tiny network a step costs these as much as its numbers
        self._penalties.clear()
        rows = parts(x.shape[0], cuts)
        if self.chain is not None and not entered:
            x = self.enter(x)
        by_hand = joined and by_hand and x.dim() == 2 and torch.is_grad_enabled() and not x.requires_grad
        found: list[Joined] = []
        places = self._by_band(cuts.cutoffs)
        if self.chain is not None and self.ranges:
            shared = places.pop(None, None)
            if places:
                found += self._run_beside(self.chain, x, cuts.cutoffs, rows, places, by_hand)
            places = {None: shared} if shared else {}
        for band, numbers in places.items():
            source: Any = self if band is None else self.bands[band]
            cutoffs, spans = [cuts.cutoffs[k] for k in numbers], [rows[k] for k in numbers]
            if self._passes is not None:
                state = self._state()
                found += self._passes(x, numbers, cutoffs, spans, state, self._vectors(cutoffs, state), by_hand)
            else:
                outputs = source._run_each(x, cutoffs, spans, self._penalties)
                own = band is not None
                found += [Joined(rows[k], [k], output, own=own) for k, output in zip(numbers, outputs, strict=True)]
        if joined:
            return found
        by_number = {k: output for part in found for k, output in zip(part.cutoffs, part.parted(), strict=True)}
        return [by_number[k] for k in range(len(by_number))]

    def _by_band(self, cutoffs: Sequence[Cutoff]) -> dict[int | None, list[int]]:
        """Which cutoffs each band has the weights of; None: those that share the full ones."""
        tops, known = self._tops, self._known
        if not tops:
            return {None: list(range(len(cutoffs)))}
        found: dict[int | None, list[int]] = {}
        for k, cutoff in enumerate(cutoffs):
            key = tuple(cutoff.items())
            if key not in known:  # a step asks for a dozen, of few sizes
                known[key] = narrowest(tops, cutoff)
            found.setdefault(known[key], []).append(k)
        return found

    def _run_beside(
        self,
        chain: Chain,
        x: torch.Tensor,
        cutoffs: Sequence[Cutoff],
        rows: Sequence[slice],
        places: Mapping[Any, list[int]],
        by_hand: bool,
    ) -> list[Joined]:
        """Outputs of bands: all in one pass where each has one cutoff on the same rows, as in a step."""
        beside = self.beside
        assert beside is not None
        each = [places[band][0] for band in sorted(places)]
        alike = len(each) == sum(map(len, places.values())) == len(self.ranges)
        if self.training and alike and all(rows[k] == rows[each[0]] for k in each):
            span = rows[each[0]]
            output, hand_on = beside.run(x[span], [cutoffs[k] for k in each], by_hand)
            return [Joined(span, each, output, beside.starts, side_by_side=True, own=True, hand_on=hand_on)]
        state = self._state()
        bands = {place: beside.band(place, state) for place in places}
        return [
            Joined(rows[k], [k], chain.run(x[rows[k]], bands[place].fold(cutoffs[k])), own=True)
            for place, numbers in places.items()
            for k in numbers
        ]

    def _run_each(
        self, x: torch.Tensor, cutoffs: Sequence[Cutoff], rows: Sequence[slice], penalties: list[torch.Tensor]
    ) -> list[torch.Tensor]:
        """The outputs of siblings run one by one; what they add to the loss is added to `penalties`."""
        outputs = []
        for cutoff, state, span in zip(cutoffs, self._slices(cutoffs, self._state()), rows, strict=True):
            sibling = set_mode(self.family.sibling(**cutoff), self.training, by_batch=True)
            # a module writes its running statistics; those of one slice are no other's, so it writes to a copy
            state |= {name: state[name].clone() for name in self._estimated}
            outputs.append(call(sibling, state, x[span]))
            penalty = vars(sibling).get("penalty")  # not a parameter or buffer that happens to bear the name
            if isinstance(penalty, torch.Tensor):
                sibling.penalty = None  # type: ignore[assignment]  # a sibling is kept, its graph must not be
                if self.training:
                    penalties.append(penalty)
        return outputs

    def _state(self) -> dict[str, torch.Tensor]:
        """The full weights by name: what `state_dict(keep_vars=True)` gives, without its cost in every step."""
        return {name: value for name, place, key in self._places if (value := place[key]) is not None}

    def _slices(
        self, cutoffs: Sequence[Mapping[str, int]], full: Mapping[str, torch.Tensor]
    ) -> list[dict[str, torch.Tensor]]:
        """The slice of the full tensors at each cutoff, with tables folded in; only a chain is scaled."""
        vectors = self._vectors(cutoffs, full)
        states: list[dict[str, torch.Tensor]] = [{} for _ in cutoffs]
        for name, value in full.items():
            cut: Iterable[torch.Tensor]
            if name in vectors:
                cut = vectors[name]
                if name not in self._runs:
                    cut = (self.layout.slice_tensor(name, v, c) for v, c in zip(cut, cutoffs, strict=True))
            elif name in self._runs:
                runs = self._runs[name]
                sizes = [tuple((dim, cutoff[width] * each) for dim, width, each in runs) for cutoff in cutoffs]
                cut = leading(value, sizes)
            else:
                cut = (self.layout.slice_tensor(name, value, cutoff) for cutoff in cutoffs)
            for state, part in zip(states, cut, strict=True):
                state[name] = part
        return states

    def _vectors(
        self, cutoffs: Sequence[Mapping[str, int]], full: Mapping[str, torch.Tensor]
    ) -> dict[str, Sequence[torch.Tensor]]:
        """The vectors that have a table, as they are at each cutoff; uncut where what is kept is not one run."""
        if self.table is None:
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
        found = offset(mix, self.table, kept, [full[name] for name in self._columns])
        k = len(cutoffs)
        return {name: found[i * k : (i + 1) * k] for i, name in enumerate(self._columns)}


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
