"""Training and evaluation of the contenders of `quality.py`.

Settings are chosen once, on validation rows: a `Run` is given the settings that an earlier seed chose, or None for the
first seed, which chooses.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import dedicated
import numpy as np
from quality_task import Bench, timed

from core.elastic.recipes.base import Recipe, decided


@dataclass
class Outcome:
    """Result of one contender and one seed; other seeds take over `chosen`."""

    test: dict[int, float] = field(default_factory=dict)  # width -> accuracy
    validation: dict[int, float] = field(default_factory=dict)
    seconds: float = 0.0  # CPU seconds of the trainings that a user would do
    tuning_seconds: float = 0.0  # CPU seconds of trainings that only chose settings
    chosen: dict[str, Any] = field(default_factory=dict)
    batch: int = 0  # rows

    @property
    def score(self) -> float:
        """Return the mean validation accuracy over the widths, by which settings are chosen."""
        return float(np.mean(list(self.validation.values())))


Run = Callable[[Bench, int, dict[str, Any] | None], Outcome]
Train = Callable[[Bench, Recipe, int], Outcome]


def run_dedicated(bench: Bench, seed: int, chosen: dict[str, Any] | None) -> Outcome:
    """Train a plain model for each width, the learning rate of each chosen on validation."""
    found = Outcome(chosen=chosen or {"lr": {}}, batch=batch_of(bench, dedicated.plain_recipe(1, 1e-3)))
    for width in bench.judged:
        rates = bench.rates if chosen is None else (chosen["lr"][str(width)],)
        best = -1.0
        for lr in rates:
            module, spent = bench.train(width, seed, lr)
            validation = dedicated.accuracy(module, bench.data.validation)
            found.tuning_seconds += spent if len(rates) > 1 else 0.0
            if validation > best:
                best, found.validation[width], mine = validation, validation, spent
                found.test[width] = dedicated.accuracy(module, bench.data.test)
                found.chosen["lr"][str(width)] = lr
        found.seconds += mine if width in bench.widths else 0.0
    found.chosen["epochs"] = bench.epochs
    return found


def once(
    recipe: Callable[[Bench], Recipe],
    grid: Callable[[Bench], Mapping[str, Sequence[Any]]] = lambda bench: {},
    budget: float | None = 1.0,
    train: Train | None = None,
    trial: Train | None = None,
) -> Run:
    """Train once for all widths, with as many epochs as fit into `budget`; settings of `grid` are tuned in turn.

    `trial` is the part of `train` that the budget covers, if not all of it.
    """
    train_one = train or through_core

    def run(bench: Bench, seed: int, chosen: dict[str, Any] | None) -> Outcome:
        base, spent = recipe(bench), 0.0
        if chosen is not None:
            return replace(train_one(bench, replace(base, **chosen), seed), chosen=chosen)
        part = trial or train_one
        part(bench, replace(base, epochs=1), seed)  # one-time loading and preparation is not part of an epoch
        chosen = {"epochs": base.epochs}
        if budget is not None:
            chosen["epochs"] = bench.epochs_in(
                budget, lambda epochs: part(bench, replace(base, epochs=epochs), seed).seconds
            )
        known: dict[str, Outcome] = {}
        for setting, values in grid(bench).items():
            best = -math.inf
            for value in values:
                tried = {**chosen, setting: value}
                if repr(sorted(tried.items())) not in known:
                    outcome = _tried(train_one, bench, replace(base, **tried), seed)
                    known[repr(sorted(tried.items()))] = outcome
                    spent += outcome.seconds
                outcome = known[repr(sorted(tried.items()))]
                if outcome.score > best:
                    best, winner = outcome.score, value
            chosen[setting] = winner
        final = known.get(repr(sorted(chosen.items()))) or train_one(bench, replace(base, **chosen), seed)
        return replace(final, chosen=chosen, tuning_seconds=spent if len(known) > 1 else 0.0)

    return run


def _tried(train: Train, bench: Bench, recipe: Recipe, seed: int) -> Outcome:
    """Return the result of one candidate; a diverged one scores worst."""
    from core.train.loop import Diverged

    try:
        return train(bench, recipe, seed)
    except Diverged:
        return Outcome(validation=dict.fromkeys(bench.judged, -math.inf))


def through_core(bench: Bench, recipe: Recipe, seed: int, polish_epochs: int = 0) -> Outcome:
    """Train by `core.train` and judge the widths by `core.sweep`, each polished if `polish_epochs` is not 0."""
    from core import sweep, train
    from core.finetune.polish import polish

    family = bench.family(each_layer=recipe.independent)
    with tempfile.TemporaryDirectory() as folder:
        run, seconds = timed(
            lambda: train(
                family, bench.data, out=Path(folder) / "run", recipe=recipe, seed=seed, device="cpu", progress=False
            )
        )
        table = sweep(run, bench.data, widths=bench.judged, latency=False, progress=False).set_index("width")
        rows = {width: table.loc[width] for width in bench.judged}
        if polish_epochs:
            rows, more = timed(
                lambda: {
                    width: polish(run, width, polish_epochs, data=bench.data, keep=False, progress=False)
                    for width in bench.widths
                }
            )
            seconds += more
    return Outcome(
        test={width: float(row["accuracy"]) for width, row in rows.items()},
        validation={width: float(row["validation_accuracy"]) for width, row in rows.items()},
        seconds=seconds,
        batch=batch_of(bench, recipe),
    )


def triangular(bench: Bench, recipe: Recipe, seed: int) -> Outcome:
    """Train once under a triangle of masks; the widths are leading slices."""
    from peers.triangular import Triangular

    from core.elastic.scale import Scale
    from core.elastic.size_grid import path_widths
    from core.elastic.subnet import load

    full, family = bench.widths[-1], bench.plain
    stack: Any = bench.build(full, seed)
    _, seconds = timed(lambda: dedicated.fit(Triangular(stack, full), bench.data, recipe, seed))
    slices = {w: load(family, Scale(), stack.state_dict(), path_widths(family.layout, w)) for w in bench.judged}
    return _judged(bench, slices, Outcome(seconds=seconds, batch=batch_of(bench, recipe)))


def modelopt(bench: Bench, recipe: Recipe, seed: int) -> Outcome:
    """Train by AutoNAS of the package `modelopt`."""
    from peers import modelopt as autonas

    module, seconds = autonas.train(bench, recipe, seed)
    validation, test = autonas.judged(bench, module)
    return Outcome(test, validation, seconds, batch=batch_of(bench, recipe))


def cut_after(cutter: str, budget: float) -> Run:
    """Train a dense model and cut it to every width; fine-tuning splits the rest of `budget` equally."""

    def run(bench: Bench, seed: int, chosen: dict[str, Any] | None) -> Outcome:
        from peers import pruning

        dense, seconds = bench.dense(seed)
        cut = getattr(pruning, cutter)(bench, dense, seed)
        found = Outcome(seconds=seconds, batch=batch_of(bench, dedicated.plain_recipe(1, 1e-3)))
        if budget <= 1:
            found.chosen = {"epochs": bench.epochs, "lr": bench.lr}
            return _judged(bench, cut, found)
        first = chosen is None
        if chosen is None:
            steps = pruning.steps_in(bench, cut, (budget - 1) * bench.dense_seconds)
            chosen = {"epochs": bench.epochs, "steps": {str(width): n for width, n in steps.items()}}
        steps = {int(width): n for width, n in chosen["steps"].items()}
        best: Outcome | None = None
        for lr in bench.rates if first else (chosen["lr"],):
            tuned, spent = pruning.finetune(bench, cut, steps, lr, seed)
            outcome = _judged(bench, tuned, replace(found, seconds=seconds + spent, chosen={**chosen, "lr": lr}))
            found.tuning_seconds += spent if first and len(bench.rates) > 1 else 0.0
            best = outcome if best is None or outcome.score > best.score else best
        assert best is not None
        return replace(best, tuning_seconds=found.tuning_seconds)

    return run


def _judged(bench: Bench, modules: Mapping[int, Any], found: Outcome) -> Outcome:
    return replace(
        found,
        validation={w: dedicated.accuracy(module, bench.data.validation) for w, module in modules.items()},
        test={w: dedicated.accuracy(module, bench.data.test) for w, module in modules.items()},
    )


def batch_of(bench: Bench, recipe: Recipe) -> int:
    return decided(recipe.for_rows(bench.data.train.n, chain=bench.is_chain, layout=bench.plain.layout).batch_size)
