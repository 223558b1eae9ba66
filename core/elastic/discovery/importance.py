"""Order the features of a trained model by importance, so that its leading slices are a fair start. Imports torch.

A feature's importance is summed over every entry of every tensor that it owns: the norm of its weights
(Li et al., 2017), or the first-order change of the loss without it, |w * dL/dw| (Molchanov et al., 2019). The full
model's output does not change with the order.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from core.elastic.discovery.factory import Factory, first_line
from core.errors import UserError
from core.tasks.losses import loss_function
from core.tasks.registry import task as task_named

if TYPE_CHECKING:
    from torch import nn

    from core.elastic.layout import Layout

BY = ("norm", "gradient")


def check_criterion(by: str, batch: Any) -> None:
    """Raise UserError unless `by` is one of `BY` and has the batch that it needs."""
    if by not in BY:
        raise UserError(f"features can't be ordered by {by!r}; choose one of {', '.join(BY)}")
    if batch is None and by == "gradient":
        raise UserError("ordering by gradient needs examples: order(state, 'gradient', batch=(x, y))")


def full_state(state: Any, layout: Layout, factory: Factory) -> dict[str, torch.Tensor]:
    """`state` as the full model's own state dict: on the CPU, of its types, tied tensors under each of their names.

    A normalisation's batch counter, which older files lack, keeps the model's value. Raises UserError where a name,
    a shape or a value is not what the full model has.
    """
    given = _checked(state, layout)
    own = factory.real(layout.full).state_dict(keep_vars=True)
    by_tensor: dict[int, torch.Tensor] = {id(own[name]): value for name, value in given.items()}
    for name, value in own.items():
        if name in given and not torch.equal(given[name], by_tensor[id(value)]):
            raise UserError(f"the weights under {name!r} differ from those of the tensor that the model ties it to")
        if id(value) in by_tensor:
            continue
        if not name.endswith("num_batches_tracked"):
            raise UserError(f"the weights lack {name!r}; the full model has {_few(own)}")
        by_tensor[id(value)] = value.detach()
    return {name: by_tensor[id(value)] for name, value in own.items()}


def _checked(state: Any, layout: Layout) -> dict[str, torch.Tensor]:
    """`state` as CPU tensors of the full model's shapes and types. Raises UserError."""
    if not isinstance(state, Mapping):
        raise UserError(f"the weights are a {type(state).__name__}; give a state dict: names and tensors")
    tensors: dict[str, torch.Tensor] = {}
    for name, value in state.items():
        if name not in layout.tensors:
            raise UserError(
                f"the weights hold {name!r}, which the full model does not have; it has {_few(layout.tensors)}"
            )
        try:
            tensor = torch.as_tensor(value)
        except Exception:  # whatever torch raises for an unknown kind of array
            raise UserError(f"the weights hold a {type(value).__name__} under {name!r}; give a tensor") from None
        expected = layout.tensors[name]
        if tuple(tensor.shape) != expected.shape:
            raise UserError(
                f"the weights have {name!r} of shape {tuple(tensor.shape)}, the full model needs {expected.shape}; "
                "build the family at the size that they were trained with"
            )
        dtype = getattr(torch, expected.dtype)
        if tensor.is_floating_point() != dtype.is_floating_point or tensor.is_complex() != dtype.is_complex:
            raise UserError(f"the weights have {name!r} of {tensor.dtype}, the full model needs {dtype}")
        if not bool(torch.isfinite(tensor).all()):
            raise UserError(f"the weights have values in {name!r} that are not finite; give those of a sound training")
        tensors[name] = tensor.detach().to("cpu", dtype)
    return tensors


