"""Read and check the safetensors files of a run: weights, statistics and examples. No torch."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from core.elastic.layout import DTYPES, Layout
from core.elastic.scale import Band, Scale, band_ranges, knots, tabled
from core.elastic.size_grid import narrowed, narrowest, path_range, path_widths
from core.errors import RunError
from core.runs.file_names import EXAMPLES, RECORD, STATISTICS, WEIGHTS
from core.runs.record import RunRecord
from core.tasks.registry import task
from core.utils import files
from core.utils.fingerprint import add_array

TABLES = "tables/"  # before the name of the vector that a table in the weights' file is added to
BANDS = "bands/"  # then a band's widest, as in `bands/15/`, before the names of its weights

MAX_WEIGHTS_BYTES = 64 * 2**30


def open_tensors(folder: Path, name: str) -> Any:
    """A safetensors file of a run, opened as NumPy arrays; only its header is read. Raises RunError."""
    from safetensors import safe_open

    files.check_file(folder / name, MAX_WEIGHTS_BYTES)
    try:
        return safe_open(folder / name, framework="numpy")
    except Exception as error:  # safetensors raises its own kind, OSError and ValueError alike
        raise _unreadable(name, error) from None


def read_tensor(file: Any, name: str, key: str) -> np.ndarray:
    """One tensor of the open file called `name`. Raises RunError."""
    try:
        found: np.ndarray = file.get_tensor(key)
        return found
    except Exception as error:  # a type that NumPy does not have, a file that shrinks while it is read
        raise _unreadable(name, error) from None


def read_tensors(folder: Path, name: str) -> dict[str, np.ndarray]:
    """All tensors of a file. Raises RunError."""
    with open_tensors(folder, name) as file:
        return {key: read_tensor(file, name, key) for key in file.keys()}  # noqa: SIM118 (no mapping)


def stored(scale: Scale) -> dict[str, np.ndarray]:
    """Tables and bands under their names in the weights' file. The scale's are tensors of torch."""
    found = {f"{TABLES}{name}": np.array(table.cpu()) for name, table in scale.tables.items()}
    for band in scale.bands:
        weights = {name: np.array(value.cpu()) for name, value in band.weights.items()}
        found |= {f"{BANDS}{band.top}/{name}": value for name, value in (weights | stored(band.scale)).items()}
    return found


def read_slice(folder: Path, record: RunRecord, widths: Mapping[str, int]) -> dict[str, np.ndarray]:
    """The leading part of every full weight at `widths`; only that part is read. Raises RunError."""
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
    """What a slice is multiplied by, what is added to it, and the bands: of `widths` alone, where they are given.

    Raises RunError.
    """
    with open_tensors(folder, WEIGHTS) as file:
        names = list(file.keys())

        def under(prefix: str) -> dict[str, np.ndarray]:
            return {
                key.removeprefix(prefix): read_tensor(file, WEIGHTS, key) for key in names if key.startswith(prefix)
            }

        def scale(prefix: str, layout: Layout) -> Scale:
            said = {key: value for key, value in record.scale.items() if key != "bands"}
            return Scale.from_json(said, layout, under(f"{prefix}{TABLES}"))

        ranges = band_ranges(record.scale, record.layout)
        if widths is not None:
            place = narrowest([path_widths(record.layout, top) for _, top in ranges], widths)
            ranges = () if place is None else ranges[place : place + 1]
        bands = []
        for low, top in ranges:
            prefix, layout = f"{BANDS}{top}/", narrowed(record.layout, low, top)
            weights = {name: read_tensor(file, WEIGHTS, f"{prefix}{name}") for name in layout.tensors}
            bands.append(Band(low, top, layout, scale(prefix, layout), weights))
        return replace(scale("", record.layout), bands=tuple(bands))


def check_weights(folder: Path, record: RunRecord) -> None:
    """Names, shapes and types in the weights' header against the record; no weight is read. Raises RunError."""
    sources = {"": record.layout}
    for low, top in band_ranges(record.scale, record.layout):
        sources[f"{BANDS}{top}/"] = narrowed(record.layout, low, top)
    wanted: dict[str, tuple[tuple[int, ...], str]] = {}  # shape and type of what has to be there
    tables: dict[str, tuple[tuple[int, ...], str]] = {}  # and of what may be there
    for prefix, layout in sources.items():
        wanted |= {f"{prefix}{name}": (tensor.shape, tensor.dtype) for name, tensor in layout.tensors.items()}
        for name in tabled(layout):
            tables[f"{prefix}{TABLES}{name}"] = ((knots(layout), *layout.tensors[name].shape), "float32")
    with open_tensors(folder, WEIGHTS) as file:
        names = set(file.keys())
        for name in sorted(wanted.keys() - names):
            raise RunError(f"{WEIGHTS} lacks tensor {name!r} of the layout; restore the file from a copy")
        for name in sorted(names):
            if name not in wanted and name not in tables:
                raise RunError(f"{WEIGHTS} holds tensor {name!r}, which the layout does not know")
            shape, dtype = wanted.get(name) or tables[name]
            header = file.get_slice(name)
            found, kind = tuple(header.get_shape()), header.get_dtype()
            if found != shape:
                raise RunError(f"{WEIGHTS}: tensor {name!r} has shape {found}, the layout wants {shape}")
            if kind != DTYPES[dtype][0]:
                raise RunError(f"{WEIGHTS}: tensor {name!r} is of type {kind}, the layout wants {dtype}")


