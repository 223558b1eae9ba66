"""One step of a training: outputs at the drawn cutoffs, their mean loss, gradients, and the optimiser's step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from core.elastic.recipes.base import Cuts
from core.tasks.losses import Loss, probabilities

if TYPE_CHECKING:
    import torch
    from torch import nn

    from core.tasks.losses import AnyLoss


def train_step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    x: torch.Tensor,
    y: torch.Tensor,
    cuts: Cuts,
    loss: AnyLoss,
    soften: Callable[[torch.Tensor], torch.Tensor] = probabilities,
) -> torch.Tensor:
    """Take one step of the optimiser on a batch and return the loss, (), detached.

    Parameters
    ----------
    model
        An `Elastic`, or one in a wrapper such as DistributedDataParallel.
    x, y
        Batch: (batch, ...) and (batch,) classes or (batch, outputs) numbers.
    cuts
        Cutoffs of the step, as a recipe draws them.
    loss
        `Loss` of a task, or any function of (output, target), which is called for each cutoff by itself.
    soften
        Turns a teacher's output into the target of the other cutoffs.
    """
    optimizer.zero_grad(set_to_none=True)
    total = step_loss(model(x, cuts), y, cuts, loss, soften)
    if (penalty := getattr(model, "penalty", None)) is not None:
        total = total + penalty
    total.backward()
    optimizer.step()
    return total.detach()


def step_loss(
    outputs: Sequence[torch.Tensor],
    y: torch.Tensor,
    cuts: Cuts,
    loss: AnyLoss,
    soften: Callable[[torch.Tensor], torch.Tensor] = probabilities,
) -> torch.Tensor:
    """Mean loss, (), over the rows of all outputs of a step."""
    import torch

    smoothing = cuts.smoothing or (0.0,) * len(outputs)
    groups: dict[object, list[int]] = {}  # cutoffs whose loss is taken in one call
    for k in range(len(outputs)):
        alike = (smoothing[k], k == cuts.teacher) if isinstance(loss, Loss) else k
        groups.setdefault(alike, []).append(k)
    targets = []
    for k, rows in enumerate(cuts.rows(y.shape[0])):
        taught = cuts.teacher is not None and k != cuts.teacher
        target = soften(outputs[cuts.teacher or 0].detach()) if taught else y[rows]
        starts = outputs[k].shape[0] // max(1, target.shape[0])  # of a band; an example's outputs follow each other
        targets.append(target if starts == 1 else target.repeat_interleave(starts, 0))
    total, n = [], sum(output.shape[0] for output in outputs)
    for numbers in groups.values():
        output, target = (torch.cat([parts[k] for k in numbers]) for parts in (outputs, targets))
        value = loss(output, target, smoothing[numbers[0]]) if isinstance(loss, Loss) else loss(output, target)
        total.append(value * (output.shape[0] / n))
    return torch.stack(total).sum()
