"""Codes of 2, 3 and 4 bits in bytes, and back. NumPy only.

Codes are signed, as two's complement. With 2 and 4 bits the first code lies in a byte's lowest bits, which is ONNX's
own order; with 3 bits eight codes share three bytes, one for each bit.
"""

from __future__ import annotations

import math

import numpy as np


def pack_fields(codes: np.ndarray, bits: int) -> np.ndarray:
    """Pack codes of 2 or 4 bits, of any shape, into bytes, (n,) uint8; the last byte is filled up with zeros."""
    each = 8 // bits
    flat = np.zeros(-(-codes.size // each) * each, np.uint8)
    flat[: codes.size] = codes.reshape(-1).astype(np.int8).view(np.uint8) & (2**bits - 1)
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    packed: np.ndarray = np.bitwise_or.reduce(flat.reshape(-1, each) << shifts, axis=1).astype(np.uint8)
    return packed


def unpack_fields(packed: np.ndarray, shape: tuple[int, ...], bits: int) -> np.ndarray:
    """Return codes of 2 or 4 bits, int8 of that shape, from bytes that `pack_fields` made."""
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    fields = (packed[:, None] >> shifts) & np.uint8(2**bits - 1)
    return _signed(fields.reshape(-1)[: math.prod(shape)], bits).reshape(shape)


def pack_planes(codes: np.ndarray, bits: int) -> np.ndarray:
    """Pack codes of any shape: for each eight codes one byte a bit, lowest bit first, (8-packs * bits,) uint8."""
    flat = codes.reshape(-1).astype(np.int8).view(np.uint8)
    planes = [np.packbits((flat >> bit) & 1, bitorder="little") for bit in range(bits)]
    return np.stack(planes, axis=1).reshape(-1)


def unpack_planes(packed: np.ndarray, shape: tuple[int, ...], bits: int) -> np.ndarray:
    """Return codes, int8 of that shape, from bytes that `pack_planes` made."""
    planes = packed.reshape(-1, bits)
    flat = np.zeros(len(planes) * 8, np.uint8)
    for bit in range(bits):
        flat |= np.unpackbits(np.ascontiguousarray(planes[:, bit]), bitorder="little") << np.uint8(bit)
    return _signed(flat[: math.prod(shape)], bits).reshape(shape)


def _signed(fields: np.ndarray, bits: int) -> np.ndarray:
    """Read the low bits of unsigned bytes as two's complement."""
    half = 2 ** (bits - 1)
    signed: np.ndarray = ((fields ^ half).astype(np.int16) - half).astype(np.int8)
    return signed
