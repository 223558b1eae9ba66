"""Read and check the safetensors files of a run: weights, statistics and examples. No torch."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from core.elastic.layout import DTYPES
from core.elastic.scale import Band, Scale, band_ranges
from core.elastic.size_grid import narrowed, narrowest, path_range, path_widths
from core.errors import RunError
from core.runs.file_names import EXAMPLES, RECORD, STATISTICS, WEIGHTS
from core.runs.record import RunRecord
from core.tasks.registry import task
from core.utils import files
from core.utils.fingerprint import add_array

TABLES = "tables/"  # before the names of tensors that runs of an earlier version hold, and no run of this one
BANDS = "bands/"  # then a band's widest, as in `bands/15/`, before the names of its weights

MAX_WEIGHTS_BYTES = 64 * 2**30
MAX_HEADER_BYTES = 32 * 2**20  # names and shapes, parsed as a whole; figures of polished widths lie there too


def open_tensors(folder: Path, name: str) -> Any:
    """Open a safetensors file of a run for NumPy arrays; only its header is read. Raises RunError."""
    from safetensors import safe_open

    files.check_file(folder / name, MAX_WEIGHTS_BYTES)
    try:
        with open(folder / name, "rb") as file:
            header = int.from_bytes(file.read(8), "little")
        if header > MAX_HEADER_BYTES:
            raise ValueError(f"its header has {header:,} bytes")
        return safe_open(folder / name, framework="numpy")
    except Exception as error:  # safetensors raises its own kind, OSError and ValueError alike
        raise _unreadable(name, error) from None


def read_tensor(file: Any, name: str, key: str) -> np.ndarray:
    """Read one tensor of the open file called `name`. Raises RunError."""
    try:
        value: np.ndarray = file.get_tensor(key)
        return value
    except Exception as error:  # a type that NumPy does not have, a file that shrinks while it is read
        raise _unreadable(name, error) from None


def read_tensors(folder: Path, name: str) -> dict[str, np.ndarray]:
    """Read all tensors of a file. Raises RunError."""
    with open_tensors(folder, name) as file:
        return {key: read_tensor(file, name, key) for key in file.keys()}  # noqa: SIM118 (no mapping)


def stored(scale: Scale) -> dict[str, np.ndarray]:
    """Weights of the bands under their names in the weights' file; those of `scale` are torch tensors."""
    return {
        f"{BANDS}{band.top}/{name}": np.array(value.cpu())
        for band in scale.bands
        for name, value in band.weights.items()
    }


def read_slice(folder: Path, record: RunRecord, widths: Mapping[str, int]) -> dict[str, np.ndarray]:
    """Read the leading part of every full weight at `widths`, and only that. Raises RunError."""
    layout = record.layout
    with open_tensors(folder, WEIGHTS) as file:
        parts = {}
        for name, tensor in layout.tensors.items():
            lazy = file.get_slice(name) if tensor.shape else file.get_tensor(name)  # a scalar has no slice
            try:
                part = np.asarray(layout.slice_tensor(name, lazy, widths), order="C")
                parts[name] = part.reshape(tensor.shape_at(widths))
            except (ValueError, IndexError, OverflowError) as error:  # sizes that only a damaged layout has
                raise RunError(f"tensor {name!r} can't be sliced: {error}; restore {RECORD} from a copy") from None
        return parts


def read_scale(folder: Path, record: RunRecord, widths: Mapping[str, int] | None = None) -> Scale:
    """Factors of a slice, and its bands: all, or with `widths` the one that has the weights there. Raises RunError."""
    own = {key: value for key, value in record.scale.items() if key != "bands"}
    ranges = band_ranges(record.scale, record.layout)
    if widths is not None:
        index = narrowest([path_widths(record.layout, top) for _, top in ranges], widths)
        ranges = () if index is None else ranges[index : index + 1]
    with open_tensors(folder, WEIGHTS) as file:
        bands = []
        for low, top in ranges:
            layout = narrowed(record.layout, low, top)
            weights = {name: read_tensor(file, WEIGHTS, f"{BANDS}{top}/{name}") for name in layout.tensors}
            bands.append(Band(low, top, layout, Scale.from_json(own, layout), weights))
    return replace(Scale.from_json(own, record.layout), bands=tuple(bands))


