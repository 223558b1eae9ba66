"""A finished file is read again as a stranger would read it, and scored on the run's stored examples.

`core.export.formats` compares a program with the model while it is made; here the bytes that are handed over are compared with
what was measured and stored.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from core.errors import RunError, UserError
from core.export.formats import FORMATS, small_state
from core.export.program import ROUNDING, TOLERANCE, example_inputs, run_onnx
from core.runs.polished import read_predictions

if TYPE_CHECKING:
    from core.runs.run import Run

HALF_A_SHADE = 0.51 / 255  # colours are stored as bytes


@dataclass(frozen=True, kw_only=True)
class Delivered:
    """What was found: how many of the file's numbers were compared, and on how many examples it was run."""

    numbers: int = 0
    examples: int = 0


def check(run: Run, width: int, format: str, data: bytes) -> Delivered:
    """Read `data`, the model at `width` as a file of `format`, again and compare it with what the run stores.

    Weights have to be the slice's, number for number; a program has to predict of each stored example what was stored
    when the width was measured. A width that was not measured has nothing to be compared with: 0 examples. Of a run
    `with_polished` at this width the polished model's weights and predictions count.
    Raises RunError for the first thing that differs, UserError for an unknown format.
    """
    if format not in FORMATS:
        raise UserError(f"format {format!r} is not known; choose one of {', '.join(FORMATS)}")
    if format == "safetensors":
        return Delivered(numbers=_weights(run, width, data))
    if format == "bundle":
        files = _unpacked(run, data)
        numbers = _weights(run, width, files["model.safetensors"])
        return Delivered(numbers=numbers, examples=_predictions(run, width, "ONNX", files["model.onnx"]))
    return Delivered(examples=_predictions(run, width, "ONNX" if format == "onnx" else "pt2", data))


def _weights(run: Run, width: int, data: bytes) -> int:
    """How many numbers the file holds, all of them those of the slice or of the polished model."""
    from safetensors.numpy import load

    found, wanted = load(data), small_state(run, run.widths_at(width))
    if found.keys() != wanted.keys() or not all(
        found[name].dtype == value.dtype and np.array_equal(found[name], value, equal_nan=value.dtype.kind == "f")
        for name, value in wanted.items()
    ):
        raise RunError(f"the weights read again from the file are not those of run {run.id}; make the file again")
    return sum(value.size for value in wanted.values())


def _unpacked(run: Run, data: bytes) -> dict[str, bytes]:
    """The zip's files, each with the checksum that the zip states."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    sums = dict(line.split("  ", 1)[::-1] for line in files["SHA256SUMS"].decode().splitlines())
    if {name: hashlib.sha256(part).hexdigest() for name, part in files.items() if name != "SHA256SUMS"} != sums:
        raise RunError(f"the zip of run {run.id} does not hold what its SHA256SUMS says; make the file again")
    return files


def _predictions(run: Run, width: int, kind: str, data: bytes) -> int:
    """On how many stored examples the program was run, on each with the stored prediction."""
    if run.polished_width == width:
        stored = read_predictions(run.path, run.record, width)
    else:
        try:
            stored = run.predicted(width)
        except (RunError, KeyError):
            return 0  # not measured at this width
    index, x = run.examples()["index"], example_inputs(run)
    if index.dtype.kind not in "iu" or index.min() < 0 or index.max() >= len(stored):
        raise RunError(f"the stored examples of run {run.id} are not of its test part; restore them from a copy")
    scores = run_onnx(data, x) if kind == "ONNX" else _run_pt2(data, x)
    wrong = int((~_same(run, scores, stored[index])).sum())
    if wrong:
        raise RunError(
            f"the {kind} program answers {wrong:,} of {len(x):,} stored examples otherwise than it was measured to; "
            "measure the run again, then make the file again"
        )
    return len(x)


def _same(run: Run, scores: np.ndarray, stored: np.ndarray) -> np.ndarray:
    """For each example, whether the scores, (n, outputs), give the stored prediction up to rounding: (n,) flags."""
    allowed = TOLERANCE * float(np.ptp(scores)) + ROUNDING * float(np.abs(scores).max())
    if run.task.classes:  # of two labels that score alike either may come first
        chosen = np.take_along_axis(scores, stored[:, None].astype(np.int64), 1)[:, 0]
        flags: np.ndarray = chosen >= scores.max(1) - allowed
        return flags
    found = np.clip(scores, 0, 1) if run.task.bounded else scores
    near: np.ndarray = np.abs(found - stored) <= allowed + (HALF_A_SHADE if run.task.bounded else 0)
    return np.asarray(near.all(1))


def _run_pt2(data: bytes, x: np.ndarray) -> np.ndarray:
    import torch

    program = torch.export.load(io.BytesIO(data)).module()
    with torch.inference_mode():
        result: np.ndarray = program(torch.from_numpy(x)).numpy()
    return result