def feature_order(
    factory: Factory, layout: Layout, state: Mapping[str, torch.Tensor], by: str, batch: Any, task: str
) -> dict[str, np.ndarray]:
    """Order the features of every width from the most important on.

    Parameters
    ----------
    factory, layout
        The family's factory and its checked layout.
    state
        The full model's weights, as from `full_state`.
    by
        One of `BY`.
    batch
        Inputs and targets `(x, y)`, for `gradient`.
    task
        Name of the task whose loss `gradient` takes.

    Returns
    -------
    dict
        For each width a permutation of its features, (full,) int64; equals keep their order, and features that the
        width only drops together (`Width.unit`) stay together.
    """
    if by == "norm":
        scores = importance(layout, state, power=2)
    else:
        scores = importance(layout, _gradients(factory.real(layout.full), state, batch, task))
    return {name: _descending(value, layout.widths[name].unit) for name, value in scores.items()}


def importance(layout: Layout, scores: Mapping[str, torch.Tensor], power: int = 1) -> dict[str, torch.Tensor]:
    """For each width, (full,) float64: |scores| to `power`, summed over all entries that a feature owns."""
    total = {name: torch.zeros(width.full, dtype=torch.float64) for name, width in layout.widths.items()}
    for name, value in scores.items():
        tensor = layout.tensors[name]
        if tensor.kind != "parameter":  # a tied tensor counts once; a statistic is no weight
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
    """The first inputs of a batch `(x, y)`, to check a layout on. Raises UserError for anything else."""
    if not isinstance(batch, (tuple, list)) or len(batch) != 2:
        raise UserError(f"the batch is a {type(batch).__name__}; give inputs and targets, (x, y)")
    try:
        x, y = (torch.as_tensor(part) for part in batch)
    except Exception as error:  # whatever torch raises for an unknown kind of array
        raise UserError(f"the batch holds no arrays ({first_line(error)}); give inputs and targets, (x, y)") from None
    if not x.dim() or not len(x) or x.shape[:1] != y.shape[:1]:
        raise UserError(
            f"the batch has inputs of shape {tuple(x.shape)} and targets of {tuple(y.shape)}; they need "
            "the same number of examples, one at least"
        )
    return _single(x[:2].cpu())


def _gradients(module: nn.Module, state: Mapping[str, torch.Tensor], batch: Any, task: str) -> dict[str, torch.Tensor]:
    """Weight times the loss's gradient, entry by entry, of `module` in evaluation mode on `batch`.

    Raises UserError where the model or the loss can't run on the batch, or the loss is not finite.
    """
    module.load_state_dict(dict(state), strict=True)
    module.eval()
    for value in module.parameters():
        value.requires_grad_(value.is_floating_point())  # the features of a frozen part have an importance too
    inputs, targets = (torch.as_tensor(part).cpu() for part in batch)
    # predicted numbers are compared in units of their own spread, as in training
    deviation = None if task_named(task).classes else targets.double().std(0, correction=0).clamp_min(1e-12).float()
    try:
        loss = loss_function(task, deviation)(module(_single(inputs)), targets)
        loss.backward()
    except Exception as error:  # the model's own, and a loss that doesn't fit the targets
        raise UserError(
            f"the loss of the batch of shape {tuple(inputs.shape)} has no gradient ({first_line(error)}); "
            "give inputs and targets that fit the model"
        ) from error
    if not bool(torch.isfinite(loss)):
        raise UserError(f"the loss of the batch is {float(loss)}, so it orders nothing; give a batch that fits")
    return {name: value.detach() * value.grad for name, value in module.named_parameters() if value.grad is not None}


def _descending(scores: torch.Tensor, unit: int) -> np.ndarray:
    """Features by descending score, in groups of `unit`; equals keep their order."""
    groups = torch.argsort(scores.view(-1, unit).sum(1), descending=True, stable=True).numpy()
    return (groups[:, None] * unit + np.arange(unit)).reshape(-1)


def _single(x: torch.Tensor) -> torch.Tensor:
    """Floating-point inputs in single precision, as in training; integers, such as tokens, unchanged."""
    return x.float() if x.is_floating_point() else x


def _few(names: Any) -> str:
    listed = list(names)
    return ", ".join(map(repr, listed[:6])) + (f" and {len(listed) - 6} more" if len(listed) > 6 else "")
