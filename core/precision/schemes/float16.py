"""Half precision: 16-bit floating-point numbers."""

from __future__ import annotations

import numpy as np

from core.errors import UserError
from core.precision.base import Codes, Scheme
from core.precision.onnx_nodes import Nodes


def quantize(weight: np.ndarray, moments: np.ndarray | None) -> Codes:
    """Round to the nearest float16. Raises UserError for a weight beyond its range."""
    largest, limit = float(np.abs(weight).max(initial=0)), float(np.finfo(np.float16).max)
    if largest > limit:
        raise UserError(f"a weight is {largest:.4g} large and float16 reaches {limit:,.0f}; choose 8 bits")
    return Codes(codes=weight.astype(np.float16))


def pack(codes: np.ndarray) -> np.ndarray:
    """Return the numbers' bytes, little-endian."""
    return np.frombuffer(codes.astype("<f2").tobytes(), np.uint8)


def unpack(packed: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return float16 numbers of that shape."""
    return np.frombuffer(packed.tobytes(), "<f2").astype(np.float16).reshape(shape)


def onnx(nodes: Nodes, stored: Codes) -> str:
    """Add the numbers and a Cast."""
    from onnx import TensorProto

    return nodes.op("Cast", nodes.array(stored.codes), to=TensorProto.FLOAT)


SCHEME = Scheme(
    name="float16", bits=16, meaning="half precision", quantize=quantize, pack=pack, unpack=unpack, onnx=onnx, opset=13
)  # fmt: skip
