"""The loss of a task and of a step, and its gradient where that takes a few calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from core.tasks.base import Task
from core.tasks.registry import task as task_named

if TYPE_CHECKING:
    import torch

    from core.elastic.fast_mlp.outputs import Joined

    AnyLoss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

FEW_CLASSES = 32
LEAST = 1e-38  # probability that counts, of which the logarithm is finite; the gradient is exact below it too


class Loss:
    """The loss that a task is trained by, as torch.nn.functional names it.

    Numbers that are predicted are compared in units of their `deviation`, (outputs,), so that the learning rate does
    not depend on what they are counted in.
    """

    def __init__(self, task: Task, deviation: torch.Tensor | None = None) -> None:
        from torch.nn import functional as F

        self._classes, self._name, self._deviation = task.classes, task.loss, deviation
        self._loss: Callable[..., torch.Tensor] = getattr(F, task.loss)

    def __call__(self, output: torch.Tensor, target: torch.Tensor, smoothing: float = 0.0) -> torch.Tensor:
        """The mean over outputs, (n, ..., classes) or (n, outputs), and what they should be.

        smoothing: of labels, the share of an example that is every class alike.
        """
        if self._classes:
            if _few_classes(output):  # torch's softmax on a CPU is slow over few numbers that lie side by side
                output, target = output.t().unsqueeze(0), target.t().unsqueeze(0)
            return self._loss(output, target, label_smoothing=smoothing)
        if self._deviation is None:
            return self._loss(output, target)
        return self._loss(output / self._deviation, target / self._deviation)

    def is_derived_for(self, target: torch.Tensor) -> bool:
        """Whether `derived` knows what to do with such targets."""
        return target.dim() == {"cross_entropy": 1, "mse_loss": 2}.get(self._name)

    def derived(
        self, output: torch.Tensor, target: torch.Tensor, of: int, smoothing: float = 0.0
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The loss and its gradient by the output, without autograd, which takes 120 us more: as long as a small pass.

        output: (n, times, outputs), of several models for each example; target: (n,) or (n, outputs). They are a part
        of the `of` rows that the loss is the mean over.
        """
        import torch

        with torch.no_grad():
            if self._classes:
                return _cross_entropy(output, target, of, smoothing)
            return _squared_error(output, target, self._deviation, of)


def loss_function(task: str, deviation: torch.Tensor | None = None) -> Loss:
    """The loss of the task of that name; deviation: see `Loss`."""
    return Loss(task_named(task), deviation)


def learn(
    found: Sequence[Joined], y: torch.Tensor, loss_of: AnyLoss, smoothing: float, penalty: torch.Tensor | None
) -> torch.Tensor:
    """The mean loss over all outputs, (), whose gradient has gone into the weights."""
    rows = [part.output.shape[0] * (1 if part.hand_on is None else part.output.shape[1]) for part in found]
    losses: list[torch.Tensor] = []
    graphs: dict[float, list[tuple[torch.Tensor, torch.Tensor, int]]] = {}  # by smoothing: output, target, rows
    for part, n in zip(found, rows, strict=True):
        smooth = 0.0 if part.own else smoothing
        if part.hand_on is None:
            graphs.setdefault(smooth, []).append((part.output, part.target(y), n))
        else:
            assert isinstance(loss_of, Loss)
            loss, gradient = loss_of.derived(part.output, part.target(y), sum(rows), smooth)
            part.hand_on(gradient)
            losses.append(loss)
    if graphs:
        loss = _sum([_of_graphs(same, loss_of, smooth, sum(rows)) for smooth, same in graphs.items()])
        if penalty is not None:
            loss = loss + penalty
        loss.backward()
        losses.append(loss.detach())
    return _sum(losses)


def _of_graphs(
    found: Sequence[tuple[torch.Tensor, torch.Tensor, int]], loss_of: AnyLoss, smoothing: float, of: int
) -> torch.Tensor:
    """What some outputs, their targets and their rows add to the mean loss `of` so many rows."""
    import torch

    outputs, wanted, rows = zip(*found, strict=True)
    output, target = (x[0] if len(x) == 1 else torch.cat(x) for x in (outputs, wanted))
    loss = loss_of(output, target, smoothing) if isinstance(loss_of, Loss) else loss_of(output, target)
    return loss if sum(rows) == of else loss * (sum(rows) / of)


def _sum(losses: list[torch.Tensor]) -> torch.Tensor:
    import torch

    return losses[0] if len(losses) == 1 else torch.stack(losses).sum()


def soft_targets(task: str) -> Callable[[torch.Tensor], torch.Tensor]:
    """What another width's output is as a target: probabilities of the classes, or the numbers themselves."""
    return probabilities if task_named(task).classes else lambda output: output


def probabilities(output: torch.Tensor) -> torch.Tensor:
    """Of the classes, (..., classes)."""
    return output.softmax(-1)


def _few_classes(output: torch.Tensor) -> bool:
    return output.dim() == 2 and output.shape[1] <= FEW_CLASSES and output.device.type == "cpu"


def _cross_entropy(
    output: torch.Tensor, target: torch.Tensor, of: int, smoothing: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """What is predicted less what is right is the gradient of an example's loss."""
    found = output.permute(1, 2, 0).softmax(1)  # (times, classes, n): see `Loss.__call__`
    place = target.expand(found.shape[0], 1, -1)
    right, each = found.gather(1, place), smoothing / found.shape[1]
    loss = right.clamp(min=LEAST).log_().sum().mul_(smoothing - 1.0)
    if smoothing:
        loss -= found.clamp(min=LEAST).log_().sum().mul_(each)
    found.scatter_(1, place, right.add_(smoothing - 1.0))
    if smoothing:
        found -= each
    return loss.div_(of), found.div_(of).permute(2, 0, 1)


def _squared_error(
    output: torch.Tensor, target: torch.Tensor, deviation: torch.Tensor | None, of: int
) -> tuple[torch.Tensor, torch.Tensor]:
    error, numbers = output - target.unsqueeze(1), of * output.shape[2]
    if deviation is not None:
        error.div_(deviation)
    loss = error.square().sum().div_(numbers)
    error.mul_(2.0 / numbers)
    return loss, error if deviation is None else error.div_(deviation)
