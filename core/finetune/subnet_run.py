"""One width of a run as a plain module that trains on, with the run's data: what polish and refit have in common."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from core.elastic.family import Family
from core.errors import UserError
from core.models.rebuild import family_of
from core.runs.run import Run
from core.sweep.run_data import data_of
from core.utils.fingerprint import fingerprint

if TYPE_CHECKING:
    import torch
    from torch import nn

    from core.data import Dataset
    from core.sweep.evaluator import Scores

ROWS = 2000  # of a block in evaluation


@dataclass(frozen=True)
class Judged:
    """What a model does on one part of the data."""

    value: float  # the metric that sizes are chosen by, as stored
    loss: float
    scores: Scores


@dataclass
class Slice:
    """The small model at one width, its data, and how good it was before anything was changed."""

    run: Run
    family: Family
    data: Dataset
    width: int
    module: nn.Module
    before: dict[str, Judged]  # by part of the data

    @property
    def deviation(self) -> torch.Tensor:
        """Units in which errors of numbers are counted, (outputs,)."""
        import torch

        return torch.from_numpy(self.data.target_statistics()[1])

    def batch(self, rows: np.ndarray, drawing: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
        """Training examples, changed by chance where the data say so; `drawing` seeds that."""
        import torch

        x = torch.from_numpy(self.data.train.x[rows]).float()
        if self.data.augment is not None:
            x = self.data.augment(x, np.random.default_rng(list(drawing)))
        return x, torch.from_numpy(self.data.train.y[rows])

    def train_mode(self) -> None:
        """Normalise by the batch at hand, but for what is frozen."""
        from core.elastic.batch_norm import set_mode

        set_mode(self.module, True, by_batch=True)

    def settle(self) -> None:
        """Evaluation, with statistics of normalisation over batches of the model as it is now."""
        from core.elastic.batch_norm import set_mode

        set_mode(self.module, False, by_batch=False)
        _estimate(self.module, self.data, self.run)

    def judge(self, part: str) -> Judged:
        """The metric and loss on a part of the data."""
        return _judge(self.run, self.module, self.data, part)

    def better(self, found: Judged, other: Judged) -> bool:
        """Whether `found` is better on the same rows: by the metric, and where that is level by the loss."""
        if found.value == other.value:
            return found.loss < other.loss
        return (found.value > other.value) == self.run.task.metric.higher_is_better

    def finish(self, state: Mapping[str, Any], told: Mapping[str, Any], *, keep: bool) -> dict[str, Any]:
        """The point with these weights: its row, kept with the run where `keep`. Raises RunError."""
        from core.sweep.evaluator import Evaluator
        from core.sweep.tables import metrics_table

        self.module.load_state_dict(state, strict=True)
        self.module.eval()
        after = {part: self.judge(part) for part in ("validation", "test")}
        arrays = {name: np.array(value.detach().cpu()) for name, value in self.module.state_dict().items()}
        full, task = self.run.weights(), self.run.task
        evaluator = Evaluator(self.family, self.run.scale(), full, [self.width], plain=True, classes=task.classes)
        table = metrics_table(self.run, self.data, {part: j.scores for part, j in after.items()}, evaluator)
        row: dict[str, Any] = {str(key): value for key, value in table.to_dict("records")[0].items()}
        row = {key: value.tolist() if hasattr(value, "tolist") else value for key, value in row.items()}
        row |= {"unpolished": self.before["test"].value, "validation_unpolished": self.before["validation"].value}
        row |= {"gain": after["test"].value - self.before["test"].value}
        row |= {"validation_gain": after["validation"].value - self.before["validation"].value}
        row |= dict(told)
        row |= {"machine": platform.machine(), "created": datetime.now(UTC).isoformat(timespec="seconds")}
        row |= {"run_sha256": self.run.record.weights_sha256, "sha256": fingerprint(arrays)}
        if keep:
            from core.runs.polished import write

            write(self.run.path, self.run.record, self.width, row, arrays, after["test"].scores.predictions[..., 0])
        return row


def slice_of(run: Run, width: int, data: Dataset | tuple[Any, Any] | None, family: Family | None) -> Slice:
    """The model at `width` as the run has it. Raises UserError for a width out of range or other data."""
    from core.elastic.subnet import load

    widths = run.widths_at(width)
    family = family_of(run, family)
    given = data_of(run, data)
    if given.fingerprint != run.record.data.get("fingerprint"):
        raise UserError(f"the training part is not what run {run.id} was trained on; give the data it was trained on")
    module = load(family, run.scale(widths), run.weights(), widths)
    _estimate(module, given, run)
    before = {part: _judge(run, module, given, part) for part in ("validation", "test")}
    return Slice(run, family, given, width, module, before)


def _estimate(module: nn.Module, data: Dataset, run: Run) -> None:
    from core.data.dataset import batches
    from core.elastic.batch_norm import buffers, estimate

    if buffers(module):
        momenta = [(part, vars(part)["momentum"]) for part in module.modules() if "momentum" in vars(part)]
        estimate(module, batches(data, run.record.training.get("seed", 0)))
        for part, momentum in momenta:
            part.momentum = momentum


def _judge(run: Run, module: nn.Module, data: Dataset, name: str) -> Judged:
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
    return Judged(value, loss / part.n, Scores(predictions, np.array([loss]), part.n))
