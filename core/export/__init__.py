"""Export: one size of a run as a file that others can use, compared with the run before it is handed over.

formats.py       export, verify_export, and FORMATS: the table of formats
base.py          Format: what a format consists of
weights.py       the weights of one size; program.py: that size as a program in memory
safetensors.py, onnx.py (with onnx_builder.py, without torch), pt2.py, bundle.py (with model_card.py): the formats
precise.py       safetensors and ONNX with rounded weights
verify.py        comparisons of a finished file with the run
"""

from core.export.base import Format, Verified
from core.export.formats import FORMATS, Exported, export, file_name, size_before, verify_export

__all__ = ["FORMATS", "Exported", "Format", "Verified", "export", "file_name", "size_before", "verify_export"]
