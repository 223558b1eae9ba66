"""The weights of an ONNX program stored by schemes: each initializer becomes codes and the operators that read them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from core.errors import UserError
from core.precision.base import Stored
from core.precision.onnx_nodes import Nodes

if TYPE_CHECKING:
    import onnx


def with_stored_weights(data: bytes, tensors: Mapping[str, Stored]) -> bytes:
    """Replace the initializers of an ONNX program by codes and standard operators.

    Parameters
    ----------
    data
        The program with float32 weights.
    tensors
        Tensors by their name in the model, each with its float32 values and its codes. An initializer is found by
        this name, or by its values, as they are or transposed.

    Raises
    ------
    UserError
        Where the program does not hold a rounded weight.
    """
    import onnx

    opset = max((stored.scheme.opset for stored in tensors.values()), default=0)
    model = _at_least(onnx.load_model_from_string(data), opset)
    graph = model.graph
    taken = {name for node in graph.node for name in (*node.input, *node.output)}
    taken |= {value.name for value in (*graph.initializer, *graph.input, *graph.output)}
    nodes, left = Nodes(taken), {value.name: onnx.numpy_helper.to_array(value) for value in graph.initializer}
    renamed: dict[str, str] = {}
    for name, stored in tensors.items():
        match = _initializer(left, name, stored.values)
        if match is None:
            if stored.scheme.name == "constant":  # nothing is lost where the program holds it otherwise
                continue
            raise UserError(f"the ONNX program does not hold the weight {name} by itself; take safetensors")
        key, transposed = match
        output = stored.scheme.onnx(nodes, stored.codes)
        renamed[key] = nodes.op("Transpose", output, perm=[1, 0]) if transposed else output
        del left[key]
    kept = [value for value in graph.initializer if value.name in left]
    for node in graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
    before = list(graph.node)
    del graph.initializer[:], graph.node[:], graph.value_info[:]
    graph.node.extend([*nodes.nodes, *before])
    graph.initializer.extend([*kept, *nodes.initializers])
    written: bytes = model.SerializeToString()
    return written


def _initializer(left: Mapping[str, np.ndarray], name: str, values: np.ndarray) -> tuple[str, bool] | None:
    """Find the initializer of a tensor: its name, and whether it is transposed."""
    if name in left and np.array_equal(left[name], values):
        return name, False
    for key, array in left.items():
        if np.array_equal(array, values):
            return key, False
        if values.ndim == 2 and np.array_equal(array, values.T):
            return key, True
    return None


def _at_least(model: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    """Convert a model to a version of ONNX's operators, where its own is older."""
    import onnx

    version = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    if version < opset:
        model = onnx.version_converter.convert_version(model, opset)
    model.ir_version = max(model.ir_version, onnx.helper.find_min_ir_version_for(list(model.opset_import)))
    return model