def check_weights(folder: Path, record: RunRecord) -> None:
    """Compare names, shapes and types in the weights' header with the record; no weight is read. Raises RunError."""
    layouts = {"": record.layout}
    for low, top in band_ranges(record.scale, record.layout):
        layouts[f"{BANDS}{top}/"] = narrowed(record.layout, low, top)
    expected = {
        f"{prefix}{name}": (tensor.shape, tensor.dtype)
        for prefix, layout in layouts.items()
        for name, tensor in layout.tensors.items()
    }
    with open_tensors(folder, WEIGHTS) as file:
        names = set(file.keys())
        for name in sorted(names - expected.keys()):
            if f"/{TABLES}" in f"/{name}":
                raise RunError(f"{WEIGHTS} holds tables over width, which are no longer read; train the run anew")
            raise RunError(f"{WEIGHTS} holds tensor {name!r}, which the layout lacks; restore the file from a copy")
        for name, (shape, dtype) in sorted(expected.items()):
            if name not in names:
                raise RunError(f"{WEIGHTS} lacks tensor {name!r} of the layout; restore the file from a copy")
            header = file.get_slice(name)
            came, kind = tuple(header.get_shape()), header.get_dtype()
            if came != shape:
                raise RunError(f"{WEIGHTS}: tensor {name!r} has shape {came}, the layout needs {shape}")
            if kind != DTYPES[dtype][0]:
                raise RunError(f"{WEIGHTS}: tensor {name!r} is of type {kind}, the layout needs {dtype}")


def verify_weights(folder: Path, sha256: str) -> None:
    """Compare every number in the weights' file with its checksum in the record. Raises RunError."""
    digest, not_finite = hashlib.sha256(), []
    with open_tensors(folder, WEIGHTS) as file:
        for name in sorted(file.keys()):
            value = read_tensor(file, WEIGHTS, name)
            add_array(digest, name, value)
            if value.dtype.kind == "f" and not np.isfinite(value).all():
                not_finite.append(name)
    if digest.hexdigest() != sha256:
        raise RunError(f"{WEIGHTS} does not hold the weights that {RECORD} describes; restore it from a copy")
    if not_finite:
        raise RunError(f"{WEIGHTS}: tensor {not_finite[0]!r} holds values that are not finite; train the run anew")


def read_width_statistics(folder: Path, record: RunRecord) -> dict[int, dict[str, np.ndarray]]:
    """Batch-normalisation statistics by width, checked against the layout; empty without any. Raises RunError."""
    by_width: dict[int, dict[str, np.ndarray]] = {}
    if not (folder / STATISTICS).exists():
        return by_width
    for key, value in read_tensors(folder, STATISTICS).items():
        text, _, name = key.partition("/")
        if not text.isdecimal() or len(text) > 9 or name not in record.statistics:
            raise RunError(f"{STATISTICS} holds {key!r}, which is no statistic of this run; remove the file")
        by_width.setdefault(int(text), {})[name] = value
    low, high = path_range(record.layout)
    for width, statistics in by_width.items():
        shapes = record.layout.shapes(path_widths(record.layout, width)) if low <= width <= high else {}
        expected = {name: shapes.get(name) for name in record.statistics}
        if {name: value.shape for name, value in statistics.items()} != expected or not all(
            np.isfinite(value).all() for value in statistics.values()
        ):
            raise RunError(f"{STATISTICS} at width {width} has other names or shapes than the layout; remove the file")
    return by_width


def write_width_statistics(folder: Path, by_width: Mapping[int, Mapping[str, np.ndarray]]) -> None:
    """Keep statistics by width with the run, whole or not at all. Raises RunError."""
    from safetensors.numpy import save

    arrays = {
        f"{width}/{name}": np.asarray(value, order="C")
        for width, statistics in by_width.items()
        for name, value in statistics.items()
    }
    files.write_bytes(folder / STATISTICS, save(arrays), parents=False)


def read_examples(folder: Path, record: RunRecord) -> dict[str, np.ndarray]:
    """The held-out examples `x`, `y` and `index`, checked against the record. Raises RunError."""
    arrays = read_tensors(folder, EXAMPLES)
    wrong = f"{EXAMPLES} is not what {RECORD} describes"
    if set(arrays) != {"x", "y", "index"}:
        raise RunError(f"{wrong}: it holds {', '.join(sorted(arrays)) or 'nothing'}, needed are x, y and index")
    x, y, index = arrays["x"], arrays["y"], arrays["index"]
    outputs, classes = len(record.labels), task(record.task).classes
    shape, dtype = tuple(record.input.shape), record.input.dtype
    y_shape = x.shape[:1] if classes else (len(x), outputs)
    if x.shape[1:] != shape or str(x.dtype) != dtype or y.shape != y_shape or index.shape != x.shape[:1]:
        raise RunError(
            f"{wrong}: x is {x.dtype} {x.shape}, y {y.shape}, index {index.shape}; needed are n of {dtype} {shape} each"
        )
    if not classes:
        if y.dtype != np.float32 or not np.isfinite(y).all():
            raise RunError(f"{wrong}: y holds something other than finite numbers; restore it from a copy")
    elif y.dtype.kind not in "iu" or (len(y) and not 0 <= y.min() <= y.max() < outputs):
        raise RunError(f"{wrong}: y is not one of {outputs} labels; restore it from a copy")
    return arrays


def _unreadable(name: str, error: Exception) -> RunError:
    return RunError(f"{name} is not a readable safetensors file ({files.first_line(error)}); restore it from a copy")
