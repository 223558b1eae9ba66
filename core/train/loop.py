"""The steps of a training: batches, cutoffs, the optimiser and what is watched on the way."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from core.elastic.fast_mlp import restarts
from core.elastic.recipes.base import Cuts, Recipe, decided
from core.errors import UserError
from core.tasks.losses import Loss, learn, loss_function, probabilities, soft_targets
from core.tasks.registry import task as task_named
from core.utils.signals import Interrupted

if TYPE_CHECKING:
    import torch
    from torch import nn

    from core.data import Dataset
    from core.elastic.module import Elastic
    from core.train.checkpoint import Progress

CHECKPOINT_SECONDS = 10.0  # at most so much work is lost to a kill
FLOAT_BYTES, MOST_ENTERED, ENTERED_ROWS = 4, 2**29, 4096  # of inputs that are kept as the first layer takes them
WATCHED_ROWS, WATCHED_STEPS = 2000, 50  # validation rows behind the accuracies of the progress bar; steps between
CHECK_EVERY = {"cpu": 1, "cuda": 25}  # steps between looks at the loss; a look stalls a GPU


class Diverged(UserError):
    """A training whose loss or weights are no longer finite."""


@dataclass
class Training:
    """One training under way: `run` does all steps from `state` on, in place. Its recipe leaves nothing open."""

    model: Elastic
    optimizer: torch.optim.Optimizer
    data: Dataset
    recipe: Recipe
    seed: int
    state: Progress
    save: Callable[[], None]
    progress: bool = True

    def run(self, stopped: Callable[[], bool]) -> None:
        """Raises Diverged, and Interrupted once `stopped` says so; `save` has then seen the last good state."""
        import torch
        from tqdm import tqdm

        state, recipe, model = self.state, self.recipe, self.model
        where = next(model.parameters()).device
        n, batch = self.data.train.n, decided(recipe.batch_size)
        total = decided(recipe.epochs) * self.steps_an_epoch
        chosen_at = restarts.end(total)
        x, entered = self._inputs()
        y = torch.from_numpy(np.ascontiguousarray(self.data.train.y))
        if where.type == "cuda":  # whole on the GPU: picking a batch from the host would cost more than the step
            x, y = x.to(where), y.to(where)
        deviation = torch.from_numpy(self.data.target_statistics()[1]).to(where)
        loss_of = loss_function(self.data.task, deviation)
        soften = soft_targets(self.data.task)
        started, saved_at, seconds_before = time.monotonic(), time.monotonic(), state.seconds
        running = None if state.loss is None else torch.tensor(state.loss, device=where)
        # rows are copied to one place in every step, since memory that is new costs more than the copy
        place = torch.empty(batch, *x.shape[1:]) if entered and where.type == "cpu" else None
        with tqdm(
            total=total, initial=state.step, disable=not self.progress, unit="step", dynamic_ncols=True, desc="training"
        ) as bar:
            while state.step < total:
                epoch, first = divmod(state.step, self.steps_an_epoch)
                # drawn from seed and epoch alone, so that a resumed training needs no memory of earlier draws
                order = torch.from_numpy(np.random.default_rng([self.seed, 1, epoch]).permutation(n)).to(where)
                drawing = np.random.default_rng([self.seed, 2, epoch])
                wanted = y[order]
                widths, begun = model.layout.widths, epoch * self.steps_an_epoch
                draws = [recipe.draw(drawing, widths, begun + k) for k in range(self.steps_an_epoch)]
                model.train()
                for index in range(first, self.steps_an_epoch):
                    span = slice(index * batch, (index + 1) * batch)
                    rows = order[span]
                    if state.step == chosen_at:
                        restarts.choose(model, self.optimizer, x, y, loss_of, self.seed, entered=entered)
                    rate = learning_rate(recipe, state.step, total)
                    for group in self.optimizer.param_groups:
                        group["lr"] = rate * group.get("times", 1.0)
                    inputs = x[rows].float() if place is None else torch.index_select(x, 0, rows, out=place)
                    if self.data.augment is not None:  # drawn from seed and step alone, as all else
                        inputs = self.data.augment(inputs, np.random.default_rng([self.seed, 4, state.step]))
                    loss = train_step(
                        model, self.optimizer, inputs, wanted[span], draws[index], loss_of, soften, entered
                    )
                    running = loss if running is None else torch.lerp(running, loss, 0.05)
                    state.step += 1
                    state.seconds = seconds_before + time.monotonic() - started
                    bar.update()
                    asked, last = stopped(), index == self.steps_an_epoch - 1
                    due = asked or time.monotonic() - saved_at > CHECKPOINT_SECONDS
                    if last or due or state.step % CHECK_EVERY.get(where.type, 1) == 0:
                        state.loss = float(running)
                        self._check_loss()
                        if self.progress:
                            bar.set_postfix_str(f"loss {state.loss:.3f}{self._seen()}", refresh=False)
                    if last:  # before a checkpoint, which must hold all that an uninterrupted training would know
                        often = max(1, WATCHED_STEPS // self.steps_an_epoch)
                        seen = watch(model, self.data) if (epoch + 1) % often == 0 or state.step == total else {}
                        state.history.append({"epoch": epoch + 1, "loss": round(float(running), 6), **seen})
                    if due:
                        self.check_weights()
                        self.save()
                        saved_at = time.monotonic()
                    if asked:
                        done = f"stopped after {state.step} of {total} steps; nothing is lost"
                        raise Interrupted(f"{done}: the same command with --resume continues")
        self.check_weights()
        restarts.choose(model, self.optimizer, x, y, loss_of, self.seed, entered=entered)  # if it was too short

    def _inputs(self) -> tuple[torch.Tensor, bool]:
        """All training inputs, and whether they are as a chain's first layer takes them: that is computed once."""
        import torch

        x = torch.from_numpy(np.ascontiguousarray(self.data.train.x))
        chain = self.model.chain
        changes = chain is None or chain.learns_before or self.data.augment is not None
        if changes or x.numel() * FLOAT_BYTES > MOST_ENTERED:
            return x, False
        where, found = next(self.model.parameters()).device, None
        with torch.no_grad():
            for first in range(0, len(x), ENTERED_ROWS):
                part = self.model.enter(x[first : first + ENTERED_ROWS].float().to(where)).cpu()
                if found is None:
                    found = torch.empty(len(x), *part.shape[1:])
                found[first : first + len(part)] = part
        assert found is not None
        return found, True

    @property
    def steps_an_epoch(self) -> int:
        """Whole batches in the training part; the rows left over differ from epoch to epoch."""
        return self.data.train.n // decided(self.recipe.batch_size)

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

    def _seen(self) -> str:
        """The accuracies that were seen last, for the progress bar."""
        metric = task_named(self.data.task).metric
        last: dict[str, Any] = next((entry for entry in reversed(self.state.history) if len(entry) > 2), {})
        return "".join(f" · {key} {metric.format(last[key])}" for key in last if key not in ("epoch", "loss"))


