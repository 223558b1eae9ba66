"""Safetensors files of packed codes, and back to float32. NumPy and safetensors only.

A stored tensor `w` becomes `w:codes`, bytes, and `w:scale`, one factor a row, where it has one. The header's metadata
holds as JSON each tensor's scheme and shape.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

import numpy as np

from core.errors import RunError
from core.precision.base import Codes, Stored
from core.precision.schemes.registry import STORED
from core.utils.formatting import printable

METADATA = "precision"
MOST_NUMBERS = 2**28  # of a tensor of one value, whose size no bytes bound


def write_weights(stored: Mapping[str, Stored], plain: Mapping[str, np.ndarray], bits: int) -> bytes:
    """Write a model's tensors.

    Parameters
    ----------
    stored, plain
        Tensors that are stored by a scheme, and the others, by name.
    bits
        Bits of a rounded weight.
    """
    from safetensors.numpy import save

    arrays, schemes = {name: np.asarray(value, order="C") for name, value in plain.items()}, {}
    for name, tensor in stored.items():
        schemes[name] = {"scheme": tensor.scheme.name, "shape": list(tensor.values.shape)}
        arrays[f"{name}:codes"] = tensor.scheme.pack(tensor.codes.codes)
        if tensor.codes.scale is not None:
            arrays[f"{name}:scale"] = tensor.codes.scale
    note = {"bits": bits, "tensors": schemes}
    data: bytes = save(arrays, {METADATA: json.dumps(note, separators=(",", ":"))})
    return data


def read_weights(data: bytes) -> dict[str, np.ndarray]:
    """Return every tensor of a file as float32 or as it is, by name; also of a file without codes.

    Raises RunError for bytes that are no such file.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        arrays = load(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        note = json.loads(header.get("__metadata__", {}).get(METADATA, '{"tensors":{}}'))
        for name, entry in note["tensors"].items():
            kind, shape = STORED[entry["scheme"]], tuple(entry["shape"])
            packed, scale = arrays.pop(f"{name}:codes"), arrays.pop(f"{name}:scale", None)
            if not all(type(size) is int and size >= 0 for size in shape) or len(shape) > 8:
                raise ValueError(f"the shape {shape}")
            if kind.name != "constant" and math.prod(shape) * kind.bits > 8 * packed.size:
                raise ValueError(f"the shape {shape} for {packed.size} bytes")
            if kind.name == "constant" and math.prod(shape) > MOST_NUMBERS:
                raise ValueError(f"the shape {shape}")
            if scale is not None and scale.shape != shape[:1]:
                raise ValueError(f"scales of shape {scale.shape}")
            arrays[name] = kind.dequantize(Codes(codes=kind.unpack(packed, shape), scale=scale))
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
        problem = f"the bytes are no weights of a rounded model ({printable(str(error))[:100]})"
        raise RunError(f"{problem}; make the file again") from error
    return arrays
