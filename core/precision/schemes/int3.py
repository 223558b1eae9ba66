"""3 bits: 8 levels, rounded by second order; bit planes, since ONNX has no such type."""

from __future__ import annotations

import numpy as np

from core.precision.base import Codes, Scheme, by_row
from core.precision.onnx_nodes import Nodes
from core.precision.packing import pack_planes, unpack_planes
from core.precision.rounding import Levels, round_second_order

LEVELS = Levels(-4, 3)


def quantize(weight: np.ndarray, moments: np.ndarray | None) -> Codes:
    """Round by second order."""
    return round_second_order(weight, moments, LEVELS)


def pack(codes: np.ndarray) -> np.ndarray:
    """Pack eight codes into three bytes, one for each bit."""
    return pack_planes(codes, 3)


def unpack(packed: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return codes of that shape, int8."""
    return unpack_planes(packed, shape, 3)


def onnx(nodes: Nodes, stored: Codes) -> str:
    """Add the planes, nodes that take their bits apart and sum them by place value, and the rows' scale."""
    from onnx import TensorProto

    assert stored.scale is not None
    planes = nodes.array(pack(stored.codes).reshape(-1, 1, 3))
    shifted = nodes.op("BitShift", planes, nodes.array(np.arange(8, dtype=np.uint8)[:, None]), direction="RIGHT")
    bits = nodes.op("Cast", nodes.op("BitwiseAnd", shifted, nodes.array(np.uint8(1))), to=TensorProto.FLOAT)
    codes = nodes.op("MatMul", bits, nodes.array(np.array([1, 2, -4], np.float32)))  # two's complement
    if stored.codes.size % 8:
        flat = nodes.op("Reshape", codes, nodes.array(np.array([-1])))
        ends = (nodes.array(np.array([end])) for end in (0, stored.codes.size))
        codes = nodes.op("Slice", flat, *ends)
    shaped = nodes.op("Reshape", codes, nodes.array(np.array(stored.codes.shape)))
    return nodes.op("Mul", shaped, nodes.array(by_row(stored.scale, stored.codes.ndim)))


SCHEME = Scheme(
    name="int3", bits=3, meaning="8 levels a row", quantize=quantize, pack=pack, unpack=unpack, onnx=onnx, opset=18,
    calibrated=True,
)  # fmt: skip
