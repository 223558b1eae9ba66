"""Plain factories by name, so that a run can be rebuilt from its settings and from no code of its own.

To add a model: its plain module in a file here; a function from settings to a family, one from settings and widths to
the call that builds it and one from data to the settings that they decide, in `families.py`; and its line in `MODELS`.
"""

from __future__ import annotations

import ast
import importlib.util
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.elastic.recipes.registry import RECIPES
from core.errors import UserError
from core.models import base as f

if TYPE_CHECKING:
    from torch import nn

    from core.data.dataset import Dataset
    from core.elastic.family import Family


@dataclass(frozen=True, kw_only=True)
class Model:
    """A kind of model that a run can name."""

    family: Callable[..., Family]
    module: str  # where its plain PyTorch lies; that file may import torch alone
    call: Callable[[Mapping[str, Any], Mapping[str, int]], str]  # the expression that builds it, from settings, widths
    fit: Callable[[Dataset], dict[str, Any]]  # the settings that data decide; UserError for data it is not made for
    meaning: str  # one plain phrase
    width: str = "hidden"  # the setting that is its largest width
    recipe: Mapping[str, Any] = field(default_factory=dict)  # settings that suit it better than a recipe's own


MODELS: dict[str, Model] = {
    "mlp": Model(
        family=f.mlp_family, module="core.models.mlp.net", call=f.mlp_call, fit=f.mlp_fit,
        meaning="a stack of linear layers, for any data",
    ),
    "convnet": Model(
        family=f.convnet_family, module="core.models.convnet.net", call=f.convnet_call, fit=f.picture_fit,
        meaning="a residual convolutional net, for pictures", width="channels",
        # its full size has few channels, of which an eighth would leave no band but of one
        recipe={"lr": 3e-2, "epochs": 6, "own_below": 0.25},
    ),
    "vit": Model(
        family=f.vit_family, module="core.models.vit.net", call=f.vit_call, fit=f.picture_fit,
        meaning="a vision transformer, for pictures", recipe={"lr": 5e-3, "epochs": 20},
    ),
    "pointnet": Model(
        family=f.pointnet_family, module="core.models.pointnet.net", call=f.pointnet_call, fit=f.pointnet_fit,
        meaning="PointNet, for clouds of points",
        # a quarter of its small batches would be too few rows to normalise by
        recipe={"lr": 2e-3, "weight_decay": 0.0, "epochs": 40, "whole_batch": False, "widest_share": 0.6,
                "single": False},
    ),
    "coordinates": Model(
        family=f.coordinates_family, module="core.models.coordinates.net", call=f.coordinates_call, fit=f.coordinates_fit,
        meaning="a coordinate network, for one picture",
        recipe={"weight_decay": 0.0, "epochs": 60, "widest_share": 0.6},
    ),
    "liif": Model(
        family=f.liif_family, module="core.models.liif.net", call=f.liif_call, fit=f.liif_fit,
        meaning="a local implicit image function, for super-resolution",
        # from 8 features up small sizes lose 0.9 dB where they share a band with those below, which learn little
        recipe={"weight_decay": 0.0, "lr": 2e-3, "single": False},
    ),
}  # fmt: skip
SUITED = ("pointnet", "coordinates", "liif")  # made for one kind of data, and so first choice for it


def family(name: str, **settings: Any) -> Family:
    """The family called `name` with `settings`; it remembers both. Raises UserError for an unknown name or setting."""
    model = _named(name)
    known = inspect.signature(model.family).parameters
    for setting in settings:
        if setting not in known:
            raise UserError(f"model {name!r} has no setting {setting!r}; it has {', '.join(known)}")
    for setting, parameter in known.items():
        if parameter.default is parameter.empty and setting not in settings:
            raise UserError(f"model {name!r} wants the setting {setting!r}, which its data decide")
    found = model.family(**settings)
    found.source = {"name": name, "settings": settings}
    return found


def family_for(data: Dataset, name: str | None = None, **settings: Any) -> Family:
    """The family called `name` that fits the data, or the one made for such data where no name is given.

    Raises UserError for data that the model is not made for, and what `family` raises.
    """
    name = suited(data) if name is None else name
    model = _named(name)
    try:
        decided = model.fit(data)
    except UserError as error:
        raise UserError(f"model {name!r} can't learn {data.name}: {error}; choose --model {suited(data)}") from None
    # all of them, so that a run says exactly how it was made whatever the defaults become
    defaults = {key: p.default for key, p in inspect.signature(model.family).parameters.items()}
    whole = {
        **{key: v for key, v in defaults.items() if v not in (None, inspect.Parameter.empty)},
        **decided,
        **settings,
    }
    return family(name, **whole)


def recipe_settings(name: str, recipe: str) -> dict[str, Any]:
    """What suits the model better than the recipe's own settings; the paper's recipe stays the paper's."""
    known = RECIPES[recipe].limits if recipe in RECIPES and recipe != "paper" else {}
    return {setting: value for setting, value in _named(name).recipe.items() if setting in known}


def suited(data: Dataset) -> str:
    """The name of the model made for such data."""
    for name in SUITED:
        try:
            MODELS[name].fit(data)
            return name
        except UserError:
            continue
    return "mlp"


def fit_inputs(module: nn.Module, mean: np.ndarray, std: np.ndarray) -> None:
    """Put the training part's statistics into every `Normalise` of a model; a model without one is left as it is.

    Each model's file has a `Normalise` of its own; one that is somebody else's may mean something else by its buffers.
    """
    import torch

    for part in module.modules():
        if type(part).__name__ == "Normalise" and type(part).__module__.startswith(f"{__name__}."):
            normalise: Any = part
            with torch.no_grad():
                normalise.scale.copy_(torch.from_numpy(1.0 / std.reshape(-1)))
                normalise.shift.copy_(torch.from_numpy(-mean.reshape(-1) / std.reshape(-1)))


@dataclass(frozen=True)
class Source:
    """A model as text that needs torch and nothing of this project."""

    imports: tuple[str, ...]
    text: str  # the plain module and its factory
    call: str  # the expression that builds it


def source(name: str | None, settings: Mapping[str, Any], widths: Mapping[str, int]) -> Source | None:
    """A model's plain PyTorch at `widths`; None for a factory of one's own. Raises what `family` raises."""
    if name is None:
        return None
    family(name, **settings)  # settings come from anybody's run.json: only what builds a model may become a program
    model = MODELS[name]
    bound = inspect.signature(model.family).bind(**settings)
    bound.apply_defaults()
    text = _text(model.module)
    lines, imports, start = text.splitlines(), [], 0
    for part in ast.parse(text).body:
        is_import = isinstance(part, ast.Import | ast.ImportFrom)
        if is_import:
            imports.append(ast.unparse(part))
        if is_import or (isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant)):  # or its docstring
            start = part.end_lineno or start
    whole = {key: int(size) for key, size in widths.items()}
    return Source(tuple(imports), "\n".join(lines[start:]).strip("\n"), model.call(bound.arguments, whole))


def _text(module: str) -> str:
    """A module's text from its file: to import the module would import torch."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise UserError(f"the source of {module} is not installed here; install the whole project")
    return Path(spec.origin).read_text(encoding="utf-8")


def _named(name: Any) -> Model:
    if not isinstance(name, str) or name not in MODELS:
        raise UserError(f"model {name!r} is not known; choose one of {', '.join(MODELS)}")
    return MODELS[name]
