"""Cut a dense model after its training: by this project's layout, and by Torch-Pruning. Imports torch."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import dedicated
import torch
from quality_task import Bench, timed
from torch import nn

from core.data.dataset import batches
from core.elastic.batch_norm import buffers, estimate
from core.elastic.scale import Scale
from core.elastic.size_grid import path_widths
from core.elastic.subnet import load

if TYPE_CHECKING:
    Cutter = Callable[[Bench, nn.Module, int], dict[int, nn.Module]]

TRIAL_STEPS = 10  # to estimate the time of a step


def by_norm(bench: Bench, dense: nn.Module, seed: int) -> dict[int, nn.Module]:
    """Return each width's model, of the features with the largest weight norm (Li et al., 2017): `Family.order`."""
    family = bench.plain
    family.check(torch.from_numpy(bench.data.train.x[:2]).float())
    state = family.order(dense.state_dict(), "norm")
    cut = {w: load(family, Scale(), state, path_widths(family.layout, w)) for w in bench.widths}
    return {width: settle(bench, module, seed) for width, module in cut.items()}


def by_torch_pruning(bench: Bench, dense: nn.Module, seed: int) -> dict[int, nn.Module]:
    """Return each width's model by Torch-Pruning's magnitude pruner (Fang et al., 2023), layers at equal shares."""
    import torch_pruning

    example, found = torch.from_numpy(bench.data.train.x[:2]).float(), {}
    for width in bench.widths:
        module = copy.deepcopy(dense).eval()
        last = [part for part in module.modules() if isinstance(part, nn.Linear)][-1]
        pruner = torch_pruning.pruner.MagnitudePruner(
            module, example, importance=torch_pruning.importance.MagnitudeImportance(p=2),
            pruning_ratio=1 - width / bench.widths[-1], max_pruning_ratio=1.0, ignored_layers=[last],
        )  # fmt: skip
        pruner.step()
        found[width] = settle(bench, module, seed)
    wanted = {width: bench.plain.params(**path_widths(bench.plain.layout, width)) for width in bench.widths}
    sizes = {width: sum(p.numel() for p in module.parameters()) for width, module in found.items()}
    if sizes != wanted:
        raise RuntimeError(f"Torch-Pruning left models of {sizes} parameters where the widths have {wanted}")
    return found


def settle(bench: Bench, module: nn.Module, seed: int) -> nn.Module:
    """Estimate the module's batch-normalisation statistics anew, as for every width of every contender."""
    if buffers(module):
        estimate(module, batches(bench.data, seed))
    return module


def steps_in(bench: Bench, modules: Mapping[int, nn.Module], seconds: float) -> dict[int, int]:
    """Return for each width how many steps fit into an equal part of `seconds`."""
    recipe, found = dedicated.plain_recipe(1, 1e-3), {}
    for width, module in modules.items():
        trial = copy.deepcopy(module)
        dedicated.fit(trial, bench.data, recipe, 0, steps=2)
        _, spent = timed(lambda: dedicated.fit(trial, bench.data, recipe, 0, steps=TRIAL_STEPS))  # noqa: B023
        found[width] = max(1, int(seconds / len(modules) / max(spent / TRIAL_STEPS, 1e-6)))
    return found


def finetune(
    bench: Bench, modules: Mapping[int, nn.Module], steps: Mapping[int, int], lr: float, seed: int
) -> tuple[dict[int, nn.Module], float]:
    """Train copies of the models further; return them with the CPU seconds of all together."""
    found, seconds = {}, 0.0
    for width, module in modules.items():
        found[width], spent = timed(
            lambda: dedicated.fit(
                copy.deepcopy(module), bench.data, dedicated.plain_recipe(1, lr), seed, steps[width]  # noqa: B023
            )
        )  # fmt: skip
        seconds += spent
    return found, seconds
