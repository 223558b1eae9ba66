"""Weights only, as safetensors; made without torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.export.base import Format, Verified, Widths
from core.export.verify import verify_weights
from core.export.weights import small_state

if TYPE_CHECKING:
    from core.elastic.family import Family
    from core.runs.run import Run


def safetensors_bytes(run: Run, widths: Widths, family: Family | None = None) -> bytes:
    """Make a file of the small model's weights (`Format.make`). Raises RunError for a damaged run."""
    from safetensors.numpy import save

    return save(small_state(run, widths), {"format": "pt"})


def verify(run: Run, width: int, data: bytes) -> Verified:
    """Compare every number of the file with the run. Raises RunError for a difference."""
    return Verified(numbers=verify_weights(run, width, data))


FORMAT = Format(
    name="safetensors",
    suffix=".safetensors",
    label="Weights only (safetensors)",
    meaning="The model's numbers, for a program that already knows its shape.",
    holds_program=False,
    make=safetensors_bytes,
    verify=verify,
    size=lambda weights, tensors: weights,
    usage='from safetensors.torch import load_file\n\nmodel.load_state_dict(load_file("{name}"))',
)
