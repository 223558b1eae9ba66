"""The bundle: a zip with the small model in two formats, its description, and scripts that load it."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from typing import TYPE_CHECKING, Any

from core.errors import RunError
from core.export.base import Format, Verified, Widths
from core.export.model_card import batch_shape, model_card, output_meaning
from core.export.onnx import onnx_bytes
from core.export.program import run_onnx
from core.export.safetensors import safetensors_bytes
from core.export.verify import verify_program, verify_weights
from core.models.source_text import source
from core.runs.file_names import METRICS
from core.runs.polished import read_rows
from core.runs.run import Run
from core.utils.jsonable import jsonable

if TYPE_CHECKING:
    from core.elastic.family import Family

EPOCH = (1980, 1, 1, 0, 0, 0)  # of every member: the same model gives the same zip, byte for byte


def bundle_bytes(run: Run, widths: Widths, family: Family | None = None) -> bytes:
    """Make the zip (`Format.make`). Raises what `onnx_bytes` and `safetensors_bytes` raise."""
    row = metrics_at(run, widths)
    files: dict[str, bytes] = {
        "model.safetensors": safetensors_bytes(run, widths),
        "model.onnx": onnx_bytes(run, widths, family),
        "config.json": _json(config(run, widths)),
        "metrics.json": _json(row),
        "model_card.md": model_card(run, widths, row).encode(),
        "load.py": load_script(run, widths).encode(),
        "load_onnx.py": LOAD_ONNX.format(**_predict_parts(run)).encode(),
    }
    sums = "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in files.items())
    files["SHA256SUMS"] = sums.encode()
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            info = zipfile.ZipInfo(name, EPOCH)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o644 << 16
            info.create_system = 3  # Unix, also where it is made on Windows
            archive.writestr(info, data)
    return out.getvalue()


def verify(run: Run, width: int, data: bytes) -> Verified:
    """Check the zip's checksums, its weights and its ONNX program. Raises RunError for the first difference."""
    files = _unpacked(run, data)
    numbers = verify_weights(run, width, files["model.safetensors"])
    examples = verify_program(run, width, "ONNX", lambda x: run_onnx(files["model.onnx"], x))
    return Verified(numbers=numbers, examples=examples)


