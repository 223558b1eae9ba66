"""Building blocks of ONNX graphs that are written node by node, for models whose export should not need torch.

Sizes come from the weights, so one function serves every width.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

OPSET, IR = 17, 8  # of 2022, which every runtime in use reads
EPSILON = 1e-5  # of normalisations, PyTorch's own
INPUT, OUTPUT = "input", "scores"  # as in the files of torch's exporter


class Graph:
    """An ONNX graph under construction: nodes in order, values by name, and the arrays that the nodes use."""

    def __init__(self, state: Mapping[str, np.ndarray]) -> None:
        self.state, self.arrays = state, dict[str, np.ndarray]()
        self.nodes: list[Any] = []

    def op(self, kind: str, *inputs: str | np.ndarray, **attributes: Any) -> str:
        """Add a node and return the name of its output.

        Parameters
        ----------
        kind
            ONNX operator.
        inputs
            Each the name of another node's output, the name of a tensor of the model, or a constant array.
        attributes
            Attributes of the operator.
        """
        from onnx import helper

        names = [self._named(value) for value in inputs]
        output = f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, names, [output], **attributes))
        return output

    def _named(self, value: str | np.ndarray) -> str:
        if isinstance(value, np.ndarray):
            name = f"constant_{len(self.arrays)}"
            self.arrays[name] = value
            return name
        if value in self.state:
            self.arrays[value] = self.state[value]
        return value

    def shape(self, x: str, *sizes: int) -> str:
        """Add a reshape; one size may be -1 (inferred), and 0 keeps an axis as it is."""
        return self.op("Reshape", x, np.array(sizes, np.int64))

    def part(self, x: str, axis: int, start: int, end: int) -> str:
        """Add the slice `x[..., start:end]` along an axis."""
        return self.op("Slice", x, *(np.array([n], np.int64) for n in (start, end, axis)))

    def largest(self, x: str, axis: int) -> str:
        """Add the maximum over an axis, which is removed."""
        return self.op("ReduceMax", x, axes=[axis], keepdims=0)

    def linear(self, x: str, name: str) -> str:
        """Add the linear layer `name` over the last axis."""
        transposed = np.ascontiguousarray(self.state[f"{name}.weight"].T)
        return self.op("Add", self.op("MatMul", x, transposed), f"{name}.bias")

    def scaled(self, x: str, name: str) -> str:
        """Add `x * scale + shift` with the tensors of `name`."""
        return self.op("Add", self.op("Mul", x, f"{name}.scale"), f"{name}.shift")

    def layer_norm(self, x: str, name: str) -> str:
        """Add layer normalisation over the last axis."""
        return self.op("LayerNormalization", x, f"{name}.weight", f"{name}.bias", axis=-1, epsilon=EPSILON)

    def batch_norm(self, x: str, name: str) -> str:
        """Add batch normalisation with the running statistics among the weights."""
        kept = (f"{name}.{part}" for part in ("weight", "bias", "running_mean", "running_var"))
        return self.op("BatchNormalization", x, *kept, epsilon=EPSILON)

    def conv(self, x: str, name: str, stride: int = 1, pad: int = 0) -> str:
        """Add a convolution in two dimensions, with a bias where the model has one."""
        bias = [f"{name}.bias"] if f"{name}.bias" in self.state else []
        return self.op("Conv", x, f"{name}.weight", *bias, strides=[stride] * 2, pads=[pad] * 4)

    def finished(self, output: str, shape: tuple[int | None, ...], outputs: int) -> bytes:
        """Return the program as bytes: raw inputs (batch, *shape) to scores (batch, outputs).

        Parameters
        ----------
        output
            Name of the value that is the model's output.
        shape
            Shape of one example; None for an axis of any length.
        outputs
            Number of scores of an example.
        """
        from onnx import TensorProto, helper, numpy_helper

        self.nodes.append(helper.make_node("Identity", [output], [OUTPUT]))
        raw = helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["batch", *shape])
        scores = helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["batch", outputs])
        arrays = [numpy_helper.from_array(np.asarray(value, order="C"), name) for name, value in self.arrays.items()]
        graph = helper.make_graph(self.nodes, "model", [raw], [scores], arrays)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR)
        data: bytes = model.SerializeToString()
        return data


def sequence_layers(g: Graph, prefix: str) -> list[int]:
    """Return the positions of a `Sequential`'s modules that have a weight."""
    parts = (name.removeprefix(prefix).split(".") for name in g.state if name.startswith(prefix))
    return sorted(int(part[0]) for part in parts if len(part) == 2 and part[1] == "weight" and part[0].isdecimal())


def relu_stack(g: Graph, x: str, prefix: str, *, last: bool = False) -> str:
    """Add the linear layers of a `Sequential` with a ReLU between, and behind the last one if `last`."""
    layers = sequence_layers(g, prefix)
    for layer in layers:
        x = g.linear(x, f"{prefix}{layer}")
        x = g.op("Relu", x) if last or layer != layers[-1] else x
    return x
