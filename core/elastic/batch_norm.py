"""Batch-normalisation statistics, which differ from width to width (as in US-Nets, arXiv 1903.05134). Imports torch.

A feature's mean and variance depend on the features before it, so on how many of those there are: one running
average would be wrong for all widths but one. In training each slice normalises by its own batch; afterwards each
evaluated width gets statistics of its own, estimated on training examples.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

Norm = (
    nn.BatchNorm1d
    | nn.BatchNorm2d
    | nn.BatchNorm3d
    | nn.SyncBatchNorm
    | nn.InstanceNorm1d
    | nn.InstanceNorm2d
    | nn.InstanceNorm3d
)
ROWS = 5_000  # training examples that the statistics of a width are estimated on
BATCH = 500


def tracked(module: nn.Module) -> dict[str, Norm]:
    """Find the normalisations, by name, whose running statistics are estimated at each width.

    One whose gain is frozen is part of an untrained backbone and keeps its statistics.
    """
    return {
        name: part
        for name, part in module.named_modules()
        if isinstance(part, Norm)
        and part.running_mean is not None
        and (part.weight is None or part.weight.requires_grad)
    }


def frozen(module: nn.Module) -> list[Norm]:
    """Find the normalisations that keep their statistics."""
    own = set(map(id, tracked(module).values()))
    return [part for part in module.modules() if isinstance(part, Norm) and id(part) not in own]


def buffers(module: nn.Module) -> list[str]:
    """Names of the buffers that are estimated at each width."""
    return [f"{name}.{key}" if name else key for name, part in tracked(module).items() for key in part._buffers]


def set_mode(module: nn.Module, training: bool, *, by_batch: bool) -> nn.Module:
    """Set training or evaluation mode; `by_batch`: normalise by the current batch in both. Frozen parts stay."""
    # a walk through a deep model costs as much as a step
    if getattr(module, "mode_set", None) != (training, by_batch):
        module.train(training)
        for part in frozen(module):
            part.eval()
        for part in tracked(module).values():
            part.train(training or by_batch)
        module.mode_set = (training, by_batch)  # type: ignore[assignment]
    return module


@torch.no_grad()
def estimate(module: nn.Module, batches: Iterable[torch.Tensor]) -> dict[str, torch.Tensor]:
    """Estimate mean and variance of every tracked normalisation, averaged over `batches`; by buffer name.

    Everything else runs as in evaluation, so the inputs of a normalisation are those of evaluation.
    """
    module.eval()
    parts = tracked(module)
    for part in parts.values():
        part.reset_running_stats()
        part.momentum = None  # a plain average
        part.train()
    for x in batches:
        module(x)
    module.eval()
    state = module.state_dict()
    return {name: state[name] for name in buffers(module)}
