"""What `train` was asked for: settings as Python values, and the family they describe."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import RunError, UserError
from core.utils.files import check_file, first_line

if TYPE_CHECKING:
    from core.data import Dataset
    from core.elastic.family import Family

DOUBLE = 2  # weights may come as float64
MORE_HEADER = 10**6  # bytes that a file's header may have beyond ours
BYTES_TRAINED = 16  # a parameter with its gradient and Adam's two moments, float32


def family_asked(
    data: Dataset,
    name: str,
    hidden: int | None,
    layers: int | None,
    lower: int | None,
    pairs: Sequence[str],
    *,
    each_layer: bool,
) -> Family:
    """The family that the options of `train` ask for. Raises UserError."""
    from core import models

    width = models.MODELS[name].width if name in models.MODELS else "hidden"
    settings = with_pairs({width: hidden, "layers": layers, "lower": lower}, pairs, "--model-set", "model")
    if name == "mlp":  # the recipe decides whether each layer draws for itself
        settings["each_layer"] = each_layer and settings.get("layers", 2) != 1
    return models.family_for(data, name, **settings)


def start_asked(start: Path | None, order: str | None, family: Family) -> dict[str, Any] | None:
    """The tensors in the file of `--start`, not yet held against the model. Raises UserError."""
    from core.elastic.discovery.importance import BY

    if order is not None and order not in BY:
        raise UserError(f"features can't be ordered by {order!r}; choose --order {' or '.join(BY)}")
    if start is None:
        if order is not None:
            raise UserError("--order sorts the features of a trained model; give its weights with --start")
        return None
    wanted = "--start wants the weights of a trained full model, as `export --format safetensors` writes them"
    most = DOUBLE * family.layout.file_bytes(family.layout.full) + MORE_HEADER
    try:
        check_file(start, most)
    except RunError as error:
        reason = "does not exist" if not start.exists() else str(error).removeprefix(start.name).strip()
        raise UserError(f"{start} {reason.split('; ')[0]}; {wanted}") from None
    from safetensors.torch import load_file

    try:
        return dict(load_file(start))
    except Exception as error:  # safetensors raises its own kind, OSError and ValueError alike
        raise UserError(f"{start} is not a readable safetensors file ({first_line(error)}); {wanted}") from None


def refuse_what_cannot_fit(family: Family) -> None:
    """A sentence before the machine grinds to a halt, where it tells how much memory it has."""
    try:
        there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return
    wanted = BYTES_TRAINED * family.params()
    if wanted > there > 0:
        raise UserError(
            f"{family.params():,} parameters want {wanted / 1e9:,.0f} GB to be trained, this machine has "
            f"{there / 1e9:,.0f} GB; choose a smaller --hidden or fewer --layers"
        )


def with_pairs(settings: dict[str, Any], pairs: Sequence[str], option: str, owner: str) -> dict[str, Any]:
    """The settings that were given as options, and `name=value` texts as Python values."""
    found = {name: value for name, value in settings.items() if value is not None}
    for pair in pairs:
        name, sign, text = pair.partition("=")
        if not sign or not name.isidentifier() or name == "name":
            raise UserError(f"{option} wants a setting of the {owner} as name=value, got {pair!r}")
        if name in found:
            raise UserError(f"{name} is set twice; give it once")
        found[name] = _value(text)
    return found


def _value(text: str) -> Any:
    """A whole number, a number, true/false, else the text."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
