"""Precision: the weights of one size of a run stored with fewer bits. README.md has the figures; no torch on import.

quantized.py     one width of a run at a precision, rounded and measured: `quantized`, `evaluate_precision`
calibration.py   the layers of a module, rounded one after another on training examples (torch)
rounding.py      to the nearest level, or by second order; packing.py: codes in bytes
schemes/         what is stored for a weight, one file a scheme; base.py: what a scheme consists of
weights_file.py  safetensors files of codes, written and read: `read_weights`
onnx_weights.py  the weights of an ONNX program as codes, with onnx_nodes.py
"""

from core.precision.quantized import Measured, Quantized, evaluate_precision, quantized
from core.precision.schemes.registry import SCHEMES
from core.precision.weights_file import read_weights

__all__ = ["SCHEMES", "Measured", "Quantized", "evaluate_precision", "quantized", "read_weights"]
