"""Polish: a few more epochs on one width of a run, on request, once it is chosen. The run itself stays as it is.

What comes out is a plain state of the small model with everything folded in, kept beside the run as a point of its
own (`core.runs.polished`) and always shown as one: it cost a training more.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.elastic.family import Family
from core.errors import UserError
from core.finetune.subnet_run import Judged, Slice, slice_of
from core.runs.run import Run
from core.tasks.losses import loss_function
from core.train.checks import checked_seed
from core.train.loop import Diverged
from core.utils.signals import Interrupted, stop_requests

if TYPE_CHECKING:
    import torch
    from torch import nn

    from core.data import Dataset
    from core.elastic.fast_mlp.whitening import WhitenedLayer

# Of the training's peak rate and batch: best on validation rows of Fashion-MNIST at widths 16, 64 and 256 of 256.
RATE, BATCH = 1 / 2, 1 / 2
LEAST_ROWS = 16  # of a batch, unless the run's own is smaller
MOST_EPOCHS = 1000
WARM = 0.05  # part of the steps over which the rate rises


@dataclass(frozen=True, kw_only=True)
class Polish:
    """Settings of a polish; what is None comes from the run's own recipe."""

    epochs: int = 3
    lr: float | None = None  # peak learning rate; `RATE` times the run's
    batch_size: int | None = None  # `BATCH` times the run's
    weight_decay: float = 0.05
    smoothing: float = 0.0  # of the labels, where the model tells classes apart


def polish(
    run: Run | Path | str,
    width: int,
    epochs: int = 3,
    *,
    lr: float | None = None,
    batch_size: int | None = None,
    weight_decay: float = Polish.weight_decay,
    smoothing: float = Polish.smoothing,
    seed: int = 0,
    data: Dataset | tuple[Any, Any] | None = None,
    family: Family | None = None,
    keep: bool = True,
    progress: bool = True,
) -> dict[str, Any]:
    """Train the slice at `width` for a few epochs by itself, and keep the best epoch by validation with the run.

    Where no epoch is better on validation rows than the slice was, that is what is kept: `best_epoch` is 0.
    `data` and `family` are as in `sweep`: needed only where the run can't tell them. Returns the point's row, as
    `Run.polished` has it. A polished or refitted point of the same width is replaced; with `keep=False` nothing is
    written. Raises UserError for settings that can't be meant or other data, Diverged where the loss is no longer
    finite, RunError where the run can't be read or written, Interrupted after Ctrl-C; the run is then as it was.
    """
    run = run if isinstance(run, Run) else Run(Path(run))
    settings = _checked(
        Polish(epochs=epochs, lr=lr, batch_size=batch_size, weight_decay=weight_decay, smoothing=smoothing), run
    )
    checked_seed(seed)
    with stop_requests() as stopped:
        begun = slice_of(run, width, data, family)
        started = time.monotonic()
        state, epoch = _best_epoch(begun, settings, seed, progress=progress, stopped=stopped)
        seconds = time.monotonic() - started
        told = {"method": "polish", "epochs": epochs, "best_epoch": epoch, "seed": seed, "seconds": round(seconds, 2)}
        told |= {"learning_rate": settings.lr}
        return begun.finish(state, told, keep=keep)


def _checked(asked: Polish, run: Run) -> Polish:
    """The settings with what comes from the run filled in. Raises UserError, which names the mend."""
    recipe = run.record.recipe
    if isinstance(asked.epochs, bool) or not isinstance(asked.epochs, int) or not 1 <= asked.epochs <= MOST_EPOCHS:
        raise UserError(f"epochs is {asked.epochs!r}; choose a whole number from 1 to {MOST_EPOCHS}")
    lr = RATE * recipe.get("lr", 3e-3) if asked.lr is None else asked.lr
    batch = recipe.get("batch_size") if asked.batch_size is None else asked.batch_size
    if asked.batch_size is None and isinstance(batch, int):
        batch = max(min(batch, LEAST_ROWS), round(BATCH * batch))
    if not 0 < lr < math.inf:
        raise UserError(f"the learning rate is {lr!r}; choose a number above 0, such as 0.001")
    if isinstance(batch, bool) or not isinstance(batch, int) or batch < 1:
        raise UserError(f"the batch size is {batch!r}; choose a whole number of at least 1, such as 100")
    if not 0 <= asked.weight_decay < math.inf:
        raise UserError(f"the weight decay is {asked.weight_decay!r}; choose 0 or more, such as 0.05")
    if not 0 <= asked.smoothing < 1:
        raise UserError(f"the smoothing is {asked.smoothing!r}; choose a number from 0 to below 1, such as 0.1")
    return Polish(**{**asdict(asked), "lr": float(lr), "batch_size": batch})


