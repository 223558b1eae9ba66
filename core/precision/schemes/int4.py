"""4 bits: 16 levels, rounded by second order."""

from __future__ import annotations

import numpy as np

from core.precision.base import Codes, Scheme
from core.precision.onnx_nodes import Nodes
from core.precision.packing import pack_fields, unpack_fields
from core.precision.rounding import Levels, round_second_order

LEVELS = Levels(-8, 7)


def quantize(weight: np.ndarray, moments: np.ndarray | None) -> Codes:
    """Round by second order."""
    return round_second_order(weight, moments, LEVELS)


def pack(codes: np.ndarray) -> np.ndarray:
    """Pack two codes a byte."""
    return pack_fields(codes, 4)


def unpack(packed: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return codes of that shape, int8."""
    return unpack_fields(packed, shape, 4)


def onnx(nodes: Nodes, stored: Codes) -> str:
    """Add the codes as INT4 and a DequantizeLinear along the rows."""
    assert stored.scale is not None
    codes = nodes.packed("INT4", pack(stored.codes), stored.codes.shape)
    return nodes.op("DequantizeLinear", codes, nodes.array(stored.scale), axis=0)


SCHEME = Scheme(
    name="int4", bits=4, meaning="16 levels a row", quantize=quantize, pack=pack, unpack=unpack, onnx=onnx, opset=21,
    calibrated=True,
)  # fmt: skip
