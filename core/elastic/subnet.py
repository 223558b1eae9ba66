"""The plain small model of one size: made of saved weights, or run through tensors given to it. Imports torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import nn
from torch.func import functional_call

from core.elastic.family import Family
from core.elastic.scale import Scale


def with_tensors(scale: Scale) -> Scale:
    """Convert the weights of a scale's bands to torch tensors."""
    bands = tuple(
        replace(b, scale=with_tensors(b.scale), weights={n: torch.as_tensor(v).detach() for n, v in b.weights.items()})
        for b in scale.bands
    )
    return replace(scale, bands=bands)


def folded_state(
    family: Family,
    scale: Scale,
    weights: Mapping[str, Any],
    widths: Mapping[str, int],
    statistics: Mapping[str, Any] | None = None,
) -> dict[str, torch.Tensor]:
    """Weights of the small model at `widths` as torch tensors: cut, then scaled, with statistics of that size."""
    tensors = {} if scale.band(widths) else {name: torch.as_tensor(value) for name, value in weights.items()}
    state = with_tensors(scale).fold(family.layout.slice(tensors, widths), family.layout, widths)
    return state | {name: torch.as_tensor(value) for name, value in (statistics or {}).items()}


def load(
    family: Family,
    scale: Scale,
    weights: Mapping[str, Any],
    widths: Mapping[str, int],
    statistics: Mapping[str, Any] | None = None,
) -> nn.Module:
    """Build the plain small model at `widths`, in evaluation mode."""
    module = family.build(**widths)
    state = {name: value.clone() for name, value in folded_state(family, scale, weights, widths, statistics).items()}
    module.load_state_dict(state, strict=True)
    return module.eval()


def call(sibling: nn.Module, state: Mapping[str, torch.Tensor], x: torch.Tensor) -> Any:
    """Run a sibling on a copy of `x`, which it may write over, with the tensors of `state` in place of its own."""
    aside = {n: b.to(x.device) for n, b in sibling.named_buffers() if n not in state}  # made on the CPU
    # a slice of a tied weight comes as one tensor under each of its names, which torch would take for a contradiction
    return functional_call(sibling, {**state, **aside}, (x.clone(),), tie_weights=False)