def _best_epoch(
    begun: Slice, settings: Polish, seed: int, *, progress: bool, stopped: Callable[[], bool]
) -> tuple[dict[str, Any], int]:
    """The state after the epoch that is best on validation rows, and which that was; 0: as it was before the first."""
    import torch
    from tqdm import tqdm

    module, train = begun.module, begun.data.train
    assert settings.batch_size is not None
    batch = min(train.n, settings.batch_size)
    steps = train.n // batch
    best: tuple[Judged, dict[str, Any], int] = (begun.before["validation"], _copied(module), 0)
    loss_of = _loss(begun, settings)
    shown = f"polishing width {begun.width}"
    total = settings.epochs * steps
    with (
        torch.random.fork_rng(devices=[]),
        tqdm(total=total, disable=not progress, unit="step", desc=shown, dynamic_ncols=True) as bar,
    ):
        torch.manual_seed(seed)
        whitened = _whiten(begun, seed)
        optimizer = _optimizer(module, settings)
        for epoch in range(settings.epochs):
            order = np.random.default_rng([seed, 7, epoch]).permutation(train.n)
            begun.train_mode()
            for index in range(steps):
                if stopped():
                    raise Interrupted("stopped; the run is as it was: the same command polishes from the start")
                step = epoch * steps + index
                for group in optimizer.param_groups:
                    group["lr"] = _rate(settings, step, total)
                x, y = begun.batch(order[index * batch : (index + 1) * batch], [seed, 8, step])
                loss = _step(module, optimizer, x, y, loss_of)
                if not math.isfinite(loss):
                    raise _diverged(f"the loss is {loss}", epoch, settings)
                bar.update()
            if not all(bool(torch.isfinite(p).all()) for p in module.parameters()):
                raise _diverged("the weights are no longer finite", epoch, settings)
            begun.settle()
            found = begun.judge("validation")
            bar.set_postfix_str(f"validation {begun.run.task.metric.format(found.value)}", refresh=False)
            if begun.better(found, best[0]):
                best = (found, _copied(module), epoch + 1)
    if whitened is None:
        return best[1], best[2]
    return whitened.end(best[1], fold=best[2] > 0), best[2]


def _whiten(begun: Slice, seed: int) -> WhitenedLayer | None:
    """Let the slice learn from partly whitened inputs where the run did; a few epochs of plain ones bring less."""
    import torch

    from core.elastic.fast_mlp.chain import find_chain
    from core.elastic.fast_mlp.whitening import EXAMPLES, WhitenedLayer

    chain = find_chain(begun.module, begun.family.layout) if begun.run.record.recipe.get("whiten") else None
    if chain is None or chain.learns_before:
        return None
    rows = np.random.default_rng([seed, 9]).permutation(begun.data.train.n)[:EXAMPLES]
    with torch.no_grad():
        entered = chain.enter(begun.batch(rows, [seed, 10])[0], begun.module.state_dict())
        return WhitenedLayer(begun.module, chain.links[0], entered.flatten(0, -2))


def _copied(module: nn.Module) -> dict[str, Any]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def _optimizer(module: nn.Module, settings: Polish) -> torch.optim.Optimizer:
    """As in training."""
    from core.train.optimizer import Adam, groups

    free = (p for p in module.parameters() if p.requires_grad)
    return Adam(groups(free, settings.weight_decay), lr=settings.lr or 0.0)


def _loss(begun: Slice, settings: Polish) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    from torch.nn import functional as F

    if begun.run.task.classes and settings.smoothing:
        return lambda output, target: F.cross_entropy(output, target, label_smoothing=settings.smoothing)
    return loss_function(begun.run.record.task, begun.deviation)


def _step(
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    x: torch.Tensor,
    y: torch.Tensor,
    loss_of: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
) -> float:
    import torch

    optimizer.zero_grad(set_to_none=True)
    loss = loss_of(module(x), y)
    penalty = vars(module).get("penalty")  # a term of the loss that the model itself adds
    if isinstance(penalty, torch.Tensor):
        loss = loss + penalty
    loss.backward()
    optimizer.step()
    return float(loss.detach())


def _rate(settings: Polish, step: int, total: int) -> float:
    """A short rise, then a cosine to zero (Loshchilov & Hutter, 2017)."""
    assert settings.lr is not None
    rise = min(1.0, (step + 1) / max(1, round(WARM * total)))
    return settings.lr * rise * 0.5 * (1 + math.cos(math.pi * step / max(1, total)))


def _diverged(what: str, epoch: int, settings: Polish) -> Diverged:
    assert settings.lr is not None
    return Diverged(
        f"{what} in epoch {epoch + 1} of the polish with learning rate {settings.lr:g}; the run is as it was: "
        f"try a smaller rate, such as --lr {settings.lr / 4:.2g}"
    )
