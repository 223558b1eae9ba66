"""The loop of a training: epochs, batches, what is watched on the way, and checkpoints."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from core.elastic.recipes.base import Cuts, Recipe, decided
from core.errors import UserError
from core.tasks.losses import loss_function, soft_targets
from core.tasks.registry import task as task_named
from core.train.optimizer import learning_rate, set_rate
from core.train.step import train_step
from core.utils.signals import Interrupted

if TYPE_CHECKING:
    import torch

    from core.data import Dataset
    from core.elastic.module import Elastic
    from core.train.checkpoint import Progress

CHECKPOINT_SECONDS = 10.0  # at most so much work is lost to a kill
WATCHED_ROWS, WATCHED_STEPS = 2000, 50  # validation rows behind the accuracies of the progress bar; steps between
CHECK_EVERY = {"cpu": 1, "cuda": 25}  # steps between looks at the loss; a look stalls a GPU
LOSS_MEMORY = 0.05  # share of the newest step in the running mean of the loss


class Diverged(UserError):
    """A training whose loss or weights are no longer finite."""


@dataclass
class Training:
    """One training under way: `run` takes all steps from `state` on, in place. Its recipe leaves nothing open.

    Every draw comes from the seed and the number of the epoch or step alone, so a resumed training needs no memory of
    earlier draws.
    """

    model: Elastic
    optimizer: torch.optim.Optimizer
    inputs: torch.Tensor  # training inputs as `Elastic.prepare` returns them, (n, ...)
    data: Dataset
    recipe: Recipe
    seed: int
    state: Progress
    save: Callable[[], None]
    progress: bool = True

    def run(self, stopped: Callable[[], bool]) -> None:
        """Take all steps that are left.

        Raises Diverged, and Interrupted once `stopped()` is true; `save` has then been called on the last good state.
        """
        from tqdm import tqdm

        self._load()
        state, per_epoch = self.state, self.steps_an_epoch
        self._started, self._saved_at = time.monotonic() - state.seconds, time.monotonic()
        options: dict[str, Any] = {"disable": not self.progress, "unit": "step", "dynamic_ncols": True}
        with tqdm(total=self.steps, initial=state.step, desc="training", **options) as bar:
            while state.step < self.steps:
                epoch, first = divmod(state.step, per_epoch)
                batches, cuts = self._draw_epoch(epoch)
                self.model.train()
                for index in range(first, per_epoch):
                    self._reach_milestones()
                    self._step(batches[index], cuts[index])
                    bar.update()
                    self._after_step(bar, epoch, last=index == per_epoch - 1, stop=stopped())
        self.check_weights()
        self._reach_milestones()

    @property
    def steps_an_epoch(self) -> int:
        """Whole batches in the training part; the rows left over differ from epoch to epoch."""
        return self.data.train.n // decided(self.recipe.batch_size)

    @property
    def steps(self) -> int:
        """Steps of the whole training."""
        return decided(self.recipe.epochs) * self.steps_an_epoch

    def _load(self) -> None:
        """Bring the training part to the device whole: picking batches from the host would cost more than the step."""
        import torch

        where = self._where = next(self.model.parameters()).device
        self._x = self.inputs.to(where)
        self._y = torch.from_numpy(np.ascontiguousarray(self.data.train.y)).to(where)
        deviation = torch.from_numpy(self.data.target_statistics()[1]).to(where)
        self._loss, self._soften = loss_function(self.data.task, deviation), soft_targets(self.data.task)
        self._running = None if self.state.loss is None else torch.tensor(self.state.loss, device=where)

    def _draw_epoch(self, epoch: int) -> tuple[list[torch.Tensor], list[Cuts]]:
        """Rows and cutoffs of each step of an epoch."""
        import torch

        order = torch.from_numpy(np.random.default_rng([self.seed, 1, epoch]).permutation(self.data.train.n))
        batches = list(order.to(self._where).split(decided(self.recipe.batch_size)))[: self.steps_an_epoch]
        rng, begun, widths = (
            np.random.default_rng([self.seed, 2, epoch]),
            epoch * len(batches),
            self.model.layout.widths,
        )
        return batches, [self.recipe.draw(rng, widths, begun + k) for k in range(len(batches))]

    def _step(self, rows: torch.Tensor, cuts: Cuts) -> None:
        import torch

        set_rate(self.optimizer, learning_rate(self.recipe, self.state.step, self.steps))
        x = self._x[rows].float()
        if self.data.augment is not None:
            x = self.data.augment(x, np.random.default_rng([self.seed, 4, self.state.step]))
        loss = train_step(self.model, self.optimizer, x, self._y[rows], cuts, self._loss, self._soften)
        self._running = loss if self._running is None else torch.lerp(self._running, loss, LOSS_MEMORY)
        self.state.step += 1
        self.state.seconds = time.monotonic() - self._started

    def _reach_milestones(self) -> None:
        for milestone in self.model.milestones(self.steps):
            if milestone.step == self.state.step:
                milestone.act(self.optimizer, self._x, self._y, self._loss, np.random.default_rng([self.seed, 8]))

    def _after_step(self, bar: Any, epoch: int, *, last: bool, stop: bool) -> None:
        """Check the loss, watch the accuracy at the end of an epoch, save when it is due, and stop where asked to."""
        state = self.state
        due = stop or time.monotonic() - self._saved_at > CHECKPOINT_SECONDS
        if last or due or state.step % CHECK_EVERY.get(self._where.type, 1) == 0:
            state.loss = float(self._running) if self._running is not None else None
            self._check_loss()
            if self.progress:
                bar.set_postfix_str(f"loss {state.loss:.3f}{self._watched()}", refresh=False)
        if last:  # before a checkpoint, which must hold all that an uninterrupted training would have
            often = max(1, WATCHED_STEPS // self.steps_an_epoch)
            due_watch = (epoch + 1) % often == 0 or state.step == self.steps
            accuracies = watch(self.model, self.data) if due_watch else {}
            state.history.append({"epoch": epoch + 1, "loss": round(state.loss or 0.0, 6), **accuracies})
        if due:
            self.check_weights()
            self.save()
            self._saved_at = time.monotonic()
        if stop:
            done = f"stopped after {state.step} of {self.steps} steps; nothing is lost"
            raise Interrupted(f"{done}: the same command with --resume continues")

    def check_weights(self) -> None:
        """Raise Diverged where a finite loss has led to weights that are not."""
        import torch

        if not all(bool(torch.isfinite(p).all()) for p in self.model.parameters()):
            raise self._diverged("the weights are no longer finite")

    def _check_loss(self) -> None:
        if self.state.loss is not None and not math.isfinite(self.state.loss):
            raise self._diverged(f"the loss is {self.state.loss}")

    def _diverged(self, what: str) -> Diverged:
        epoch = (self.state.step - 1) // self.steps_an_epoch + 1
        smaller = f"a smaller rate, such as --lr {decided(self.recipe.lr) / 4:.2g}"
        return Diverged(
            f"{what} at step {self.state.step} (epoch {epoch}) with learning rate {self.recipe.lr:g}; the last good "
            f"checkpoint is kept: go on from it with --resume and {smaller}, or start again with --overwrite"
        )

    def _watched(self) -> str:
        """The newest watched figures, for the progress bar."""
        metric = task_named(self.data.task).metric
        last: dict[str, Any] = next((entry for entry in reversed(self.state.history) if len(entry) > 2), {})
        return "".join(f" · {key} {metric.format(last[key])}" for key in last if key not in ("epoch", "loss"))


def watch(model: Elastic, data: Dataset) -> dict[str, float]:
    """The metric on validation rows at full, a quarter and a sixteenth of the size, for progress bar and history."""
    import torch

    model.eval()
    where = next(model.parameters()).device
    x = torch.from_numpy(np.ascontiguousarray(data.validation.x[:WATCHED_ROWS])).float().to(where)
    y, task = data.validation.y[:WATCHED_ROWS], task_named(data.task)
    variance, figures = task.variance(y), {}
    shares = (1, 4, 16)
    cutoffs = [{name: w.at_least(w.full // share) for name, w in model.layout.widths.items()} for share in shares]
    with torch.no_grad():
        outputs = model(x, Cuts(tuple(cutoffs), whole_batch=True))
    for share, output in zip(shares, outputs, strict=True):
        scores = task.score((output.argmax(-1) if task.classes else output).cpu().numpy(), y)
        figures["full" if share == 1 else f"1/{share}"] = round(task.metric.measure(scores, variance)[0], 6)
    return figures
