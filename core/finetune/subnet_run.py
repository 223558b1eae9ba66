"""One width of a run as a plain module with the run's data: shared by polish and refit."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from core.errors import UserError
from core.models.rebuild import family_of
from core.runs.run import Run
from core.runs.run_data import data_of
from core.utils.fingerprint import fingerprint

if TYPE_CHECKING:
    import torch
    from torch import nn

    from core.data.dataset import Dataset
    from core.elastic.family import Family
    from core.sweep.evaluator import Scores

ROWS = 2000  # examples of a forward pass in evaluation
PARTS = ("validation", "test")


@dataclass(frozen=True)
class Evaluation:
    """How good a model is on one part of the data."""

    value: float  # the task's first metric, by which sizes are chosen
    loss: float  # mean of the examples
    scores: Scores


@dataclass
class SubnetRun:
    """The small model at one width, its data, and how good it was before anything was changed."""

    run: Run
    family: Family
    data: Dataset
    width: int
    module: nn.Module
    before: dict[str, Evaluation]  # by part of the data

    @property
    def deviation(self) -> torch.Tensor:
        """Standard deviation of each predicted number, (outputs,): the unit of its errors."""
        import torch

        return torch.from_numpy(self.data.target_statistics()[1])

    def batch(self, rows: np.ndarray, seed: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return training examples (rows, ...) and targets, augmented with `seed` where the data are."""
        import torch

        x = torch.from_numpy(self.data.train.x[rows]).float()
        if self.data.augment is not None:
            x = self.data.augment(x, np.random.default_rng(list(seed)))
        return x, torch.from_numpy(self.data.train.y[rows])

    def train_mode(self) -> None:
        """Switch to training: batch normalisation by the batch at hand, except for frozen layers."""
        from core.elastic.batch_norm import set_mode

        set_mode(self.module, True, by_batch=True)

    def evaluation_mode(self) -> None:
        """Switch to evaluation, with batch-normalisation statistics estimated for the present weights."""
        from core.elastic.batch_norm import set_mode

        set_mode(self.module, False, by_batch=False)
        _estimate_statistics(self.module, self.data, self.run)

    def evaluate(self, part: str) -> Evaluation:
        """Return the metric and loss on a part of the data."""
        return _evaluate(self.run, self.module, self.data, part)

    def is_better(self, one: Evaluation, other: Evaluation) -> bool:
        """Whether `one` is better than `other` on the same rows: by the metric, and where equal by the loss."""
        if one.value == other.value:
            return one.loss < other.loss
        return (one.value > other.value) == self.run.task.metric.higher_is_better

    def finish(self, state: Mapping[str, Any], made: Mapping[str, Any], *, keep: bool) -> dict[str, Any]:
        """Evaluate a state and return the point's row.

        Parameters
        ----------
        state
            State dict of the small model.
        made
            Columns on how the point was made: method, epochs, seconds, ...
        keep
            Whether to store the point with the run.

        Raises
        ------
        RunError
            Where it can't be stored.
        """
        from core.runs.polished import write
        from core.sweep.evaluator import Evaluator
        from core.sweep.tables import metrics_table

        self.module.load_state_dict(state, strict=True)
        self.module.eval()
        after = {part: self.evaluate(part) for part in PARTS}
        arrays = {name: np.array(value.detach().cpu()) for name, value in self.module.state_dict().items()}
        full, task = self.run.weights(), self.run.task
        evaluator = Evaluator(self.family, self.run.scale(), full, [self.width], plain=True, classes=task.classes)
        table = metrics_table(self.run, self.data, {part: e.scores for part, e in after.items()}, evaluator)
        row: dict[str, Any] = {str(key): value for key, value in table.to_dict("records")[0].items()}
        row = {key: value.tolist() if hasattr(value, "tolist") else value for key, value in row.items()}
        for part, prefix in zip(PARTS, ("validation_", ""), strict=True):
            row[f"{prefix}unpolished"] = self.before[part].value
            row[f"{prefix}gain"] = after[part].value - self.before[part].value
        row |= dict(made)
        row |= {"machine": platform.machine(), "created": datetime.now(UTC).isoformat(timespec="seconds")}
        row |= {"run_sha256": self.run.record.weights_sha256, "sha256": fingerprint(arrays)}
        if keep:
            write(self.run.path, self.run.record, self.width, row, arrays, after["test"].scores.predictions[..., 0])
        return row


def open_subnet(run: Run, width: int, data: Dataset | tuple[Any, Any] | None, family: Family | None) -> SubnetRun:
    """Build the model at `width` with the run's data, and evaluate it.

    Parameters
    ----------
    run
        The run.
    width
        Width of the sweep.
    data, family
        As in `sweep`: needed only where they can't be rebuilt from the run.

    Raises
    ------
    UserError
        For a width out of range, or data that are not the run's.
    """
    from core.elastic.subnet import load

    widths = run.widths_at(width)
    family = family_of(run, family)
    dataset = data_of(run, data)
    if dataset.fingerprint != run.record.data.get("fingerprint"):
        raise UserError(f"the training part is not what run {run.id} was trained on; give the data it was trained on")
    module = load(family, run.scale(widths), run.weights(), widths)
    _estimate_statistics(module, dataset, run)
    return SubnetRun(
        run, family, dataset, width, module, {part: _evaluate(run, module, dataset, part) for part in PARTS}
    )


def copied_state(module: nn.Module) -> dict[str, Any]:
    """Return a state dict that later training leaves unchanged."""
    return {name: value.clone() for name, value in module.state_dict().items()}


def _estimate_statistics(module: nn.Module, data: Dataset, run: Run) -> None:
    """Estimate batch-normalisation statistics on training examples, as the sweep does, where the model has any."""
    from core.data.dataset import batches
    from core.elastic.batch_norm import buffers, estimate

    if buffers(module):
        momenta = [(part, vars(part)["momentum"]) for part in module.modules() if "momentum" in vars(part)]
        estimate(module, batches(data, run.record.training.get("seed", 0)))
        for part, momentum in momenta:
            part.momentum = momentum


def _evaluate(run: Run, module: nn.Module, data: Dataset, name: str) -> Evaluation:
    import torch

    from core.sweep.evaluator import Scores
    from core.tasks.losses import loss_function

    part, task = data.part(name), run.task
    loss_of = loss_function(run.record.task, torch.from_numpy(data.target_statistics()[1]))
    outputs, loss = [], 0.0
    with torch.inference_mode():
        for first in range(0, part.n, ROWS):
            rows = slice(first, first + ROWS)
            output = module(torch.from_numpy(np.array(part.x[rows])).float())
            loss += float(loss_of(output, torch.from_numpy(np.array(part.y[rows])))) * len(output)
            outputs.append((output.argmax(-1) if task.classes else output).numpy())
    predictions = np.concatenate(outputs)[..., None]
    value = task.metric.measure(task.score(predictions, part.y)[:, 0], task.variance(part.y))[0]
    return Evaluation(value, loss / part.n, Scores(predictions, np.array([loss]), part.n))
