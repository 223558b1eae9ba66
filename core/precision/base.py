"""The parts of a scheme (`Scheme`), and a tensor stored by one (`Codes`). NumPy only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from core.precision.onnx_nodes import Nodes


@dataclass(frozen=True, kw_only=True)
class Codes:
    """A tensor as the numbers that a scheme stores.

    `codes` has the tensor's shape; `scale`, (rows,) float32, is one factor for each entry of its first axis, or None.
    """

    codes: np.ndarray
    scale: np.ndarray | None = None


Quantize = Callable[[np.ndarray, np.ndarray | None], Codes]


@dataclass(frozen=True, kw_only=True)
class Scheme:
    """A way to store a weight with fewer bits.

    Parameters
    ----------
    name, bits
        Name in a file's header, and bits of one stored number.
    meaning
        One plain phrase.
    quantize
        Function from a weight (rows, ...) float32 and the second moments of its inputs (groups, columns, columns), or
        None where they are not known, to its codes.
    pack
        Function from codes of any shape to bytes, (n,) uint8.
    unpack
        Function from these bytes and the shape to the codes.
    onnx
        Function that adds nodes to a graph that compute the tensor, and returns the name of their output.
    opset
        Version of ONNX's operators in which these nodes exist.
    offset
        Number added to a code before it is multiplied by its row's scale.
    calibrated
        Whether `quantize` uses the second moments.
    """

    name: str
    bits: int
    meaning: str
    quantize: Quantize
    pack: Callable[[np.ndarray], np.ndarray]
    unpack: Callable[[np.ndarray, tuple[int, ...]], np.ndarray]
    onnx: Callable[[Nodes, Codes], str]
    opset: int
    offset: float = 0.0
    calibrated: bool = False

    def dequantize(self, stored: Codes) -> np.ndarray:
        """Return the tensor that codes stand for, float32: `(code + offset) * scale` of its row."""
        values: np.ndarray = stored.codes.astype(np.float32)
        if self.offset:
            values += np.float32(self.offset)
        if stored.scale is not None:
            values *= by_row(stored.scale, values.ndim)
        return values


@dataclass(frozen=True, kw_only=True)
class Stored:
    """A tensor of a model, stored by a scheme: its float32 values before, and its codes."""

    scheme: Scheme
    values: np.ndarray
    codes: Codes

    @property
    def restored(self) -> np.ndarray:
        """The tensor that the codes stand for, float32."""
        return self.scheme.dequantize(self.codes)


def by_row(scale: np.ndarray, dimensions: int) -> np.ndarray:
    """Return one factor a row, (rows,), as (rows, 1, ...) with that many dimensions."""
    return scale.reshape(-1, *(1,) * (dimensions - 1))
