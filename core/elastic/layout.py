"""Layout: which dimension of which tensor belongs to which width, as plain data; slices and permutations by it.

Needs NumPy only. Arrays may be NumPy arrays or torch tensors, so the app cuts a slice without importing torch.

An axis of a tensor is a sequence of segments. A segment holds, for each feature of its width, `each`
neighbouring entries (1 in a linear layer, 49 behind a flattened 7x7 map); a segment without a width has
a constant size. Fused q/k/v is the same segment three times; a concatenation is one segment for each part.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from core.elastic.width import Width
from core.errors import LayoutError, UserError
from core.utils.numbers import whole_number

# Supported dtypes: safetensors' name and bytes an entry, in the order in which safetensors stores tensors.
DTYPES = {
    "uint64": ("U64", 8), "int64": ("I64", 8), "float64": ("F64", 8), "complex64": ("C64", 8), "float32": ("F32", 4),
    "uint32": ("U32", 4), "int32": ("I32", 4), "bfloat16": ("BF16", 2), "float16": ("F16", 2), "uint16": ("U16", 2),
    "int16": ("I16", 2), "float8_e5m2fnuz": ("F8_E5M2FNUZ", 1), "float8_e4m3fnuz": ("F8_E4M3FNUZ", 1),
    "float8_e8m0fnu": ("F8_E8M0", 1), "float8_e4m3fn": ("F8_E4M3", 1), "float8_e5m2": ("F8_E5M2", 1),
    "int8": ("I8", 1), "uint8": ("U8", 1), "bool": ("BOOL", 1),
}  # fmt: skip
KINDS = ("parameter", "buffer", "tied")


@dataclass(frozen=True)
class Segment:
    """Part of an axis: `each` entries for each feature of `width`, or `each` entries in all where width is None."""

    width: str | None
    each: int

    def size(self, widths: Mapping[str, int]) -> int:
        """Number of entries at `widths`."""
        return self.each if self.width is None else self.each * widths[self.width]


Axis = tuple[Segment, ...]


@dataclass(frozen=True)
class Tensor:
    """One parameter or buffer: its full shape, and the segments of each axis (None: of constant size)."""

    shape: tuple[int, ...]
    dtype: str
    kind: str  # one of KINDS; "tied" is a second name of a tensor listed before
    axes: tuple[Axis | None, ...]

    def shape_at(self, widths: Mapping[str, int]) -> tuple[int, ...]:
        """Shape at `widths`."""
        return tuple(
            n if axis is None else sum(s.size(widths) for s in axis)
            for n, axis in zip(self.shape, self.axes, strict=True)
        )

    def widths(self) -> set[str]:
        """Names of the widths that own a dimension here."""
        return {s.width for axis in self.axes if axis for s in axis if s.width is not None}


@dataclass(frozen=True)
class Layout:
    """All that slicing needs of a family: `widths` and `tensors`, both by name."""

    widths: Mapping[str, Width]
    tensors: Mapping[str, Tensor]
    _index_cache: dict[tuple[Any, ...], Any] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def full(self) -> dict[str, int]:
        """The full size of each width."""
        return {name: w.full for name, w in self.widths.items()}

    def at(self, widths: Mapping[str, int]) -> Layout:
        """The same layout with `widths` as its full sizes; they may also lie above this one's."""
        tensors = {name: replace(t, shape=t.shape_at(widths)) for name, t in self.tensors.items()}
        return Layout({name: Width(size) for name, size in widths.items()}, tensors)

    def check_widths(self, widths: Mapping[str, Any]) -> dict[str, int]:
        """All widths as ints; one that is left out stays full.

        Raises UserError for an unknown name, a number that is not whole, or one that is none of the width's sizes.
        """
        for name in widths:
            if name not in self.widths:
                raise UserError(f"width {name!r} does not exist; this family has {', '.join(map(repr, self.widths))}")
        checked = dict(self.full)
        for name, value in widths.items():
            limits = self.widths[name]
            choose = f"choose {limits}"
            size = whole_number(value)
            if size is None:
                raise UserError(f"width {name!r} is {value!r}, not a whole number; {choose}")
            if size > limits.full:
                raise UserError(f"width {name!r} is {size}, above this run's full width {limits.full}; {choose}")
            if size < limits.lower:
                raise UserError(f"width {name!r} is {size}, below its lower bound {limits.lower}; {choose}")
            if size not in limits.sizes:
                raise UserError(f"width {name!r} is {size}, which is none of its sizes; {choose}")
            checked[name] = size
        return checked

    def shapes(self, widths: Mapping[str, int]) -> dict[str, tuple[int, ...]]:
        """Shape of every tensor at `widths`."""
        return {name: tensor.shape_at(widths) for name, tensor in self.tensors.items()}

    def params(self, widths: Mapping[str, int]) -> int:
        """Number of parameters at `widths`; a tied one counts once."""
        return sum(math.prod(t.shape_at(widths)) for t in self.tensors.values() if t.kind == "parameter")

    def file_bytes(self, widths: Mapping[str, int]) -> int:
        """Size in bytes of the safetensors file of the slice at `widths`, header included.

        The header is JSON, padded to a multiple of 8 and preceded by its length (safetensors' format, README). A tied
        tensor is written under each of its names.
        """
        header, position = len('{"__metadata__":{"format":"pt"}}'), 0
        order = {dtype: place for place, dtype in enumerate(DTYPES)}
        for name, tensor in sorted(self.tensors.items(), key=lambda item: (order[item[1].dtype], item[0])):
            shape = tensor.shape_at(widths)
            dtype, item = DTYPES[tensor.dtype]
            end = position + math.prod(shape) * item
            entry = {"dtype": dtype, "shape": shape, "data_offsets": (position, end)}
            text = json.dumps({name: entry}, ensure_ascii=False, separators=(",", ":"))
            header += len(text.encode()) - 1  # one brace less, one comma more, and no closing one
            position = end
        return 8 + -(-header // 8) * 8 + position

    def slice(self, state: Mapping[str, Any], widths: Mapping[str, int]) -> dict[str, Any]:
        """The leading part of every tensor: a view where it is contiguous, else a gathered copy."""
        return {name: self.slice_tensor(name, value, widths) for name, value in state.items()}

    def slice_tensor(self, name: str, value: Any, widths: Mapping[str, int]) -> Any:
        """The leading part of one tensor; `value` may be anything that is indexed like a NumPy array."""
        tensor = self._tensor(name, value)
        runs, gathers = [], []
        for dim, axis in enumerate(tensor.axes):
            index = slice(None) if axis is None else self._leading(axis, widths)
            runs.append(index if isinstance(index, slice) else slice(None))
            if not isinstance(index, slice):
                gathers.append((dim, index))
        if any(run != slice(None) for run in runs) or not hasattr(value, "ndim"):  # a lazy slice must be read
            value = value[tuple(runs)]
        for dim, index in gathers:
            value = _take(value, index, dim)
        return value

    def permute(self, state: Mapping[str, Any], orders: Mapping[str, Any]) -> dict[str, Any]:
        """Reorder features: feature i of a width becomes what feature `orders[width][i]` was.

        Raises UserError where an order is no permutation of that width's features.
        """
        checked = {}
        for name, order in orders.items():
            if name not in self.widths:
                raise UserError(f"width {name!r} does not exist; this family has {', '.join(map(repr, self.widths))}")
            full = self.widths[name].full
            try:
                indices = np.asarray(order.tolist() if hasattr(order, "tolist") else order)
            except ValueError:  # rows of unequal length
                indices = np.empty(0)
            is_integer = indices.shape == (full,) and indices.dtype.kind in "iu"
            if not is_integer or not np.array_equal(np.sort(indices), np.arange(full)):
                raise UserError(f"the order of width {name!r} must hold each of 0 to {full - 1} once")
            checked[name] = indices.astype(np.int64)
        permuted = {}
        for name, value in state.items():
            for dim, axis in enumerate(self._tensor(name, value).axes):
                if axis and any(s.width in checked for s in axis):
                    value = _take(value, self.reordered(axis, checked), dim)
            permuted[name] = value
        return permuted

    def _tensor(self, name: str, value: Any) -> Tensor:
        if name not in self.tensors:
            raise LayoutError(f"tensor {name!r} is not in this family's layout")
        tensor = self.tensors[name]
        if not hasattr(value, "shape") and not hasattr(value, "get_shape"):
            raise LayoutError(f"tensor {name!r} is a {type(value).__name__}, not an array")
        shape = tuple(value.shape if hasattr(value, "shape") else value.get_shape())
        if shape != tensor.shape:
            raise LayoutError(f"tensor {name!r} has shape {shape}, this family's full width needs {tensor.shape}")
        return tensor

    def _leading(self, axis: Axis, widths: Mapping[str, int]) -> Any:
        """Index of the leading features of an axis: a slice, or an array where they are not contiguous."""
        key = (axis, *(widths[s.width] for s in axis if s.width is not None))
        index = self._index_cache.get(key)
        if index is None:
            sizes = [s.size(widths) for s in axis]
            full_sizes = [s.size(self.full) for s in axis]
            if len(axis) == 1 or sizes == full_sizes:
                index = slice(None) if sizes == full_sizes else slice(0, sizes[0])
            else:
                starts = np.cumsum([0, *full_sizes[:-1]])
                index = np.concatenate([start + np.arange(n) for start, n in zip(starts, sizes, strict=True)])
            if len(self._index_cache) > 4096:  # bounded, for long sweeps over many widths
                self._index_cache.clear()
            self._index_cache[key] = index
        return index

    def reordered(self, axis: Axis, orders: Mapping[str, np.ndarray]) -> np.ndarray:
        """Index that reorders the entries of an axis as `orders` reorder the features of its widths."""
        parts, start = [], 0
        for s in axis:
            size = s.size(self.full)
            entries = np.arange(size)
            if s.width is not None and s.width in orders:
                entries = (orders[s.width][:, None] * s.each + np.arange(s.each)).reshape(-1)
            parts.append(start + entries)
            start += size
        return np.concatenate(parts)

    def to_json(self) -> dict[str, Any]:
        """As plain data for run.json."""
        return {
            "widths": {name: width.to_json() for name, width in self.widths.items()},
            "tensors": {
                name: {
                    "shape": list(t.shape),
                    "dtype": t.dtype,
                    "kind": t.kind,
                    "axes": [None if axis is None else [[s.width, s.each] for s in axis] for axis in t.axes],
                }
                for name, t in self.tensors.items()
            },
        }


def _take(value: Any, index: np.ndarray, dim: int) -> Any:
    """`value` at `index` along `dim`; works for NumPy arrays and, differentiably, for torch tensors."""
    if isinstance(value, np.ndarray):
        return np.take(value, index, axis=dim)
    return value[(slice(None),) * dim + (index,)]
