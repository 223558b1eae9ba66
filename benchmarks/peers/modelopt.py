"""NVIDIA Model Optimizer's AutoNAS: a search space over widths, one drawn a step. Imports torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dedicated
import torch
from quality_task import Bench, timed

if TYPE_CHECKING:
    from torch import nn

    from core.elastic.recipes.base import Recipe


def train(bench: Bench, recipe: Recipe, seed: int) -> tuple[nn.Module, float]:
    """Train a search space of the bench's widths for every hidden layer; return it with its CPU seconds."""
    import random

    import modelopt.torch.nas as mtn

    full = bench.widths[-1]
    shares = tuple(width / full for width in bench.widths)
    space = {"nn.Linear": {"*": {"features_ratio": shares, "feature_divisor": 1}}}
    module = mtn.convert(bench.build(full, seed), mode=[("autonas", space)])
    random.seed(seed)  # the generator that it samples with
    return timed(lambda: dedicated.fit(module, bench.data, recipe, seed))


@torch.no_grad()
def judged(bench: Bench, module: nn.Module) -> tuple[dict[int, float], dict[int, float]]:
    """Return the accuracy of each width on the validation and the test part."""
    import modelopt.torch.nas as mtn

    module.eval()
    validation, test = {}, {}
    for width in bench.widths:
        mtn.utils.select(module, dict.fromkeys(mtn.get_subnet_config(module, True), width), strict=False)
        validation[width] = dedicated.accuracy(module, bench.data.validation)
        test[width] = dedicated.accuracy(module, bench.data.test)
    return validation, test