def verify_weights(folder: Path, sha256: str) -> None:
    """Every number in the weights' file against its checksum in the record. Raises RunError."""
    digest, strange = hashlib.sha256(), []
    with open_tensors(folder, WEIGHTS) as file:
        for name in sorted(file.keys()):
            value = read_tensor(file, WEIGHTS, name)
            add_array(digest, name, value)
            if value.dtype.kind == "f" and not np.isfinite(value).all():
                strange.append(name)
    if digest.hexdigest() != sha256:
        raise RunError(f"{WEIGHTS} does not hold the weights that {RECORD} describes; restore it from a copy")
    if strange:
        raise RunError(f"{WEIGHTS}: tensor {strange[0]!r} holds values that are not finite; train the run anew")


def read_width_statistics(folder: Path, record: RunRecord) -> dict[int, dict[str, np.ndarray]]:
    """Statistics of normalisation over batches by width, checked against the layout. Raises RunError."""
    found: dict[int, dict[str, np.ndarray]] = {}
    if not (folder / STATISTICS).exists():
        return found
    for key, value in read_tensors(folder, STATISTICS).items():
        text, _, name = key.partition("/")
        if not text.isdecimal() or len(text) > 9 or name not in record.statistics:
            raise RunError(f"{STATISTICS} holds {key!r}, which is no statistic of this run; remove the file")
        found.setdefault(int(text), {})[name] = value
    low, high = path_range(record.layout)
    for width, tensors in found.items():
        shapes = record.layout.shapes(path_widths(record.layout, width)) if low <= width <= high else {}
        if {name: value.shape for name, value in tensors.items()} != {
            name: shapes.get(name) for name in record.statistics
        } or not all(np.isfinite(value).all() for value in tensors.values()):
            raise RunError(f"{STATISTICS} is not what the layout wants at width {width}; remove the file")
    return found


def write_width_statistics(folder: Path, known: Mapping[int, Mapping[str, np.ndarray]]) -> None:
    """Keep statistics by width with the run, whole or not at all. Raises RunError."""
    from safetensors.numpy import save

    tensors = {f"{width}/{name}": np.asarray(v, order="C") for width, part in known.items() for name, v in part.items()}
    files.write_bytes(folder / STATISTICS, save(tensors))


def read_examples(folder: Path, record: RunRecord) -> dict[str, np.ndarray]:
    """The held-out examples, checked against the record. Raises RunError."""
    found = read_tensors(folder, EXAMPLES)
    wrong = f"{EXAMPLES} is not what {RECORD} describes"
    if set(found) != {"x", "y", "index"}:
        raise RunError(f"{wrong}: it holds {', '.join(sorted(found)) or 'nothing'}, wanted x, y and index")
    x, y, index = found["x"], found["y"], found["index"]
    outputs = len(record.labels)
    shape, dtype = tuple(record.input.shape), record.input.dtype
    y_shape = x.shape[:1] if task(record.task).classes else (len(x), outputs)
    if x.shape[1:] != shape or str(x.dtype) != dtype or y.shape != y_shape or index.shape != x.shape[:1]:
        raise RunError(
            f"{wrong}: x is {x.dtype} {x.shape}, y {y.shape}, index {index.shape}; wanted n of {dtype} {shape} each"
        )
    if not task(record.task).classes:
        if y.dtype != np.float32 or not np.isfinite(y).all():
            raise RunError(f"{wrong}: y holds something other than finite numbers; restore it from a copy")
    elif y.dtype.kind not in "iu" or (len(y) and not 0 <= y.min() <= y.max() < outputs):
        raise RunError(f"{wrong}: y is not one of {len(record.labels)} labels; restore it from a copy")
    return found


def _unreadable(name: str, error: Exception) -> RunError:
    return RunError(f"{name} is not a readable safetensors file ({files.first_line(error)}); restore it from a copy")
