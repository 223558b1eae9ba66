"""Ways to store a weight, one file each: how it is rounded, packed, unpacked and written in ONNX.

registry.py   SCHEMES: the table of them by bits; STORED: those that a file's header may name
float16.py, int8.py, int4.py, int3.py, int2.py
constant.py   a tensor of one value, stored as that value at any precision
"""

from core.precision.schemes.registry import SCHEMES, STORED, scheme

__all__ = ["SCHEMES", "STORED", "scheme"]
