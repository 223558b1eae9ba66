"""One size of a run with rounded weights, as safetensors or ONNX; compared with its module before it is handed over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from core.errors import RunError, UserError
from core.export.base import Widths
from core.export.onnx import float_onnx
from core.export.program import agrees, example_inputs, run_module, run_onnx
from core.precision.onnx_weights import with_stored_weights
from core.precision.quantized import Quantized, quantized
from core.precision.weights_file import read_weights, write_weights

if TYPE_CHECKING:
    from core.data.dataset import Dataset
    from core.elastic.family import Family
    from core.runs.run import Run

FORMATS = ("safetensors", "onnx")


def precise_bytes(
    run: Run,
    widths: Widths,
    format: str,
    bits: int,
    family: Family | None = None,
    data: Dataset | tuple[Any, Any] | None = None,
) -> bytes:
    """Make a file of the small model with rounded weights.

    Parameters
    ----------
    run
        The run; `with_polished` at this width its polished model counts.
    widths
        Size of each named width.
    format
        `safetensors` or `onnx`.
    bits
        Bits of a weight.
    family, data
        As in `sweep`: needed only where they can't be rebuilt from the run.

    Raises
    ------
    UserError
        For another format, other bits, data that can't be loaded, or a model that can't be stored so.
    RunError
        Where the file does not give what the rounded module gives.
    """
    if format not in FORMATS:
        raise UserError(f"bits goes with the formats {' and '.join(FORMATS)}; got {format!r}")
    model = quantized(run, widths, bits, family=family, data=data)
    if format == "safetensors":
        return _weights(run, model)
    made = with_stored_weights(float_onnx(run, widths, family or run.family), model.stored)
    x = example_inputs(run)
    if not agrees(run_onnx(made, x), run_module(model.module, x)):
        raise RunError(
            f"the ONNX file of run {run.id} with {bits} bits does not give the rounded model's scores; take safetensors"
        )
    return made


def _weights(run: Run, model: Quantized) -> bytes:
    """Write the weights, and compare them, read again, with those that the module computes with."""
    made = write_weights(model.stored, model.plain, model.bits)
    in_file, in_module = read_weights(made), model.module.state_dict()
    if in_file.keys() != in_module.keys() or not all(
        np.array_equal(in_file[name], value.numpy()) for name, value in in_module.items()
    ):
        raise RunError(f"the weights read again from the file are not those of run {run.id}; make the file again")
    return made
