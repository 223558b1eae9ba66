"""The bundle: a zip with the small model in two formats and all that a stranger needs to use it."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from core.card import model_card
from core.export_graph import onnx_bytes
from core.models import source_lines
from core.runs import Run

if TYPE_CHECKING:
    from core.family import Family

EPOCH = (1980, 1, 1, 0, 0, 0)  # the same model gives the same zip, byte for byte


def bundle_bytes(run: Run, widths: Mapping[str, int], family: Family | None = None) -> bytes:
    """The zip's bytes. Raises what making its parts raises."""
    from core.export import _safetensors

    row = metrics_at(run, widths)
    files: dict[str, bytes] = {
        "model.safetensors": _safetensors(run, widths),
        "model.onnx": onnx_bytes(run, widths, family),
        "config.json": _json(config(run, widths)),
        "metrics.json": _json(row),
        "model_card.md": model_card(run, widths, row).encode(),
        "load.py": load_script(run, widths).encode(),
        "load_onnx.py": LOAD_ONNX.encode(),
    }
    sums = "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in files.items())
    files["SHA256SUMS"] = sums.encode()
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            info = zipfile.ZipInfo(name, EPOCH)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o644 << 16
            archive.writestr(info, data)
    return out.getvalue()


def config(run: Run, widths: Mapping[str, int]) -> dict[str, Any]:
    """What a program needs to know: labels, input format, widths."""
    record = run.record
    return {
        "run": run.id,
        "task": record.task,
        "model": record.family,
        "widths": dict(widths),
        "full_widths": run.layout.full,
        "input": record.input.to_json(),
        "input_dtype": "float32, raw values: the model normalises them itself",
        "output": "one score for each label; the highest is the prediction",
        "labels": list(record.labels),
        "weights_sha256": record.weights_sha256,
    }


def metrics_at(run: Run, widths: Mapping[str, int]) -> dict[str, Any]:
    """The measured figures at these widths as plain data; where nothing was measured, what the layout tells."""
    known: dict[str, Any] = {"params": run.layout.params(widths), "bytes": run.layout.file_bytes(widths)}
    if not run.has_metrics:
        return known
    frame = run.metrics()
    for name, size in widths.items():
        frame = frame[frame[f"width_{name}"] == size]
    if frame.empty:
        return known
    row = {key: value.tolist() if hasattr(value, "tolist") else value for key, value in frame.iloc[0].items()}
    # JSON has no NaN: a class without a test example has no figure
    row["per_class_accuracy"] = [None if value != value else value for value in row.get("per_class_accuracy", [])]
    return {str(key): value for key, value in row.items()}


def load_script(run: Run, widths: Mapping[str, int]) -> str:
    """A script that loads the weights with torch and safetensors alone."""
    source = source_lines(str(run.record.family.get("name")), run.record.family.get("settings", {}), widths)
    if source is None:
        arguments = ", ".join(f"{name}={size}" for name, size in widths.items())
        return LOAD_OWN.format(arguments=arguments)
    text, call = source
    return LOAD_TORCH.format(source=text.rstrip(), call=call)


def _json(data: Any) -> bytes:
    return (json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


LOAD_TORCH = '''{source}


# Needs torch and safetensors. Use it as:  from load import predict
import json  # noqa: E402
from pathlib import Path  # noqa: E402

from safetensors.torch import load_file  # noqa: E402

folder = Path(__file__).parent
labels = json.loads((folder / "config.json").read_text(encoding="utf-8"))["labels"]
model = {call}
model.load_state_dict(load_file(folder / "model.safetensors"), strict=True)
model.eval()


def predict(x):
    """Labels of raw inputs; config.json tells their shape and range."""
    with torch.inference_mode():
        return [labels[k] for k in model(torch.as_tensor(x, dtype=torch.float32)).argmax(1).tolist()]
'''

LOAD_OWN = '''"""Needs torch, safetensors and your own factory: from load import load; model = load(build)."""

from pathlib import Path

from safetensors.torch import load_file


def load(build):
    """The trained small model; `build` is the factory that the family was made from."""
    model = build({arguments})
    model.load_state_dict(load_file(Path(__file__).parent / "model.safetensors"), strict=True)
    return model.eval()
'''

LOAD_ONNX = '''"""Needs onnxruntime and NumPy. Use it as:  from load_onnx import predict"""

import json
from pathlib import Path

import numpy as np
import onnxruntime

folder = Path(__file__).parent
labels = json.loads((folder / "config.json").read_text(encoding="utf-8"))["labels"]
session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])


def predict(x):
    """Labels of raw inputs; config.json tells their shape and range."""
    scores = session.run(None, {"input": np.asarray(x, np.float32)})[0]
    return [labels[k] for k in scores.argmax(1)]
'''
