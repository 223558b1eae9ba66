"""Settings of `train` as Python values: a recipe, a family and the weights to begin with."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import RunError, UserError
from core.utils.files import check_file, first_line

if TYPE_CHECKING:
    from core.data import Dataset
    from core.elastic.family import Family

DOUBLE = 2  # a file of float64 weights is twice as large
MORE_HEADER = 10**6  # bytes that a file's header may have beyond this project's
BYTES_TRAINED = 16  # a parameter with its gradient and Adam's two moments, float32


def family_of(
    data: Dataset,
    name: str,
    hidden: int | None,
    layers: int | None,
    lower: int | None,
    pairs: Sequence[str],
    *,
    each_layer: bool,
) -> Family:
    """Build the family that the options of `train` describe.

    Parameters
    ----------
    data
        The data it has to fit.
    name
        The model's name in the registry.
    hidden, layers, lower
        Values of the options of that name; None leaves a setting to the model.
    pairs
        Further settings as `name=value`.
    each_layer
        Whether the recipe draws a width for each layer.

    Raises
    ------
    UserError
        For a model or setting that is unknown or out of range.
    """
    from core import models

    width = models.MODELS[name].width if name in models.MODELS else "hidden"
    settings = with_pairs({width: hidden, "layers": layers, "lower": lower}, pairs, "--model-set", "model")
    if name == "mlp" and settings.get("layers", 2) != 1:
        settings.setdefault("each_layer", each_layer)
    return models.family_for(data, name, **settings)


def refuse_each_layer(family: Family, settings: Mapping[str, Any]) -> None:
    """Raise UserError where each layer should draw a width of its own, but the model has one width for all."""
    if settings.get("each_layer") and len(family.layout.widths) == 1:
        raise UserError(
            "each_layer=true draws a width for each layer, but the model has one width for all; leave it out, or "
            "choose a model with several widths"
        )


def start_weights(start: Path | None, order: str | None, family: Family) -> dict[str, Any] | None:
    """Read the tensors of `--start`, not yet compared with the model. Raises UserError."""
    from core.elastic.discovery.importance import BY

    if order is not None and order not in BY:
        raise UserError(f"features can't be ordered by {order!r}; choose --order {' or '.join(BY)}")
    if start is None:
        if order is not None:
            raise UserError("--order sorts the features of a trained model; give its weights with --start")
        return None
    needed = "--start needs the weights of a trained full model, as `export --format safetensors` writes them"
    most = DOUBLE * family.layout.file_bytes(family.layout.full) + MORE_HEADER
    try:
        check_file(start, most)
    except RunError as error:
        reason = "does not exist" if not start.exists() else str(error).removeprefix(start.name).strip()
        raise UserError(f"{start} {reason.split('; ')[0]}; {needed}") from None
    from safetensors.torch import load_file

    try:
        return dict(load_file(start))
    except Exception as error:  # safetensors raises its own kind, OSError and ValueError alike
        raise UserError(f"{start} is not a readable safetensors file ({first_line(error)}); {needed}") from None


def refuse_what_cannot_fit(family: Family) -> None:
    """Raise UserError where a training would need more memory than the machine has, as far as the system tells."""
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return
    needed = BYTES_TRAINED * family.params()
    if needed > memory > 0:
        raise UserError(
            f"{family.params():,} parameters need {needed / 1e9:,.0f} GB to be trained, this machine has "
            f"{memory / 1e9:,.0f} GB; choose a smaller --hidden or fewer --layers"
        )


def with_pairs(settings: dict[str, Any], pairs: Sequence[str], option: str, owner: str) -> dict[str, Any]:
    """Join settings that were given as options, and `name=value` texts as Python values.

    Parameters
    ----------
    settings
        Values of options by the setting's name; None for an option that was not given.
    pairs
        Texts `name=value`.
    option, owner
        Option of the pairs, and what they are settings of, for a refusal.

    Raises
    ------
    UserError
        For a text that is no pair, or a setting that is given twice.
    """
    given = {name: value for name, value in settings.items() if value is not None}
    for pair in pairs:
        name, sign, text = pair.partition("=")
        if not sign or not name.isidentifier() or name == "name":
            raise UserError(f"{option} needs a setting of the {owner} as name=value, got {pair!r}")
        if name in given:
            raise UserError(f"{name} is set twice; give it once")
        given[name] = _value(text)
    return given


def _value(text: str) -> Any:
    """Read a text as a whole number, a number, true or false; else keep it."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
