"""Losses of the tasks, and what a wider model's output is as a target of narrower ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from core.tasks.base import Task
from core.tasks.registry import task as task_named

if TYPE_CHECKING:
    import torch

    AnyLoss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

FEW_CLASSES = 32


class Loss:
    """The loss that a task is trained by: a mean over examples, as torch.nn.functional names it.

    Predicted numbers are compared in units of their `deviation`, (outputs,), so that the learning rate does not depend
    on the unit they are counted in.
    """

    def __init__(self, task: Task, deviation: torch.Tensor | None = None) -> None:
        from torch.nn import functional as F

        self._classes, self._deviation = task.classes, deviation
        self._loss: Callable[..., torch.Tensor] = getattr(F, task.loss)

    def __call__(self, output: torch.Tensor, target: torch.Tensor, smoothing: float = 0.0) -> torch.Tensor:
        """Mean loss, (), of outputs (n, ..., classes) or (n, outputs) against their targets.

        smoothing: share of a label that is spread evenly over all classes (Szegedy et al., 2016).
        """
        if self._classes:
            if _few_classes(output):  # torch's softmax on a CPU is slow over few numbers that lie side by side
                output, target = output.t().unsqueeze(0), target.t().unsqueeze(0)
            return self._loss(output, target, label_smoothing=smoothing)
        if self._deviation is None:
            return self._loss(output, target)
        return self._loss(output / self._deviation, target / self._deviation)


def loss_function(task: str, deviation: torch.Tensor | None = None) -> Loss:
    """Return the loss of the task of that name; deviation: see `Loss`."""
    return Loss(task_named(task), deviation)


def soft_targets(task: str) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return how another width's output becomes a target: probabilities of the classes, or the numbers themselves."""
    return probabilities if task_named(task).classes else lambda output: output


def probabilities(output: torch.Tensor) -> torch.Tensor:
    """Probabilities of the classes, (..., classes), from scores."""
    return output.softmax(-1)


def _few_classes(output: torch.Tensor) -> bool:
    return output.dim() == 2 and output.shape[1] <= FEW_CLASSES and output.device.type == "cpu"
