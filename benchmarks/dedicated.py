"""The line to compare with: a plain model, trained for one width with nothing dropped."""

from __future__ import annotations

from typing import TYPE_CHECKING

import measure  # noqa: F401 (puts the project on the path)
import numpy as np

from core.elastic.recipes.base import Recipe, decided

if TYPE_CHECKING:
    import torch
    from torch import nn

    from core.data import Dataset, Split

RATES = (1e-3, 3e-3, 1e-2, 3e-2, 6e-2)  # an untuned line would flatter everyone


def fit(module: nn.Module, data: Dataset, recipe: Recipe, seed: int, steps: int | None = None) -> nn.Module:
    """Train a plain module with torch's Adam and a recipe's batch and schedule; all else is as in `core.train`.

    `steps` of the optimiser in place of the recipe's epochs, where they are given.
    """
    import torch

    from core.models import fit_inputs
    from core.tasks.losses import loss_function
    from core.train.optimizer import learning_rate

    fit_inputs(module, *data.statistics())
    x, y = torch.from_numpy(data.train.x), torch.from_numpy(data.train.y)
    loss_of = loss_function(data.task, torch.from_numpy(data.target_statistics()[1]))
    recipe = recipe.for_rows(data.train.n)
    optimizer, batch = plain_optimizer(module, recipe), decided(recipe.batch_size)
    an_epoch = data.train.n // batch
    total = decided(recipe.epochs) * an_epoch if steps is None else steps
    module.train()
    for step in range(total):
        epoch, index = divmod(step, an_epoch)
        if not index:
            order = torch.from_numpy(np.random.default_rng([seed, 1, epoch]).permutation(data.train.n))
        rows = order[index * batch : (index + 1) * batch]
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(recipe, step, total)
        inputs = x[rows].float()
        if data.augment is not None:
            inputs = data.augment(inputs, np.random.default_rng([seed, 4, step]))
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(module(inputs), y[rows])
        penalty = vars(module).get("penalty")
        (loss if penalty is None else loss + penalty).backward()
        optimizer.step()
    return module.eval()


def plain_optimizer(module: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """What `core.train.loop.make_optimizer` makes, as a plain training in PyTorch has it."""
    import torch

    from core.train.optimizer import decay_groups

    parts = decay_groups(module.parameters(), decided(recipe.weight_decay))
    return torch.optim.AdamW(parts, lr=decided(recipe.lr), fused=True)


def plain_recipe(epochs: int, lr: float) -> Recipe:
    """Adam with this learning rate and a batch of 500, less on small data; nothing of a recipe's cutoffs is used."""
    return Recipe(epochs=epochs, lr=lr)


def accuracy(module: nn.Module, part: Split) -> float:
    """Share of a part's examples that a module gets right."""
    import torch

    with torch.inference_mode():
        outputs: torch.Tensor = torch.cat([module(torch.from_numpy(x).float()) for x in np.array_split(part.x, 10)])
    return float((outputs.argmax(1).numpy() == part.y).mean())
