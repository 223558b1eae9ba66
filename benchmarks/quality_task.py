"""What every contender of `quality.py` is trained on: data, model, widths, and the budget of one dense training."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import dedicated
import numpy as np

from core import data as data_sets
from core import models
from core.data.dataset import Split
from core.elastic.discovery.chain import find_chain
from core.elastic.size_grid import path_range, path_widths
from core.sweep.budget import log_spaced

if TYPE_CHECKING:
    from torch import nn

    from core.data import Dataset
    from core.elastic.family import Family

T = TypeVar("T")
SHARES = 16  # a convolutional net or a transformer is judged at 1/16, 1/8, ... of its width
QUICK_ROWS = {"train": 4_000, "validation": 1_000, "test": 1_000}
TRIAL_SECONDS, MOST_TRIALS = 4.0, 9  # for which what a training costs is tried, and how often at most
MOST_EPOCHS = 20  # times a dense training's, however cheap a contender's epoch may be


@dataclass(frozen=True, kw_only=True)
class Task:
    """A name's data, model and budget."""

    data: str
    model: str
    settings: Mapping[str, Any]
    epochs: int  # of one dense training, which is the unit of time
    rates: tuple[float, ...] = dedicated.RATES  # learning rates that validation chooses from
    every_halving: bool = True  # widths 1, 2, 4, ... full; else the shares of `SHARES`
    between: tuple[int, ...] = ()  # widths that are judged besides, in a column of their own


TASKS = {
    "fashion-mlp": Task(
        data="fashion-mnist", model="mlp", settings={"hidden": 256, "layers": 2}, epochs=10,
        between=(3, 7, 15, 31, 63, 127),
    ),
    "mnist-mlp": Task(
        data="mnist", model="mlp", settings={"hidden": 256, "layers": 2}, epochs=10, between=(3, 7, 15, 31, 63, 127),
    ),
    "digits-mlp": Task(
        data="digits", model="mlp", settings={"hidden": 128, "layers": 2}, epochs=60, between=(3, 7, 15, 31, 63),
    ),
    "fashion-conv": Task(
        data="fashion-mnist", model="convnet", settings={"channels": 16}, epochs=6,
        rates=(3e-3, 1e-2, 3e-2), every_halving=False,
    ),
    "fashion-vit": Task(  # sixteen heads, so that a sixteenth is a model
        data="fashion-mnist", model="vit", settings={"hidden": 128, "heads": 16, "head_dim": 4}, epochs=10,
        rates=(1e-3, 3e-3, 1e-2), every_halving=False,
    ),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Bench:
    """A task made ready: what a contender's `run` is given."""

    task: Task
    data: Dataset
    quick: bool = False
    lr: float = 1e-2  # that validation chose for the dense training
    dense_seconds: float = 1.0  # CPU seconds of one dense training in this very invocation
    asked_epochs: int | None = None  # in place of as many as fit into a budget

    @property
    def epochs(self) -> int:
        """Of one dense training."""
        return max(1, self.task.epochs // 10) if self.quick else self.task.epochs

    @property
    def rates(self) -> tuple[float, ...]:
        """Learning rates that validation chooses from; a quick trial takes one as it is."""
        return (1e-2,) if self.quick else self.task.rates

    def family(self, each_layer: bool = False) -> Family:
        """The family; with a width for each layer where the model has such and a recipe wants it."""
        own = {"each_layer": True} if each_layer and self.task.model == "mlp" else {}
        return models.family_for(self.data, self.task.model, **self.task.settings, **own)

    @cached_property
    def plain(self) -> Family:
        """The family of one width."""
        return self.family()

    @cached_property
    def is_chain(self) -> bool:
        """Whether the model is a fully-connected chain, which recipes treat in their own way."""
        return find_chain(self.plain.sibling(), self.plain.layout) is not None

    @property
    def judged(self) -> list[int]:
        """All widths that a contender which has them is judged at, ascending."""
        return sorted({*self.widths, *self.task.between})

    @property
    def widths(self) -> list[int]:
        """Where everyone is judged, ascending."""
        low, full = path_range(self.plain.layout)
        return log_spaced(low if self.task.every_halving else max(low, full // SHARES), full)

    def build(self, width: int, seed: int) -> nn.Module:
        """A fresh plain model of one width."""
        import torch

        torch.manual_seed(seed)
        return self.plain.build(**path_widths(self.plain.layout, width))

    def train(self, width: int, seed: int, lr: float) -> tuple[nn.Module, float]:
        """A plain model, trained, and its CPU seconds."""
        module = self.build(width, seed)
        return timed(lambda: dedicated.fit(module, self.data, dedicated.plain_recipe(self.epochs, lr), seed))

    def dense(self, seed: int) -> tuple[nn.Module, float]:
        """A plain model of full width, trained with the learning rate that validation chose for it."""
        return self.train(self.widths[-1], seed, self.lr)

    def dense_again(self, seed: int) -> float:
        """CPU seconds of a dense training just now; of a very short one, the median of several."""
        return _median(lambda: self.dense(seed)[1], least=0)

    def epochs_in(self, budget: float, cost: Callable[[int], float]) -> int:
        """How many epochs fit into `budget` dense trainings, if `cost` tells the CPU seconds of so many."""
        if self.asked_epochs is not None:
            return self.asked_epochs
        few = max(1, self.epochs // 10)
        # some times as many, since what a training costs besides differs by as much as an epoch; of a chain both are
        # so long that as large a share of either as of the whole training has several starts
        short, long = (5 * few, 10 * few) if self.is_chain else (few, 5 * few)
        once, more = (_median(lambda n=epochs: cost(n)) for epochs in (short, long))
        least = self.dense_seconds / self.epochs / MOST_EPOCHS
        an_epoch = max((more - once) / (long - short), least)
        fixed = max(0.0, once - short * an_epoch)
        return max(1, int((budget * self.dense_seconds - fixed) / an_epoch))


def _median(cost: Callable[[], float], least: int = 1) -> float:
    """Of trials, more of short ones and `least` more than one: a machine's pace changes from second to second."""
    first = cost()
    more = max(least, min(MOST_TRIALS, int(TRIAL_SECONDS / max(first, 1e-3))) - 1)
    return statistics.median([first, *(cost() for _ in range(more))])


def load(name: str, data_dir: str | None = None, *, quick: bool = False, **known: Any) -> Bench:
    """A task's bench. Raises UserError where its data can't be had."""
    data = data_sets.load(TASKS[name].data, data_dir=data_dir)
    if quick:
        parts = {part: _first(data.part(part), rows) for part, rows in QUICK_ROWS.items()}
        data = dataclasses.replace(data, **parts)
    return Bench(task=TASKS[name], data=data, quick=quick, **known)


def _first(part: Split, rows: int) -> Split:
    return Split(x=np.ascontiguousarray(part.x[:rows]), y=part.y[:rows])


def timed(function: Callable[[], T]) -> tuple[T, float]:
    """What a function gives, and the CPU seconds of this process that it took: other work on the machine counts not."""
    before = time.process_time()
    found = function()
    return found, time.process_time() - before
