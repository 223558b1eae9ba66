"""PyTorch programs (.pt2) by torch.export."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np

from core.errors import RunError
from core.export.base import Format, Verified, Widths
from core.export.program import agrees, example_inputs, run_module, small_module, tracing, two_examples
from core.export.verify import verify_program

if TYPE_CHECKING:
    from core.elastic.family import Family
    from core.runs.run import Run

# notes of the tracer that name this machine's source files
TRACES = ("stack_trace", "nn_module_stack", "source_fn_stack", "from_node", "torch_fn")


def pt2_bytes(run: Run, widths: Widths, family: Family | None = None) -> bytes:
    """Make an exported PyTorch program, batch size free, after it was run and compared (`Format.make`).

    Raises RunError where program and model disagree or the run is damaged, UserError where torch can't export it.
    """
    import torch

    module, x = small_module(run, widths, family), example_inputs(run)
    with tracing(run):
        program = torch.export.export(module, (two_examples(run),), dynamic_shapes=({0: torch.export.Dim("batch")},))
        for part in program.graph_module.modules():  # a branch or loop is a graph of its own
            for node in part.graph.nodes if isinstance(part, torch.fx.GraphModule) else ():
                for key in TRACES:
                    node.meta.pop(key, None)
        program.example_inputs = None  # would be pickled, and holds somebody's examples
        file = io.BytesIO()
        torch.export.save(program, file)
        data = file.getvalue()
        loaded = torch.export.load(io.BytesIO(data)).module()
    if not agrees(run_module(loaded, x), run_module(module, x)):
        raise RunError(f"the .pt2 file of run {run.id} at {dict(widths)} does not give the model's own scores")
    return data


def verify(run: Run, width: int, data: bytes) -> Verified:
    """Run the file on the stored examples. Raises RunError where a prediction differs from the stored one."""
    return Verified(examples=verify_program(run, width, "pt2", lambda x: _run_pt2(data, x)))


def _run_pt2(data: bytes, x: np.ndarray) -> np.ndarray:
    import torch

    return run_module(torch.export.load(io.BytesIO(data)).module(), x)


FORMAT = Format(
    name="pt2",
    suffix=".pt2",
    label="PyTorch program (.pt2)",
    meaning="The whole model for PyTorch, with no source code needed.",
    holds_program=True,
    make=pt2_bytes,
    verify=verify,
    size=lambda weights, tensors: weights + 1_700 * tensors,  # each tensor's use is written as JSON
    roughly="about",
    usage='import torch\n\nmodel = torch.export.load("{name}").module()\noutputs = model(inputs)',
)
