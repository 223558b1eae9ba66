"""A training step of each recipe against a step of the plain network: python benchmarks/step.py

Both have the same batch, full-size weights and optimiser (`torch.optim.AdamW(fused=True)`), and take turns in one
process.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from dedicated import plain_optimizer
from measure import finish, in_fresh_process, in_turns, peak_memory

if TYPE_CHECKING:
    from core.elastic.recipes.base import Cuts

BLOCK = 12  # steps that are timed together
LARGE = 60_000  # examples to train on: of so many, the cutoffs of a stratified step share the batch
SHAPES = {  # name: inputs, hidden size, hidden layers, outputs, batch
    "784-256-256-10, batch 500": (784, 256, 2, 10, 500),
    "784-1024x4-10, batch 256": (784, 1024, 4, 10, 256),
    "64-128-128-10, batch 128": (64, 128, 2, 10, 128),
}


def measure(inputs: int, hidden: int, layers: int, outputs: int, batch: int, repeats: int, threads: int) -> dict:
    """Seconds of a dense step and of each recipe's, and the memory that each needs, in a process of its own."""
    times = in_fresh_process(_times, inputs, hidden, layers, outputs, batch, repeats, threads)
    memory = {
        name: in_fresh_process(_memory, name, inputs, hidden, layers, outputs, batch, threads)
        for name in ("dense", "stratified")
    }
    return {
        "step_ms": {name: round(1e3 * seconds, 3) for name, seconds in times.items()},
        "ratio": {name: round(seconds / times["dense"], 3) for name, seconds in times.items() if name != "dense"},
        "peak_mb": memory,
        "memory_ratio": round(memory["stratified"] / memory["dense"], 2),
    }


