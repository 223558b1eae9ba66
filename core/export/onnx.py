"""ONNX files: from the model's own graph where it has one, by torch's exporter otherwise."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np

from core.errors import RunError, UserError
from core.export.base import Format, Verified, Widths
from core.export.onnx_builder import measured_onnx
from core.export.program import agrees, example_inputs, run_module, run_onnx, small_module, tracing, two_examples
from core.export.verify import verify_program
from core.export.weights import small_state
from core.models.onnx_graph import INPUT, OUTPUT

if TYPE_CHECKING:
    import onnx
    from torch import nn

    from core.elastic.family import Family
    from core.runs.run import Run

GRAPHS_KEPT = 16  # graphs without weights, a few kB each: cutting one takes milliseconds, exporting it a second

_graphs: OrderedDict[str, bytes | None] = OrderedDict()  # by weights_sha256; None: the graph can't be cut
_graphs_lock = threading.Lock()


def onnx_bytes(run: Run, widths: Widths, family: Family | None = None) -> bytes:
    """Make an ONNX file, batch size free, after it was run and compared with the model (`Format.make`).

    A run that was only read needs no torch where its model has a graph of its own and the width was measured. Torch's
    exporter makes one full-width graph a run, whose weights are cut for each width; where that does not give the same
    scores, as with a width written into the graph, the small model is exported by itself. Raises RunError where
    onnxruntime and torch disagree or the run is damaged, UserError where torch can't export the model.
    """
    if family is None and run.family is None and (plain := measured_onnx(run, widths)) is not None:
        return plain
    module, x = small_module(run, widths, family), example_inputs(run)
    reference = run_module(module, x)
    cut = _cut_graph(run, widths, family)
    if cut is not None and agrees(_try_onnx(cut, x), reference):
        return cut
    data: bytes = _export_graph(module, run).SerializeToString()
    if not agrees(_try_onnx(data, x), reference):
        raise RunError(
            f"the ONNX file of run {run.id} at {dict(widths)} does not give the model's own scores; a forward that "
            "uses len(x) is fixed to one batch size there, x.shape[0] is not"
        )
    return data


def float_onnx(run: Run, widths: Widths, family: Family | None = None) -> bytes:
    """Make an ONNX program that holds each weight as an array of its own: torch's optimiser would merge norms in.

    Raises UserError where torch can't export the model.
    """
    if family is None and run.family is None and (plain := measured_onnx(run, widths)) is not None:
        return plain
    data: bytes = _export_graph(small_module(run, widths, family), run, optimize=False).SerializeToString()
    return data


def verify(run: Run, width: int, data: bytes) -> Verified:
    """Run the file on the stored examples. Raises RunError where a prediction differs from the stored one."""
    return Verified(examples=verify_program(run, width, "ONNX", lambda x: run_onnx(data, x)))


def _cut_graph(run: Run, widths: Widths, family: Family | None) -> bytes | None:
    """Return the full-width graph with the small model's weights; None where it does not hold each of them."""
    import onnx

    key = run.record.weights_sha256
    with _graphs_lock:
        if key not in _graphs:
            _graphs[key] = _empty_graph(run, family)
            while len(_graphs) > GRAPHS_KEPT:
                _graphs.popitem(last=False)
        _graphs.move_to_end(key)
        graph = _graphs[key]
    if graph is None:
        return None
    model = onnx.load_model_from_string(graph)
    initializers = {weight.name: weight for weight in model.graph.initializer}
    for name, value in small_state(run, widths).items():
        if name not in initializers:
            return None
        initializers[name].CopyFrom(onnx.numpy_helper.from_array(value, name))
    data: bytes = model.SerializeToString()
    return data


def _empty_graph(run: Run, family: Family | None) -> bytes | None:
    """Return the full-width graph without the run's weights; None where it lacks one by name and shape."""
    try:
        model = _export_graph(small_module(run, run.layout.full, family), run)
    except UserError:  # too large for an ONNX file, perhaps; the small model may still fit
        return None
    initializers = {weight.name: weight for weight in model.graph.initializer}
    for name, tensor in run.layout.tensors.items():
        if name not in initializers or tuple(initializers[name].dims) != tensor.shape:
            return None
        initializers[name].Clear()
        initializers[name].name = name
    del model.graph.value_info[:]  # shapes between the layers are the full model's
    data: bytes = model.SerializeToString()
    return data


def _export_graph(module: nn.Module, run: Run, *, optimize: bool = True) -> onnx.ModelProto:
    """Export a module with torch, without the exporter's notes on this machine's source files."""
    import torch

    with tracing(run):
        program = torch.onnx.export(
            module,
            (two_examples(run),),
            dynamo=True,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            verbose=False,
            optimize=optimize,
        )
    if program is None:
        raise UserError("this version of torch gave no ONNX program; install the versions of requirements.txt")
    model: onnx.ModelProto = program.model_proto
    _clear_origin(model)
    return model


def _clear_origin(part: Any) -> None:
    """Clear the notes on source files in a protobuf message and all messages inside it."""
    for field, value in part.ListFields():
        if field.name in ("metadata_props", "doc_string"):
            part.ClearField(field.name)
        elif field.message_type is not None:
            for message in [value] if hasattr(value, "ListFields") else value:
                _clear_origin(message)


def _try_onnx(data: bytes, x: np.ndarray) -> np.ndarray | None:
    """Return an ONNX file's scores; None where onnxruntime fails on it."""
    try:
        return run_onnx(data, x)
    except ImportError:  # no fault of the file
        raise
    except Exception:  # onnxruntime's own kinds, for a graph that can't be cut; the caller exports anew
        return None


FORMAT = Format(
    name="onnx",
    suffix=".onnx",
    label="ONNX",
    meaning="The whole model for almost any language and device, through ONNX Runtime.",
    holds_program=True,
    make=onnx_bytes,
    verify=verify,
    size=lambda weights, tensors: weights + 50 * tensors,
    roughly="about",
    usage='import onnxruntime\n\nsession = onnxruntime.InferenceSession("{name}")\n'
    'outputs = session.run(None, {{"input": inputs}})[0]   # float32, raw values',
)
