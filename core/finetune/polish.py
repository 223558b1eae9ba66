"""Polish: train one width of a run for a few more epochs by itself.

The result is a plain state of the small model with everything folded in. It is stored beside the run as a point of its
own (`core.runs.polished`) and shown as one, since it costs an extra training.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.elastic.recipes.registry import RECIPES
from core.errors import UserError
from core.finetune.subnet_run import SubnetRun, copied_state, open_subnet
from core.runs.run import Run
from core.tasks.losses import loss_function
from core.train.checks import checked_seed
from core.train.loop import Diverged
from core.utils.signals import Interrupted, stop_requests

if TYPE_CHECKING:
    import torch
    from torch import nn

    from core.data.dataset import Dataset
    from core.elastic.family import Family
    from core.elastic.fast_mlp.whitening import WhitenedLayer

# fractions of the training's peak rate and batch, best on Fashion-MNIST's validation part at widths 16, 64, 256 of 256
RATE, BATCH = 1 / 2, 1 / 2
LEAST_ROWS = 16  # of a batch, unless the run's own is smaller
MOST_EPOCHS = 1000
WARM_UP = 0.05  # share of the steps over which the rate rises


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of a polish, checked and complete."""

    epochs: int
    lr: float  # peak learning rate
    batch_size: int
    weight_decay: float
    smoothing: float  # of the labels, where classes are predicted


def polish(
    run: Run | Path | str,
    width: int,
    epochs: int = 3,
    *,
    lr: float | None = None,
    batch_size: int | None = None,
    weight_decay: float = 0.05,
    smoothing: float = 0.0,
    seed: int = 0,
    data: Dataset | tuple[Any, Any] | None = None,
    family: Family | None = None,
    keep: bool = True,
    progress: bool = True,
) -> dict[str, Any]:
    """Train the slice at `width` for a few epochs by itself, and keep the best epoch by validation with the run.

    Where no epoch is better on validation rows than the slice, the slice itself is kept: `best_epoch` is 0.

    Parameters
    ----------
    run
        A run, or its folder. Its own files stay as they are.
    width
        Width of the sweep.
    epochs, lr, batch_size, weight_decay, smoothing
        Training settings; peak learning rate and batch size default to half of the run's own.
    seed
        Seed of the order of examples.
    data, family
        As in `sweep`: needed only where they can't be rebuilt from the run.
    keep
        Whether to store the point with the run, in place of an earlier one of that width.
    progress
        Whether to show a progress bar.

    Returns
    -------
    dict
        The point's row, as in `Run.polished`.

    Raises
    ------
    UserError
        For settings out of range, or data that are not the run's.
    Diverged
        Where the loss or a weight is no longer finite.
    RunError
        Where the run can't be read or written.
    Interrupted
        After Ctrl-C; nothing is stored then.
    """
    run = run if isinstance(run, Run) else Run(Path(run))
    settings = _checked(run, epochs, lr, batch_size, weight_decay, smoothing)
    checked_seed(seed)
    with stop_requests() as stopped:
        subnet = open_subnet(run, width, data, family)
        started = time.monotonic()
        state, epoch = _best_epoch(subnet, settings, seed, progress=progress, stopped=stopped)
        made = {"method": "polish", "epochs": epochs, "best_epoch": epoch, "seed": seed}
        made |= {"seconds": round(time.monotonic() - started, 2), "learning_rate": settings.lr}
        return subnet.finish(state, made, keep=keep)


def _checked(
    run: Run, epochs: int, lr: float | None, batch_size: int | None, weight_decay: float, smoothing: float
) -> Settings:
    """Return complete settings, with defaults from the run's recipe. Raises UserError for one out of range."""
    recipe = run.record.recipe
    if isinstance(epochs, bool) or not isinstance(epochs, int) or not 1 <= epochs <= MOST_EPOCHS:
        raise UserError(f"epochs is {epochs!r}; choose a whole number from 1 to {MOST_EPOCHS}")
    rate = RATE * recipe.get("lr", 3e-3) if lr is None else lr
    batch = recipe.get("batch_size") if batch_size is None else batch_size
    if batch_size is None and isinstance(batch, int):
        batch = max(min(batch, LEAST_ROWS), round(BATCH * batch))
    if not 0 < rate < math.inf:
        raise UserError(f"the learning rate is {rate!r}; choose a number above 0, such as 0.001")
    if isinstance(batch, bool) or not isinstance(batch, int) or batch < 1:
        raise UserError(f"the batch size is {batch!r}; choose a whole number of at least 1, such as 100")
    if not 0 <= weight_decay < math.inf:
        raise UserError(f"the weight decay is {weight_decay!r}; choose 0 or more, such as 0.05")
    if not 0 <= smoothing < 1:
        raise UserError(f"the smoothing is {smoothing!r}; choose a number from 0 to below 1, such as 0.1")
    return Settings(epochs=epochs, lr=float(rate), batch_size=batch, weight_decay=weight_decay, smoothing=smoothing)


