"""Export one size of a run as a file of any format, and check such a file.

To add a format: a file here with a `Format`, and its line in `FORMATS` (README.md in this folder).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.errors import RunError, UserError
from core.export import bundle, onnx, precise, pt2, safetensors
from core.export.base import Format, Verified, Widths
from core.export.weights import is_polished, on_the_sweep
from core.utils.formatting import printable

if TYPE_CHECKING:
    from core.data.dataset import Dataset
    from core.elastic.family import Family
    from core.runs.run import Run

FORMATS: dict[str, Format] = {
    f.name: f for f in (bundle.FORMAT, safetensors.FORMAT, onnx.FORMAT, pt2.FORMAT)
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Exported:
    """A finished file."""

    name: str
    data: bytes
    sha256: str


def export(
    run: Run,
    width: int | Widths,
    format: str = "safetensors",
    *,
    family: Family | None = None,
    polished: bool = False,
    bits: int | None = None,
    data: Dataset | tuple[Any, Any] | None = None,
) -> Exported:
    """Export the model at `width`; a file that holds a program is first run and compared with the model in memory.

    Parameters
    ----------
    run
        The run.
    width
        Width of the sweep, or the size of each named width.
    format
        Name in `FORMATS`.
    family
        The run's family, needed for a factory of one's own; never for safetensors.
    polished
        Whether to take the polished model of that width in place of the slice.
    bits
        Bits of a weight, 16, 8, 4, 3 or 2, for safetensors and onnx; float32 without.
    data
        The run's data, needed only with `bits` and for data of one's own: weights are rounded on training examples.

    Raises
    ------
    UserError
        For an unknown format, a width out of range, or a model that can't be exported in this format.
    RunError
        Where the run is damaged, or the file does not agree with the model.
    """
    kind = format_named(format)
    widths = run.layout.check_widths(width) if isinstance(width, Mapping) else run.widths_at(width)
    if polished:
        run = run.with_polished(on_the_sweep(run, widths))
    if bits is None:
        made = kind.make(run, widths, family or run.family)
    else:
        made = precise.precise_bytes(run, widths, format, bits, family, data)
    return Exported(name=file_name(run, widths, format, bits), data=made, sha256=hashlib.sha256(made).hexdigest())


def verify_export(run: Run, width: int, format: str, data: bytes) -> Verified:
    """Compare the bytes of an exported file with what the run stores, by the format's own check.

    Weights have to equal the slice's, number for number; a program has to give each stored example the prediction
    stored when the width was measured.

    Parameters
    ----------
    run
        The run; `with_polished` at this width its polished model counts.
    width
        Width of the sweep.
    format
        Name in `FORMATS`.
    data
        Bytes of the file.

    Raises
    ------
    RunError
        For bytes that can't be read, or the first difference.
    UserError
        For an unknown format.
    """
    kind = format_named(format)
    try:
        return kind.verify(run, width, data)
    except (UserError, ImportError, MemoryError):
        raise
    except Exception as error:  # zipfile's, safetensors', onnxruntime's and torch's own kinds
        problem = f"the bytes are no {format} file that can be read ({printable(str(error))[:100]})"
        raise RunError(f"{problem}; make the file of run {run.id} again") from error


def format_named(name: str) -> Format:
    """Return a format. Raises UserError for a name that is not in `FORMATS`."""
    if name not in FORMATS:
        raise UserError(f"format {name!r} is not known; choose one of {', '.join(FORMATS)}")
    return FORMATS[name]


def size_before(run: Run, widths: Widths, format: str) -> tuple[int, str]:
    """Return the file's bytes before it is made, and the words before them: none where exact, or `about`."""
    kind = FORMATS[format]
    return round(kind.size(run.layout.file_bytes(widths), len(run.layout.tensors))), kind.roughly


def file_name(run: Run, widths: Widths, format: str, bits: int | None = None) -> str:
    """Return the name of the file, such as `digits-w16.onnx`, or `digits-w16-4bit.onnx` with rounded weights."""
    sizes = sorted(set(widths.values()))
    label = str(sizes[0]) if len(sizes) == 1 else "x".join(str(size) for size in widths.values())
    suffix = "-polished" if is_polished(run, widths) else ""
    suffix += "" if bits is None else f"-{bits}bit"
    return f"{run.id}-w{label}{suffix}{FORMATS[format].suffix}"
