"""A tensor of one value, stored as that value: nothing is rounded."""

from __future__ import annotations

import numpy as np

from core.precision.base import Codes, Scheme
from core.precision.onnx_nodes import Nodes


def quantize(weight: np.ndarray, moments: np.ndarray | None) -> Codes:
    """Return the tensor as it is; all its values are equal."""
    return Codes(codes=weight)


def pack(codes: np.ndarray) -> np.ndarray:
    """Return the bytes of one value, little-endian float32."""
    return np.frombuffer(codes.reshape(-1)[:1].astype("<f4").tobytes(), np.uint8)


def unpack(packed: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return the value in that shape, float32."""
    return np.full(shape, np.frombuffer(packed.tobytes(), "<f4")[0], np.float32)


def onnx(nodes: Nodes, stored: Codes) -> str:
    """Add the value and an Expand to the tensor's shape."""
    value = nodes.array(stored.codes.reshape(-1)[:1])
    return nodes.op("Expand", value, nodes.array(np.array(stored.codes.shape)))


SCHEME = Scheme(
    name="constant", bits=32, meaning="one value for all", quantize=quantize, pack=pack, unpack=unpack, onnx=onnx,
    opset=13,
)  # fmt: skip