def _times(
    inputs: int, hidden: int, layers: int, outputs: int, batch: int, repeats: int, threads: int
) -> dict[str, float]:
    from core.elastic.fast_mlp.elastic_mlp import RESTARTS_SHARE
    from core.elastic.recipes.registry import RECIPES

    shape = inputs, hidden, layers, outputs, batch, threads
    kinds = {name: _block(name, *shape, begun=False) for name in ("dense", *RECIPES)}
    several = ["stratified"]  # the recipe with bands
    kinds |= {f"{name}, begun": _block(name, *shape, begun=True) for name in several}  # as it is first in a training
    found = in_turns(kinds, max(1, repeats // BLOCK), warm_up=2)
    for name in several:
        found[name] += RESTARTS_SHARE * (found.pop(f"{name}, begun") - found[name])
    return {name: seconds / BLOCK for name, seconds in found.items()}


def _block(name: str, *shape: int, begun: bool) -> Callable[[], None]:
    """Some steps in a row: a training pays for those of every kind, in the shares that it has them in.

    What one costs depends on its cutoffs, on whose turn it is, and on whether the smallest bands have several starts.
    """
    step = _step(name, *shape, begun=begun)

    def run() -> None:
        for _ in range(BLOCK):
            step()

    return run


def _memory(name: str, inputs: int, hidden: int, layers: int, outputs: int, batch: int, threads: int) -> float:
    warm_up = _step(name, 8, 8, layers, 4, 8, threads)
    for _ in range(3):
        warm_up()  # what torch itself loads for a first step is not the step's
    with peak_memory() as memory:
        step = _step(name, inputs, hidden, layers, outputs, batch, threads)
        for _ in range(50):
            step()
    return memory["mb"]


def _step(
    name: str, inputs: int, hidden: int, layers: int, outputs: int, batch: int, threads: int, begun: bool = True
) -> Callable[[], None]:
    """A function that takes one step on examples of its own; not `begun`: bands have one start each."""
    import numpy as np
    import torch
    from torch.nn import functional as F

    from core import models
    from core.elastic.fast_mlp.elastic_mlp import RESTARTS, ElasticMLP
    from core.elastic.recipes.registry import recipe as recipe_named
    from core.tasks.losses import loss_function
    from core.train.optimizer import make_optimizer
    from core.train.step import train_step

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    x, y = torch.randn(batch, inputs), torch.randint(outputs, (batch,))
    recipe = recipe_named("stratified" if name == "dense" else name).for_rows(LARGE, chain=True)
    family = models.family(
        "mlp", inputs=inputs, outputs=outputs, hidden=hidden, layers=layers, each_layer=recipe.independent
    )
    if name == "dense":
        module = family.build()
        optimizer = plain_optimizer(module, recipe)

        def dense_step() -> None:
            optimizer.zero_grad(set_to_none=True)
            loss = F.cross_entropy(module(x), y)
            loss.backward()
            optimizer.step()

        return dense_step
    restarts = RESTARTS if begun else 1
    model = ElasticMLP(family, recipe.alpha, recipe.bands(family.layout.widths), restarts)
    if recipe.whitens:
        x = model.prepare(x, np.random.default_rng(0))
    elastic_optimizer, loss_of = make_optimizer(model, recipe), loss_function("classification")
    rng = np.random.default_rng(0)

    def draws() -> Iterator[Cuts]:
        for first in itertools.count(step=BLOCK):  # several at once, as a training draws those of an epoch
            yield from [recipe.draw(rng, model.layout.widths, first + k) for k in range(BLOCK)]

    cuts = draws()

    def step() -> None:
        train_step(model, elastic_optimizer, x, y, next(cuts), loss_of)

    return step


DEEP = {"one width": {"channels": 32}, "two named widths": {"channels": 32, "inner": 32}}  # of the 20-layer net


def building(widths: dict[str, int], steps: int, threads: int) -> dict[str, float]:
    """Share of a step of a 20-layer residual net that goes into building siblings, every cutoff drawn uniformly.

    The paper's recipe: a cutoff for each named width, so that two of them make for a thousand siblings.
    """
    import time

    import numpy as np
    import torch
    from torch.nn import functional as F

    from core.elastic.family import Family
    from core.elastic.module import Elastic
    from core.elastic.recipes.registry import recipe as recipe_named
    from core.train.optimizer import make_optimizer
    from core.train.step import train_step

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    family, recipe, rng = Family(_residual, **widths), recipe_named("paper").for_rows(LARGE), np.random.default_rng(0)
    model = Elastic(family, 0.0)
    optimizer = make_optimizer(model, recipe)
    x, y = torch.randn(128, 1, 14, 14), torch.randint(10, (128,))
    spent = {"building": 0.0, "all": 0.0, "built": 0}
    build = family._factory.sibling

    def timed(at):
        before = time.perf_counter()
        module = build(at)
        spent["building"] += time.perf_counter() - before
        spent["built"] += 1
        return module

    def run() -> None:
        before = time.perf_counter()
        for _ in range(steps):
            train_step(model, optimizer, x, y, recipe.draw(rng, model.layout.widths), F.cross_entropy)
        spent["all"] = time.perf_counter() - before

    family._factory.sibling = timed
    run()  # warm-up: the first steps meet no width twice
    spent |= {"building": 0.0, "built": 0}
    run()
    return {
        "step_ms": round(1e3 * spent["all"] / steps, 2),
        "built_a_step": round(spent["built"] / steps, 3),
        "share": round(spent["building"] / spent["all"], 4),
        "siblings_kept": len(family._siblings),
    }


def _residual(channels: int, inner: int | None = None):
    """A stem, nine blocks of two convolutions each with batch norm, and a linear layer."""
    from torch import nn
    from torch.nn import functional as F

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            between = inner or channels
            self.up, self.first = nn.Conv2d(channels, between, 3, padding=1, bias=False), nn.BatchNorm2d(between)
            self.down, self.second = nn.Conv2d(between, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)

        def forward(self, x):
            return F.relu(x + self.second(self.down(F.relu(self.first(self.up(x))))))

    stem = [nn.Conv2d(1, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU()]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10)]
    return nn.Sequential(*stem, *(Block() for _ in range(9)), *head)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=300, help="steps of each kind (default 300)")
    parser.add_argument("--deep", type=int, default=60, help="steps of the 20-layer residual net (default 60)")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch (default 1)")
    arguments = parser.parse_args()
    import torch

    torch.set_num_threads(arguments.threads)
    figures = {}
    for name, shape in SHAPES.items():
        found = measure(*shape, arguments.repeats, arguments.threads)
        figures[name] = found
        ratios = ", ".join(f"{recipe} {ratio:.2f}x" for recipe, ratio in found["ratio"].items())
        dense = found["step_ms"]["dense"]
        print(f"{name}: dense {dense:.2f} ms; {ratios}; memory of stratified {found['memory_ratio']:.2f}x", flush=True)
    deep = {}
    for name, widths in DEEP.items():
        found = deep[name] = in_fresh_process(building, widths, arguments.deep, arguments.threads)
        how_often = f"{found['built_a_step']:.2f} a step, {found['siblings_kept']} kept"
        print(
            f"20-layer residual net, {name} drawn at random: step {found['step_ms']:.0f} ms, "
            f"building {found['share']:.1%} of it ({how_often})",
            flush=True,
        )
    finish(
        "step", {"shapes": figures, "deep": deep, "peak_mb": max(f["peak_mb"]["stratified"] for f in figures.values())}
    )


if __name__ == "__main__":
    main()