def _unpacked(run: Run, data: bytes) -> dict[str, bytes]:
    """Return the zip's files by name. Raises RunError where one does not have the checksum stated in the zip."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    sums = dict(line.split("  ", 1)[::-1] for line in files["SHA256SUMS"].decode().splitlines())
    if {name: hashlib.sha256(part).hexdigest() for name, part in files.items() if name != "SHA256SUMS"} != sums:
        raise RunError(f"the zip of run {run.id} does not match its SHA256SUMS; make the file again")
    return files


def config(run: Run, widths: Widths) -> dict[str, Any]:
    """Return config.json: the labels of classes or predicted numbers, the input format, the widths."""
    record = run.record
    return {
        "run": run.id,
        "task": record.task,
        "model": record.family,
        "widths": dict(widths),
        "full_widths": run.layout.full,
        "input": record.input.to_json(),
        "input_dtype": "float32, the values as the data has them: what normalising there is, the model does",
        "output": output_meaning(run),
        "labels": list(record.labels),
        "weights_sha256": record.weights_sha256,
        **({"polished": True} if run.polished_width is not None else {}),
    }


def metrics_at(run: Run, widths: Widths) -> dict[str, Any]:
    """Return metrics.json: the row of metrics at these widths; only size and parameters where none was measured.

    Raises RunError where the table of metrics lacks a column.
    """
    size: dict[str, Any] = {"params": run.layout.params(widths), "bytes": run.layout.file_bytes(widths)}
    if run.polished_width is not None:
        return {**jsonable(read_rows(run.path, run.record)[run.polished_width]), **size}
    if not run.has_metrics:
        return size
    rows = run.metrics()
    for name, value in widths.items():
        if f"width_{name}" not in rows:
            raise RunError(f"{METRICS} lacks width_{name}; make it again with: python -m core sweep {run.path}")
        rows = rows[rows[f"width_{name}"] == value]
    return size if rows.empty else {**jsonable(rows.iloc[0].to_dict()), **size}


def load_script(run: Run, widths: Widths) -> str:
    """Return load.py, which needs torch and safetensors alone."""
    model = source(run.record.family.get("name"), run.record.family.get("settings", {}), widths)
    if model is None:
        return LOAD_OWN
    imports = sorted({*model.imports, "import torch", "from safetensors.torch import load_file"}, key=_import_order)
    return LOAD_TORCH.format(imports="\n".join(imports), model=model.text, call=model.call, **_predict_parts(run))


def _predict_parts(run: Run) -> dict[str, str]:
    """Return the parts of `predict` that depend on the task: its description and its return expressions."""
    shape = batch_shape(run)
    if run.task.classes:
        return {
            "what": f"Labels of a batch of raw inputs, shape {shape}",
            "torch_answer": "[labels[k] for k in output.argmax(1).tolist()]",
            "onnx_answer": "[labels[k] for k in output.argmax(1)]",
        }
    what = f"Numbers (n, {len(run.record.labels)}) in the order of `labels`"
    what += ", from 0 to 1" if run.task.bounded else ""
    clip = ".clip(0, 1)" if run.task.bounded else ""
    return {
        "what": f"{what}, of a batch of raw inputs, shape {shape}",
        "torch_answer": f"output{clip}.numpy()",
        "onnx_answer": f"output{clip}",
    }


def _import_order(line: str) -> tuple[bool, str]:
    """Sort key: modules first, then names from modules."""
    return line.startswith("from "), line


def _json(data: Any) -> bytes:
    """Encode as strict JSON in UTF-8."""
    text = json.dumps(jsonable(data), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    return text.encode(errors="backslashreplace")  # half a surrogate pair has no bytes; JSON's own escape does


LOAD_TORCH = '''"""The model in plain PyTorch; needs torch and safetensors. Use it as:  from load import predict"""

import json
from pathlib import Path

{imports}


{model}


folder = Path(__file__).parent
labels = json.loads((folder / "config.json").read_text(encoding="utf-8"))["labels"]
model = {call}
model.load_state_dict(load_file(folder / "model.safetensors"), strict=True)
model.eval()


def predict(x):
    """{what}; config.json describes them."""
    with torch.inference_mode():
        output = model(torch.as_tensor(x, dtype=torch.float32))
    return {torch_answer}
'''

LOAD_OWN = '''"""Needs torch, safetensors and your own factory. Use it as:  from load import load"""

import json
from pathlib import Path

from safetensors.torch import load_file

folder = Path(__file__).parent
config = json.loads((folder / "config.json").read_text(encoding="utf-8"))


def load(build):
    """The trained small model; `build` is the factory that the family was made from."""
    model = build(**config["widths"])
    model.load_state_dict(load_file(folder / "model.safetensors"), strict=True)
    return model.eval()
'''

LOAD_ONNX = '''"""The model as ONNX; needs onnxruntime and NumPy. Use it as:  from load_onnx import predict"""

import json
import os
from pathlib import Path

import numpy as np

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # onnxruntime reads it once, when it is imported
import onnxruntime

folder = Path(__file__).parent
labels = json.loads((folder / "config.json").read_text(encoding="utf-8"))["labels"]
session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])


def predict(x):
    """{what}; config.json describes them."""
    output = session.run(None, {{"input": np.asarray(x, np.float32)}})[0]
    return {onnx_answer}
'''

FORMAT = Format(
    name="bundle",
    suffix=".zip",
    label="Everything in one zip",
    meaning="Two formats, a description, the labels and scripts that load the model; take this if unsure.",
    holds_program=True,
    make=bundle_bytes,
    verify=verify,
    size=lambda weights, tensors: 1.88 * weights + 4e3,  # weights twice, which hardly shrink, and texts
    roughly="at most about",
    usage="from load import predict   # or: from load_onnx import predict\n\nprint(predict(inputs))",
)
