"""The models that a run can name, so that it is rebuilt from its settings and not from code of its own.

To add a model: a folder with `net.py` and `spec.py`, and its line in `MODELS` (README.md in this folder).
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from core.elastic.recipes.registry import RECIPES
from core.errors import UserError
from core.models import convnet, coordinates, liif, mlp, pointnet, vit
from core.models.base import Model

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

    from core.data.dataset import Dataset
    from core.elastic.family import Family

MODELS: dict[str, Model] = {
    "mlp": mlp.MODEL,
    "convnet": convnet.MODEL,
    "vit": vit.MODEL,
    "pointnet": pointnet.MODEL,
    "coordinates": coordinates.MODEL,
    "liif": liif.MODEL,
}


def model_named(name: Any) -> Model:
    """Return a model of the registry. Raises UserError for a name that is not in it."""
    if not isinstance(name, str) or name not in MODELS:
        raise UserError(f"model {name!r} is not known; choose one of {', '.join(MODELS)}")
    return MODELS[name]


def family(name: str, **settings: Any) -> Family:
    """Build the family called `name`, which remembers its name and settings.

    Raises UserError for an unknown name or setting, or a setting that is out of range.
    """
    model = model_named(name)
    parameters = inspect.signature(model.family).parameters
    for setting in settings:
        if setting not in parameters:
            raise UserError(f"model {name!r} has no setting {setting!r}; it has {', '.join(parameters)}")
    for setting, parameter in parameters.items():
        if parameter.default is parameter.empty and setting not in settings:
            raise UserError(f"model {name!r} needs the setting {setting!r}, which its data decide")
    built = model.family(**settings)
    built.source = {"name": name, "settings": settings}
    return built


def family_for(data: Dataset, name: str | None = None, **settings: Any) -> Family:
    """Build the family called `name`, fitted to the data.

    Parameters
    ----------
    data
        The data set to be learned.
    name
        Name of a model; the one that suits the data by default.
    settings
        Settings of the model; the data or the model's defaults decide the others.

    Raises
    ------
    UserError
        For data that the model can't learn, and as `family` does.
    """
    name = suited(data) if name is None else name
    model = model_named(name)
    try:
        from_data = model.fit(data)
    except UserError as error:
        raise UserError(f"model {name!r} can't learn {data.name}: {error}; choose --model {suited(data)}") from None
    # run.json records every setting, so that a change of defaults leaves old runs as they are
    defaults = {key: p.default for key, p in inspect.signature(model.family).parameters.items()}
    recorded = {key: v for key, v in defaults.items() if v not in (None, inspect.Parameter.empty)}
    return family(name, **{**recorded, **from_data, **settings})


def recipe_settings(name: str, recipe: str) -> dict[str, Any]:
    """Return the recipe settings that suit a model; none for `paper`, which stays as published."""
    allowed = RECIPES[recipe].limits if recipe in RECIPES and recipe != "paper" else {}
    return {setting: value for setting, value in model_named(name).recipe.items() if setting in allowed}


def suited(data: Dataset) -> str:
    """Return the name of the model made for such data; `mlp`, which takes any, where there is none."""
    for name, model in MODELS.items():
        if model.special:
            try:
                model.fit(data)
                return name
            except UserError:
                continue
    return "mlp"


def fit_inputs(module: nn.Module, mean: np.ndarray, std: np.ndarray) -> None:
    """Set every `Normalise` of a registry model to the training part's statistics, in place.

    Parameters
    ----------
    module
        Any module; classes of the same name from elsewhere are left as they are.
    mean, std
        Mean and standard deviation of each input feature, in the shape of one example.
    """
    import torch

    nets = {model.net for model in MODELS.values()}
    for part in module.modules():
        if type(part).__name__ == "Normalise" and type(part).__module__ in nets:
            normalise: Any = part
            with torch.no_grad():
                normalise.scale.copy_(torch.from_numpy(1.0 / std.reshape(-1)))
                normalise.shift.copy_(torch.from_numpy(-mean.reshape(-1) / std.reshape(-1)))
