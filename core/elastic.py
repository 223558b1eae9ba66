"""One module that owns the full weights and runs at any width. Imports torch; import it only to train or evaluate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.func import functional_call

from core.batch_norm import buffers, set_mode
from core.chain import Chain, find_chain
from core.dropout import Cuts
from core.family import Family
from core.layout import Axis
from core.scale import Scale


class Elastic(nn.Module):
    """The full weights of a family, run at any width through slices of them.

    Autograd carries the gradients of every slice into the full weights, and everything happens in `forward`, so
    DistributedDataParallel and the like work on it unchanged.
    """

    def __init__(self, family: Family, alpha: float) -> None:
        super().__init__()
        self.family = family
        self.layout = family.layout
        self.full = family.build()
        self.chain: Chain | None = find_chain(family.sibling(), self.layout)
        self.scale = Scale(alpha, self.chain.scaled_weights()) if self.chain else Scale()
        self.penalty: torch.Tensor | None = None  # a term of the loss that the model adds to it
        self._estimated = buffers(self.full)
        self._places = [_place(self.full, name) for name in self.layout.tensors]
        self._runs = {  # tensors whose leading part is one run in every axis: they can be sliced from a wider slice
            name: [(dim, str(axis[0].width), axis[0].each) for dim, axis in enumerate(tensor.axes) if axis is not None]
            for name, tensor in self.layout.tensors.items()
            if all(axis is None or _single(axis) for axis in tensor.axes)
        }

    def forward(self, x: torch.Tensor, cuts: Cuts) -> list[torch.Tensor]:
        """Output at each cutoff: of the whole batch, or of its k-th of K equal parts (`parts`).

        `penalty` is then the mean over the cutoffs of what the model itself set under that name, if it does.
        """
        outputs, penalties = [], []
        kept, state = self.layout.full, self._state()
        entered = self.chain.enter(x, state) if self.chain else None
        first: torch.Tensor | None = None
        for cutoff, rows in zip(cuts.cutoffs, parts(len(x), cuts), strict=True):
            if any(cutoff[name] > kept[name] for name in kept):  # not nested: start from the full weights again
                kept, state, first = self.layout.full, self._state(), None
            state, kept = self._narrow(state, cutoff), cutoff
            folded = self.scale.fold(state, self.layout, cutoff)
            if self.chain is None or entered is None:
                sibling = set_mode(self.family.sibling(**cutoff), self.training, by_batch=True)
                # a module writes its running statistics; those of one slice are no other's, so it writes to a copy
                folded |= {name: folded[name].clone() for name in self._estimated}
                outputs.append(call(sibling, folded, x[rows]))
                penalty = vars(sibling).get("penalty")  # not a parameter or buffer that happens to bear the name
                if isinstance(penalty, torch.Tensor):
                    sibling.penalty = None  # type: ignore[assignment]  # a sibling is kept, its graph must not be
                    if self.training:
                        penalties.append(penalty)
            elif cuts.whole_batch and len(cuts.cutoffs) > 1:
                # every cutoff reads the same rows, so a narrower first layer is the prefix of the wider one's product
                link = self.chain.links[0]
                if first is None:
                    bias = folded[link.bias] if link.bias else None
                    first = nn.functional.linear(entered, folded[link.weight], bias)
                first = first[..., : folded[link.weight].shape[0]]
                outputs.append(self.chain.run(link.activate(first), folded, start=1))
            else:
                outputs.append(self.chain.run(entered[rows], folded))
        self.penalty = torch.stack(penalties).mean() if penalties else None
        return outputs

    def _state(self) -> dict[str, torch.Tensor]:
        """The full weights by name: what `state_dict(keep_vars=True)` gives, without its cost in every step."""
        return {name: value for name, place, key in self._places if (value := place[key]) is not None}

    def _narrow(self, state: Mapping[str, torch.Tensor], widths: Mapping[str, int]) -> dict[str, torch.Tensor]:
        """The slice at `widths`, taken from a wider slice where it can be.

        The gradient of a slice is padded to what it was cut from, so nested cuts pad far less than cuts of the full.
        """
        narrowed: dict[str, torch.Tensor] = {}
        full: dict[str, torch.Tensor] | None = None
        for name, value in state.items():
            if name in self._runs:
                for dim, width, each in self._runs[name]:
                    size = widths[width] * each
                    if size != value.shape[dim]:
                        value = value.narrow(dim, 0, size)
            else:
                full = full if full is not None else self._state()
                value = self.layout.slice_tensor(name, full[name], widths)
            narrowed[name] = value
        return narrowed


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
    return [slice(i * n // k, (i + 1) * n // k) for i in range(k)]


def folded_state(
    family: Family,
    scale: Scale,
    weights: Mapping[str, Any],
    widths: Mapping[str, int],
    statistics: Mapping[str, Any] | None = None,
) -> dict[str, torch.Tensor]:
    """The exact weights of the small model at `widths` as torch tensors: cut, then scaled, with its own statistics."""
    tensors = {name: torch.as_tensor(value) for name, value in weights.items()}
    state = scale.fold(family.layout.slice(tensors, widths), family.layout, widths)
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
