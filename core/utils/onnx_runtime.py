"""onnxruntime without telemetry: every import of it in this project goes through here."""

from __future__ import annotations

import os
from typing import Any

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # onnxruntime reads it once, when it is imported


def import_onnxruntime() -> Any:
    """Import onnxruntime and return the module."""
    import onnxruntime

    return onnxruntime
