"""Checks before anything is trained: settings, device, the family, and its outputs against the data."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

from core.elastic.family import Family
from core.elastic.recipes.base import Cuts, Recipe, decided
from core.errors import UserError
from core.utils import files
from core.utils.numbers import whole_number

if TYPE_CHECKING:
    import torch

    from core.data import Dataset
    from core.elastic.module import Elastic


def check_recipe(recipe: Recipe) -> None:
    """Raise UserError for anything but a recipe."""
    if not isinstance(recipe, Recipe):
        raise UserError(f"the recipe is {recipe!r}; give a recipe or its name, such as 'stratified'")


def checked_seed(given: Any) -> int:
    """Return `given` as a seed. Raises UserError for anything but a whole number from 0 to 2**63 - 1."""
    seed = whole_number(given)
    if seed is None or not 0 <= seed < 2**63:
        raise UserError(f"seed is {given!r}; choose a whole number from 0 to {2**63 - 1}")
    return seed


def check_family(family: Family, example: torch.Tensor) -> None:
    """Check that the model runs on the data, its features are unordered and a slice of it can be trained.

    Raises UserError or LayoutError.
    """
    from core.elastic.discovery.training_forward import check_training_forward

    try:
        family.check(example)
        check_training_forward(family, example)
    except UserError:
        raise
    except Exception as error:  # the model's own, from anywhere in its factory or its forward
        raise UserError(
            f"the model can't be run on examples of shape {tuple(example.shape[1:])}: {files.first_line(error)}; "
            "make its first layer fit the data"
        ) from error


def check_outputs(model: Elastic, example: torch.Tensor, data: Dataset) -> None:
    """Check the shape of the full model's output, (batch, labels), on an example. Raises UserError."""
    import torch

    model.eval()
    with torch.no_grad():
        scores = model(example, Cuts((model.layout.full,), whole_batch=True))[0]
    shape = tuple(scores.shape) if isinstance(scores, torch.Tensor) else None
    needed = (len(example), len(data.labels))
    if shape != needed:
        came = f"has shape {shape}" if shape is not None else f"is a {type(scores).__name__}"
        raise UserError(
            f"the model's output {came} for {len(example)} examples; {len(data.labels)} labels need a tensor of "
            f"shape {needed}"
        )


def check_batch(model: Elastic, recipe: Recipe, data: Dataset) -> None:
    """Check that every cutoff of a step has enough examples to be normalised over. Raises UserError."""
    from core.elastic.batch_norm import tracked

    if not tracked(model.full):
        return
    rows, rng = decided(recipe.batch_size), np.random.default_rng(0)
    steps = [recipe.draw(rng, model.layout.widths, step) for step in range(2)]  # they may take turns

    def fewest_of(cuts: Cuts, batch: int) -> int:
        return min(int(part.stop) - int(part.start) for part in cuts.rows(batch))

    def smallest(batch: int) -> int:
        return min(fewest_of(cuts, batch) for cuts in steps)

    cuts, fewest = min(steps, key=lambda cuts: fewest_of(cuts, rows)), smallest(rows)
    if fewest < 2:
        shared = f"shared by {len(cuts.cutoffs)} cutoffs " if not cuts.whole_batch else ""
        enough = next(batch for batch in itertools.count(rows) if smallest(batch) >= 2)
        whole = "" if cuts.whole_batch else f"{enough}, or whole_batch"
        raise UserError(
            f"a batch of {rows} {shared}leaves {fewest} example{'' if fewest == 1 else 's'} to normalise over; choose "
            f"a batch size of at least {whole or 2}"
        )


def device_of(name: str) -> torch.device:
    """Return the device called `name`; `auto` is CUDA where there is one. Raises UserError."""
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name not in ("cpu", "cuda"):
        raise UserError(f"device {name!r} is not known; choose auto, cpu or cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("device 'cuda' is not there: torch sees no GPU; choose auto or cpu")
    return torch.device(name)