def train_step(
    model: Elastic,
    optimizer: torch.optim.Optimizer,
    x: torch.Tensor,
    y: torch.Tensor,
    cuts: Cuts,
    loss_of: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    soften: Callable[[torch.Tensor], torch.Tensor] | None = None,
    entered: bool = False,
) -> torch.Tensor:
    """One step of the optimiser on a batch; returns the loss, detached.

    x: (batch, ...), of `Elastic.enter` where `entered`; y: (batch,) or (batch, outputs). `soften` makes a teacher's
    output a target (softmax by default).
    """
    import torch

    from core.elastic.module import Elastic

    for group in optimizer.param_groups:  # `zero_grad`, whose own account of each call a tiny step would feel
        for parameter in group["params"]:
            parameter.grad = None
    if cuts.teacher is not None:
        outputs = model(x, cuts, entered=entered)
        taught = (soften or probabilities)(outputs[cuts.teacher].detach())
        losses = [loss_of(o, y if k == cuts.teacher else taught) for k, o in enumerate(outputs)]
        loss = torch.stack(losses).mean()
        if (penalty := model.penalty) is not None:
            loss = loss + penalty
        loss.backward()
    else:
        # one that is wrapped, such as by DistributedDataParallel, may watch its weights' gradients
        by_hand = type(model) is Elastic and isinstance(loss_of, Loss) and loss_of.is_derived_for(y)
        found = model(x, cuts, entered=entered, joined=True, by_hand=by_hand)
        loss = learn(found, y, loss_of, cuts.smoothing, model.penalty)
    optimizer.step()
    return loss.detach()


def learning_rate(recipe: Recipe, step: int, total: int) -> float:
    """Linear warm-up, then a cosine to zero (Loshchilov & Hutter, 2017)."""
    warm = max(1, round(recipe.warmup * total))
    if step < warm:
        return decided(recipe.lr) * (step + 1) / warm
    return decided(recipe.lr) * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, total - warm)))


def make_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Adam with decoupled weight decay on matrices alone.

    Bands, which are narrow networks of their own, have a larger rate and no weight decay.
    """
    from core.elastic.module import Elastic
    from core.train.optimizer import Adam, groups

    table, bands, beside = (
        (model.table, list(model.bands), model.beside) if isinstance(model, Elastic) else (None, [], None)
    )
    apart = {id(p) for part in (*bands, beside) if part is not None for p in part.parameters()}
    shared = [p for p in model.parameters() if id(p) not in apart]
    found = groups(shared, decided(recipe.weight_decay), spared=table)
    if beside is not None:  # its rates are in its parameters
        found.append({"params": list(beside.parameters()), "weight_decay": 0.0})
    for band, rate in zip(bands, model.rates if isinstance(model, Elastic) else (), strict=False):
        found.append({"params": list(band.parameters()), "weight_decay": 0.0, "times": rate})
    return Adam(found, lr=decided(recipe.lr))


def watch(model: Elastic, data: Dataset) -> dict[str, float]:
    """The metric on validation rows at three widths, for the progress bar and the history."""
    import torch

    model.eval()
    where = next(model.parameters()).device
    x = torch.from_numpy(np.ascontiguousarray(data.validation.x[:WATCHED_ROWS])).float().to(where)
    y, task = data.validation.y[:WATCHED_ROWS], task_named(data.task)
    variance, found = task.variance(y), {}
    shares = (1, 4, 16)
    cutoffs = [{name: max(w.lower, w.full // share) for name, w in model.layout.widths.items()} for share in shares]
    with torch.no_grad():
        outputs = model(x, Cuts(tuple(cutoffs), whole_batch=True))
    for share, output in zip(shares, outputs, strict=True):
        scores = task.score((output.argmax(-1) if task.classes else output).cpu().numpy(), y)
        found["full" if share == 1 else f"1/{share}"] = round(task.metric.measure(scores, variance)[0], 6)
    return found
