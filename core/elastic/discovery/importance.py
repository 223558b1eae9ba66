"""Order the features of a trained model by importance, so that the leading slice of it is a fair start. Imports torch.

A feature's importance is summed over every entry of every tensor that the layout says it owns: the norm of its
weights (Li et al., 2017), or what the loss would change by without it, to first order: |w * dL/dw| (Molchanov et al.,
2019). Reordering features changes nothing that the full model computes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from core.elastic.discovery.factory import reason
from core.errors import UserError
from core.tasks.losses import loss_function
from core.tasks.registry import task as task_named

if TYPE_CHECKING:
    from torch import nn

    from core.elastic.layout import Layout

BY = ("norm", "gradient")


def check_state(state: Any, layout: Layout) -> dict[str, torch.Tensor]:
    """`state` as tensors of the full model, a second name of a tied one filled in where a file leaves it out.

    Raises UserError where a name, a shape or a value is not what the full model has.
    """
    if not isinstance(state, Mapping):
        raise UserError(f"the weights are a {type(state).__name__}; give a state dict: names and tensors")
    found: dict[str, torch.Tensor] = {}
    for name, value in state.items():
        if name not in layout.tensors:
            raise UserError(
                f"the weights hold {name!r}, which the full model does not have; it has {_few(layout.tensors)}"
            )
        try:
            tensor = torch.as_tensor(value)
        except Exception:  # whatever torch makes of somebody's own kind of array
            raise UserError(f"the weights hold a {type(value).__name__} under {name!r}; give a tensor") from None
        wanted = layout.tensors[name]
        if tuple(tensor.shape) != wanted.shape:
            raise UserError(
                f"the weights have {name!r} of shape {tuple(tensor.shape)}, the full model wants {wanted.shape}; "
                "build the family at the size that they were trained with"
            )
        dtype = getattr(torch, wanted.dtype)
        if tensor.is_floating_point() != dtype.is_floating_point or tensor.is_complex() != dtype.is_complex:
            raise UserError(f"the weights have {name!r} of {tensor.dtype}, the full model wants {dtype}")
        if not bool(torch.isfinite(tensor).all()):
            raise UserError(f"the weights have values in {name!r} that are not finite; give those of a sound training")
        found[name] = tensor.detach().to("cpu", dtype)
    return found


def complete(found: Mapping[str, torch.Tensor], full: nn.Module) -> dict[str, torch.Tensor]:
    """Every tensor of `full` from `found`: one of a tied pair serves for both. Raises UserError where one is lacking.

    A normalisation's count of batches, which older files lack, stays as the model has it.
    """
    own = full.state_dict(keep_vars=True)
    by_tensor: dict[int, torch.Tensor] = {id(own[name]): value for name, value in found.items()}
    for name, value in own.items():
        given = found.get(name)
        if given is not None and not torch.equal(given, by_tensor[id(value)]):
            raise UserError(f"the weights under {name!r} differ from those of the tensor that the model ties it to")
        if id(value) in by_tensor:
            continue
        if not name.endswith("num_batches_tracked"):
            raise UserError(f"the weights lack {name!r}; the full model has {_few(own)}")
        by_tensor[id(value)] = value.detach()
    return {name: by_tensor[id(value)] for name, value in own.items()}


def importance(layout: Layout, scores: Mapping[str, torch.Tensor], power: int = 1) -> dict[str, torch.Tensor]:
    """For each width, (full,) float64: `scores`' entries to `power`, summed over all that a feature owns."""
    total = {name: torch.zeros(width.full, dtype=torch.float64) for name, width in layout.widths.items()}
    for name, value in scores.items():
        tensor = layout.tensors[name]
        if tensor.kind != "parameter":  # a tied one is counted once; a statistic is no weight
            continue
        value = value.detach().abs().double() ** power
        for dim, axis in enumerate(tensor.axes):
            if axis is None:
                continue
            others = [d for d in range(value.dim()) if d != dim]
            entries, start = value.sum(others) if others else value, 0
            for segment in axis:
                size = segment.size(layout.full)
                if segment.width is not None:
                    total[segment.width] += entries[start : start + size].view(-1, segment.each).sum(1)
                start += size
    return total


def example(batch: Any) -> torch.Tensor:
    """The first inputs of a batch `(x, y)`, to check a layout on. Raises UserError where it is none."""
    if not isinstance(batch, (tuple, list)) or len(batch) != 2:
        raise UserError(f"the batch is a {type(batch).__name__}; give inputs and targets, (x, y)")
    try:
        x, y = (torch.as_tensor(part) for part in batch)
    except Exception as error:  # whatever torch makes of somebody's own kind of array
        raise UserError(f"the batch holds no arrays ({reason(error)}); give inputs and targets, (x, y)") from None
    if not x.dim() or not len(x) or x.shape[:1] != y.shape[:1]:
        raise UserError(
            f"the batch has inputs of shape {tuple(x.shape)} and targets of {tuple(y.shape)}; they want "
            "the same number of examples, one at least"
        )
    return _single(x[:2].cpu())


def gradients(module: nn.Module, state: Mapping[str, torch.Tensor], batch: Any, task: str) -> dict[str, torch.Tensor]:
    """Weight times the loss's gradient, entry by entry, of the module in evaluation mode on a batch.

    Raises UserError where the model or the loss can't be run on the batch, or the loss is not finite.
    """
    module.load_state_dict(dict(state), strict=True)
    module.eval()
    for value in module.parameters():
        value.requires_grad_(value.is_floating_point())  # a frozen part's features have an importance too
    inputs, targets = (torch.as_tensor(part).cpu() for part in batch)
    # numbers that are predicted are compared in units of their own spread, as in training
    deviation = None if task_named(task).classes else targets.double().std(0, correction=0).clamp_min(1e-12).float()
    try:
        loss = loss_function(task, deviation)(module(_single(inputs)), targets)
        loss.backward()
    except Exception as error:  # the model's own, and a loss that doesn't fit the targets
        raise UserError(
            f"the loss of the batch of shape {tuple(inputs.shape)} has no gradient ({reason(error)}); "
            "give inputs and targets that fit the model"
        ) from error
    if not bool(torch.isfinite(loss)):
        raise UserError(f"the loss of the batch is {float(loss)}, so it orders nothing; give a batch that fits")
    return {name: value.detach() * value.grad for name, value in module.named_parameters() if value.grad is not None}


def descending(scores: Mapping[str, torch.Tensor]) -> dict[str, np.ndarray]:
    """For each width, its features from the most important on; equals keep their order."""
    return {name: torch.argsort(value, descending=True, stable=True).numpy() for name, value in scores.items()}


def _single(x: torch.Tensor) -> torch.Tensor:
    """Fractions in single precision, as in training; whole numbers, such as tokens, as they are."""
    return x.float() if x.is_floating_point() else x


def _few(names: Any) -> str:
    listed = list(names)
    return ", ".join(map(repr, listed[:6])) + (f" and {len(listed) - 6} more" if len(listed) > 6 else "")
