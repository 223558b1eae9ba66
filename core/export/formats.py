"""A run and a width become a file: safetensors, ONNX, .pt2, or a bundle with all that a stranger needs.

Every file holds the plain small model: the slice with the recipe's scale folded in. Cutting the safetensors file
needs no torch, nor do ONNX and the bundle at a measured size of the registry's models; where it is needed it is
imported inside the functions. To add a format: a function from `(run, widths)` to bytes, and its line in `FORMATS`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from core.errors import UserError
from core.runs.run import Run

if TYPE_CHECKING:
    from core.elastic.family import Family

Widths = Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class Format:
    """A kind of file that a width can leave the run as."""

    name: str
    suffix: str
    label: str
    meaning: str  # for whom it is, in plain words
    holds_program: bool  # which wants the factory, and torch where no graph is written down
    make: Callable[[Run, Widths, Family | None], bytes]
    size: Callable[[int, int], float]  # in bytes, from the bytes of its weights and how many tensors they are
    roughly: str = ""  # said before the size where that is not known exactly


@dataclass(frozen=True, kw_only=True)
class Exported:
    """A finished file."""

    name: str
    data: bytes
    sha256: str


def export(
    run: Run, width: int | Widths, format: str = "safetensors", *, family: Family | None = None, polished: bool = False
) -> Exported:
    """The model at `width` as a file of `format`; a file that holds a program is run against the model in memory first.

    `polished` takes the polished model of that width in place of the slice, where there is one. `family` is needed
    only for a run of your own factory, and not for safetensors. Raises UserError for an unknown
    format or a width out of range, RunError where the run is damaged, its weights are not those that it was written
    with, or the file does not agree with the model.
    """
    if format not in FORMATS:
        raise UserError(f"format {format!r} is not known; choose one of {', '.join(FORMATS)}")
    widths = run.layout.check_widths(width) if isinstance(width, Mapping) else run.widths_at(width)
    kind = FORMATS[format]
    if polished:
        run = run.with_polished(on_the_sweep(run, widths))
    data = kind.make(run, widths, family or run.family)
    return Exported(name=file_name(run, widths, format), data=data, sha256=hashlib.sha256(data).hexdigest())


def size_before(run: Run, widths: Widths, format: str) -> tuple[int, str]:
    """Bytes of the file before it is made, and what to say before them: nothing where they are exact, or `about`."""
    kind = FORMATS[format]
    return round(kind.size(run.layout.file_bytes(widths), len(run.layout.tensors))), kind.roughly


def file_name(run: Run, widths: Widths, format: str) -> str:
    """What the file is called: `digits-w16.onnx`."""
    sizes = sorted(set(widths.values()))
    label = str(sizes[0]) if len(sizes) == 1 else "x".join(str(size) for size in widths.values())
    made = "-polished" if _polished(run, widths) else ""
    return f"{run.id}-w{label}{made}{FORMATS[format].suffix}"


def small_state(run: Run, widths: Widths) -> dict[str, np.ndarray]:
    """The exact weights of the small model as NumPy arrays; reads only that part of the file."""
    if _polished(run, widths):
        return run.polished_weights(run.polished_width or 0)
    scale = run.scale(widths)
    leading = {} if scale.band(widths) else run.slice(**widths)
    folded = scale.fold(leading, run.layout, widths) | run.statistics(widths)
    # not ascontiguousarray, which gives a scalar a dimension
    return {name: np.asarray(value, order="C") for name, value in folded.items()}


def _polished(run: Run, widths: Widths) -> bool:
    """Whether the polished model stands in for the slice at these widths."""
    return run.polished_width is not None and run.widths_at(run.polished_width) == dict(widths)


def on_the_sweep(run: Run, widths: Widths) -> int:
    """The row of the sweep that has these widths. Raises UserError: only such rows are polished."""
    largest = max(run.layout.full.values())
    for width in sorted({size for name, size in widths.items() if run.layout.full[name] == largest}):
        if run.widths_at(width) == dict(widths):
            return width
    raise UserError(f"a polished model is of one width, as in export(run, 16, polished=True); got {dict(widths)}")


def _safetensors(run: Run, widths: Widths, family: Family | None = None) -> bytes:
    from safetensors.numpy import save

    return save(small_state(run, widths), {"format": "pt"})


def _onnx(run: Run, widths: Widths, family: Family | None = None) -> bytes:
    from core.export.program import onnx_bytes

    return onnx_bytes(run, widths, family)


def _pt2(run: Run, widths: Widths, family: Family | None = None) -> bytes:
    from core.export.program import pt2_bytes

    return pt2_bytes(run, widths, family)


def _bundle(run: Run, widths: Widths, family: Family | None = None) -> bytes:
    from core.export.bundle import bundle_bytes

    return bundle_bytes(run, widths, family)


FORMATS: dict[str, Format] = {
    f.name: f
    for f in (
        Format(
            name="bundle",
            suffix=".zip",
            label="Everything in one zip",
            meaning="Two formats, a description, the labels and scripts that load the model; take this if unsure.",
            holds_program=True,
            make=_bundle,
            size=lambda weights, tensors: 1.88 * weights + 4e3,  # weights twice, which hardly shrink, and texts
            roughly="at most about",
        ),
        Format(
            name="safetensors",
            suffix=".safetensors",
            label="Weights only (safetensors)",
            meaning="The model's numbers, for a program that already knows its shape.",
            holds_program=False,
            make=_safetensors,
            size=lambda weights, tensors: weights,
        ),
        Format(
            name="onnx",
            suffix=".onnx",
            label="ONNX",
            meaning="The whole model for almost any language and device, through ONNX Runtime.",
            holds_program=True,
            make=_onnx,
            size=lambda weights, tensors: weights + 50 * tensors,
            roughly="about",
        ),
        Format(
            name="pt2",
            suffix=".pt2",
            label="PyTorch program (.pt2)",
            meaning="The whole model for PyTorch, with no source code needed.",
            holds_program=True,
            make=_pt2,
            size=lambda weights, tensors: weights + 1_700 * tensors,  # what is done with each is written as JSON
            roughly="about",
        ),
    )
}
