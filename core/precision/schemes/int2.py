"""2 bits: levels at -1.5, -0.5, 0.5 and 1.5 of a row's scale, rounded by second order."""

from __future__ import annotations

import numpy as np

from core.precision.base import Codes, Scheme, by_row
from core.precision.onnx_nodes import Nodes
from core.precision.packing import pack_fields, unpack_fields
from core.precision.rounding import Levels, round_second_order

LEVELS = Levels(-2, 1, 0.5)


def quantize(weight: np.ndarray, moments: np.ndarray | None) -> Codes:
    """Round by second order."""
    return round_second_order(weight, moments, LEVELS)


def pack(codes: np.ndarray) -> np.ndarray:
    """Pack four codes a byte."""
    return pack_fields(codes, 2)


def unpack(packed: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return codes of that shape, int8."""
    return unpack_fields(packed, shape, 2)


def onnx(nodes: Nodes, stored: Codes) -> str:
    """Add the codes as INT2, a DequantizeLinear, half a level, and the rows' scale."""
    assert stored.scale is not None
    codes = nodes.packed("INT2", pack(stored.codes), stored.codes.shape)
    whole = nodes.op("DequantizeLinear", codes, nodes.array(np.float32(1)))
    level = nodes.op("Add", whole, nodes.array(np.float32(LEVELS.offset)))
    return nodes.op("Mul", level, nodes.array(by_row(stored.scale, stored.codes.ndim)))


SCHEME = Scheme(
    name="int2", bits=2, meaning="4 levels a row", quantize=quantize, pack=pack, unpack=unpack, onnx=onnx, opset=25,
    offset=LEVELS.offset, calibrated=True,
)  # fmt: skip
