"""8 bits: rounded to the nearest of 255 levels."""

from __future__ import annotations

import numpy as np

from core.precision.base import Codes, Scheme
from core.precision.onnx_nodes import Nodes
from core.precision.rounding import Levels, round_nearest

LEVELS = Levels(-127, 127)


def quantize(weight: np.ndarray, moments: np.ndarray | None) -> Codes:
    """Round to the nearest level; so close to the weights that calibration gains nothing."""
    return round_nearest(weight, LEVELS)


def pack(codes: np.ndarray) -> np.ndarray:
    """Return the codes' bytes."""
    return codes.astype(np.int8).reshape(-1).view(np.uint8)


def unpack(packed: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return codes of that shape, int8."""
    return packed.view(np.int8).reshape(shape)


def onnx(nodes: Nodes, stored: Codes) -> str:
    """Add the codes and a DequantizeLinear along the rows."""
    assert stored.scale is not None
    return nodes.op("DequantizeLinear", nodes.array(stored.codes), nodes.array(stored.scale), axis=0)


SCHEME = Scheme(
    name="int8", bits=8, meaning="255 levels a row", quantize=quantize, pack=pack, unpack=unpack, onnx=onnx, opset=13
)  # fmt: skip