def _best_epoch(
    subnet: SubnetRun, settings: Settings, seed: int, *, progress: bool, stopped: Callable[[], bool]
) -> tuple[dict[str, Any], int]:
    """Return the state after the best epoch by validation, and that epoch's number; 0 is before the first."""
    import torch
    from tqdm import tqdm

    module, train = subnet.module, subnet.data.train
    batch = min(train.n, settings.batch_size)
    steps = train.n // batch
    best, best_state, best_epoch = subnet.before["validation"], copied_state(module), 0
    loss_of = _loss(subnet, settings)
    total = settings.epochs * steps
    title = f"polishing width {subnet.width}"
    with (
        torch.random.fork_rng(devices=[]),
        tqdm(total=total, disable=not progress, unit="step", desc=title, dynamic_ncols=True) as bar,
    ):
        torch.manual_seed(seed)
        whitened = _whitened(subnet, seed)
        optimizer = _optimizer(module, settings)
        for epoch in range(settings.epochs):
            order = np.random.default_rng([seed, 7, epoch]).permutation(train.n)
            subnet.train_mode()
            for index in range(steps):
                if stopped():
                    raise Interrupted("stopped; the run is as it was: the same command polishes from the start")
                step = epoch * steps + index
                for group in optimizer.param_groups:
                    group["lr"] = _learning_rate(settings, step, total)
                x, y = subnet.batch(order[index * batch : (index + 1) * batch], [seed, 8, step])
                loss = _step(module, optimizer, x, y, loss_of)
                if not math.isfinite(loss):
                    raise _diverged(f"the loss is {loss}", epoch, settings)
                bar.update()
            if not all(bool(torch.isfinite(p).all()) for p in module.parameters()):
                raise _diverged("the weights are no longer finite", epoch, settings)
            subnet.evaluation_mode()
            evaluation = subnet.evaluate("validation")
            bar.set_postfix_str(f"validation {subnet.run.task.metric.format(evaluation.value)}", refresh=False)
            if subnet.is_better(evaluation, best):
                best, best_state, best_epoch = evaluation, copied_state(module), epoch + 1
    if whitened is not None:
        best_state = whitened.end(best_state, fold=best_epoch > 0)
    return best_state, best_epoch


def _whitened(subnet: SubnetRun, seed: int) -> WhitenedLayer | None:
    """Whiten the first layer's inputs where the run's recipe did: few epochs on plain inputs gain less."""
    import torch

    from core.elastic.discovery.chain import find_chain
    from core.elastic.fast_mlp.elastic_mlp import WHITENING_ROWS
    from core.elastic.fast_mlp.whitening import WhitenedLayer

    recipe = RECIPES.get(str(subnet.run.record.recipe.get("name")))
    chain = find_chain(subnet.module, subnet.family.layout) if recipe is not None and recipe.whitens else None
    if chain is None or chain.learns_before:
        return None
    rows = np.random.default_rng([seed, 9]).permutation(subnet.data.train.n)[:WHITENING_ROWS]
    with torch.no_grad():
        entered = chain.enter(subnet.batch(rows, [seed, 10])[0], subnet.module.state_dict())
        return WhitenedLayer(subnet.module, chain.links[0], entered.flatten(0, -2))


def _optimizer(module: nn.Module, settings: Settings) -> torch.optim.Optimizer:
    """AdamW with weight decay on matrices alone."""
    import torch

    from core.train.optimizer import decay_groups

    trained = (p for p in module.parameters() if p.requires_grad)
    return torch.optim.AdamW(decay_groups(trained, settings.weight_decay), lr=settings.lr, fused=True)


def _loss(subnet: SubnetRun, settings: Settings) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    from torch.nn import functional as F

    if subnet.run.task.classes and settings.smoothing:
        return lambda output, target: F.cross_entropy(output, target, label_smoothing=settings.smoothing)
    return loss_function(subnet.run.record.task, subnet.deviation)


def _step(
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    x: torch.Tensor,
    y: torch.Tensor,
    loss_of: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
) -> float:
    """Update the weights by one batch and return its loss."""
    import torch

    optimizer.zero_grad(set_to_none=True)
    loss = loss_of(module(x), y)
    penalty = vars(module).get("penalty")  # a term of the loss that the model itself adds
    if isinstance(penalty, torch.Tensor):
        loss = loss + penalty
    loss.backward()
    optimizer.step()
    return float(loss.detach())


def _learning_rate(settings: Settings, step: int, total: int) -> float:
    """Return the rate of a step: linear warm-up, times a cosine to zero (Loshchilov & Hutter, 2017)."""
    warm_up = min(1.0, (step + 1) / max(1, round(WARM_UP * total)))
    return settings.lr * warm_up * 0.5 * (1 + math.cos(math.pi * step / max(1, total)))


def _diverged(what: str, epoch: int, settings: Settings) -> Diverged:
    return Diverged(
        f"{what} in epoch {epoch + 1} of the polish with learning rate {settings.lr:g}; the run is as it was: "
        f"try a smaller rate, such as --lr {settings.lr / 4:.2g}"
    )
