"""Nodes and arrays that a scheme adds to an ONNX graph."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np


class Nodes:
    """Nodes and arrays that are added to a graph, under names that it does not use; equal arrays are stored once."""

    def __init__(self, taken: set[str]) -> None:
        free = (f"q{k}" for k in itertools.count())
        self._names = (name for name in free if name not in taken)
        self._arrays: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add a node and return the name of its output."""
        from onnx import helper

        output = next(self._names)
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def array(self, value: np.ndarray | np.generic) -> str:
        """Add an array and return its name."""
        from onnx import helper

        value = np.asarray(value)
        kind = helper.np_dtype_to_tensor_dtype(value.dtype)
        return self._stored(kind, value.shape, value.tobytes())

    def packed(self, kind: str, data: np.ndarray, shape: tuple[int, ...]) -> str:
        """Add an array of a type below a byte, such as INT4, from its packed bytes."""
        from onnx import TensorProto

        return self._stored(getattr(TensorProto, kind), shape, data.tobytes())

    def _stored(self, kind: int, shape: tuple[int, ...], data: bytes) -> str:
        from onnx import helper

        key = (str(kind), shape, data)
        if key not in self._arrays:
            self._arrays[key] = next(self._names)
            self.initializers.append(helper.make_tensor(self._arrays[key], kind, shape, data, raw=True))
        return self._arrays[key]
