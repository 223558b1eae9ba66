"""Which dimension of which tensor belongs to which width: plain data, and slicing and permuting by it.

Needs NumPy only. Arrays may be NumPy arrays or torch tensors, so the app cuts a slice without importing torch.

An axis of a tensor is a row of segments. A segment holds, for each feature of its width, `each`
neighbouring entries (1 in a linear layer, 49 behind a flattened 7x7 map); a segment without a width has
a constant size. Fused q/k/v is the same segment three times; a concat is one segment for each part.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from core.errors import LayoutError, UserError

SAFETENSORS_NAMES = {
    "float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16", "int64": "I64", "int32": "I32",
    "int16": "I16", "int8": "I8", "uint8": "U8", "bool": "BOOL",
}  # fmt: skip
ITEM_BYTES = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2, "int64": 8, "int32": 4, "int16": 2}


@dataclass(frozen=True)
class Width:
    """Range of one width: `full` features, of which at least `lower` stay."""

    full: int
    lower: int = 1

    def __post_init__(self) -> None:
        if not (isinstance(self.full, int) and isinstance(self.lower, int) and 1 <= self.lower <= self.full):
            raise UserError(f"a width wants whole numbers 1 <= lower <= full, got lower {self.lower}, full {self.full}")


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
    """One parameter or buffer: its full shape, and the segments of each axis (None: the axis never changes)."""

    shape: tuple[int, ...]
    dtype: str
    kind: str  # "parameter", "buffer", or "tied": a second name of a parameter listed before
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
    """The whole of what slicing needs to know about a family: `widths` and `tensors`, both by name."""

    widths: Mapping[str, Width]
    tensors: Mapping[str, Tensor]
    _index_cache: dict[tuple[Any, ...], Any] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def full(self) -> dict[str, int]:
        """The full size of each width."""
        return {name: w.full for name, w in self.widths.items()}

    def check_widths(self, widths: Mapping[str, Any]) -> dict[str, int]:
        """All widths as ints; one that is left out stays full.

        Raises UserError for an unknown name, a number that is not whole, or one outside [lower, full].
        """
        for name in widths:
            if name not in self.widths:
                raise UserError(f"width {name!r} is not known; this family has {', '.join(map(repr, self.widths))}")
        checked = dict(self.full)
        for name, value in widths.items():
            limits = self.widths[name]
            choose = f"choose {limits.lower} to {limits.full}"
            if isinstance(value, bool):
                raise UserError(f"width {name!r} is {value!r}, not a whole number; {choose}")
            try:
                size = operator.index(value)
            except TypeError:
                raise UserError(f"width {name!r} is {value!r}, not a whole number; {choose}") from None
            if size > limits.full:
                raise UserError(f"width {name!r} is {size}, above this run's full width {limits.full}; {choose}")
            if size < limits.lower:
                raise UserError(f"width {name!r} is {size}, below its lower bound {limits.lower}; {choose}")
            checked[name] = size
        return checked

    def shapes(self, widths: Mapping[str, int]) -> dict[str, tuple[int, ...]]:
        """Shape of every tensor at `widths`."""
        return {name: tensor.shape_at(widths) for name, tensor in self.tensors.items()}

    def params(self, widths: Mapping[str, int]) -> int:
        """Number of trainable parameters at `widths`; a tied one counts once."""
        return sum(
            int(np.prod(t.shape_at(widths), dtype=np.int64)) for t in self.tensors.values() if t.kind == "parameter"
        )

    def file_bytes(self, widths: Mapping[str, int]) -> int:
        """Size in bytes of the safetensors file of the slice at `widths`, header included.

        The header is JSON, padded to a multiple of 8 and preceded by its length (safetensors' format, README).
        """
        data, header = 0, len('{"__metadata__":{"format":"pt"}}')
        for name, tensor in self.tensors.items():
            shape = tensor.shape_at(widths)
            size = int(np.prod(shape, dtype=np.int64)) * ITEM_BYTES.get(tensor.dtype, 1)
            dims = ",".join(map(str, shape))
            dtype = SAFETENSORS_NAMES.get(tensor.dtype, tensor.dtype)
            # counted as it is written; offsets are laid out by safetensors, largest dtype first, then by name
            header += len(f',"{name}":{{"dtype":"{dtype}","shape":[{dims}],"data_offsets":[,]}}')
            data += size
        header += sum(len(str(end)) for end in self._offsets(widths))
        return 8 + -(-header // 8) * 8 + data

    def _offsets(self, widths: Mapping[str, int]) -> Iterator[int]:
        order = sorted(self.tensors.items(), key=lambda item: (-ITEM_BYTES.get(item[1].dtype, 1), item[0]))
        position = 0
        for _, tensor in order:
            yield position
            position += int(np.prod(tensor.shape_at(widths), dtype=np.int64)) * ITEM_BYTES.get(tensor.dtype, 1)
            yield position

    def slice(self, state: Mapping[str, Any], widths: Mapping[str, int]) -> dict[str, Any]:
        """The leading part of every tensor: views where a part is one run, a gathered copy where it is several."""
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
        """Every tensor with its features reordered: feature i of a width is what feature `orders[width][i]` was.

        Raises UserError where an order is no permutation of that width's features.
        """
        checked = {}
        for name, order in orders.items():
            if name not in self.widths:
                raise UserError(f"width {name!r} is not known; this family has {', '.join(map(repr, self.widths))}")
            indices = np.asarray(order)
            full = self.widths[name].full
            if indices.shape != (full,) or not np.array_equal(np.sort(indices), np.arange(full)):
                raise UserError(f"the order of width {name!r} must hold each of 0 to {full - 1} once")
            checked[name] = indices.astype(np.int64)
        permuted = {}
        for name, value in state.items():
            for dim, axis in enumerate(self._tensor(name, value).axes):
                if axis and any(s.width in checked for s in axis):
                    value = _take(value, self._reordered(axis, checked), dim)
            permuted[name] = value
        return permuted

    def owners(self, name: str, dim: int) -> dict[str, np.ndarray]:
        """For each width of an axis: the feature that owns each entry, -1 where it is another's. Shape (entries,)."""
        axis = self.tensors[name].axes[dim] or ()
        found: dict[str, np.ndarray] = {}
        position = 0
        for s in axis:
            size = s.size(self.full)
            if s.width is not None:
                owner = found.setdefault(s.width, np.full(self.tensors[name].shape[dim], -1, np.int64))
                owner[position : position + size] = np.arange(size) // s.each
            position += size
        return found

    def _tensor(self, name: str, value: Any) -> Tensor:
        if name not in self.tensors:
            raise LayoutError(f"tensor {name!r} is not in this family's layout")
        tensor = self.tensors[name]
        shape = tuple(value.shape if hasattr(value, "shape") else value.get_shape())
        if shape != tensor.shape:
            raise LayoutError(f"tensor {name!r} has shape {shape}, this family's full width wants {tensor.shape}")
        return tensor

    def _leading(self, axis: Axis, widths: Mapping[str, int]) -> Any:
        """Where the leading features of an axis lie: a slice, or an index array where they are no single run."""
        key = (axis, *(widths[s.width] for s in axis if s.width is not None))
        if key not in self._index_cache:
            if len(self._index_cache) > 4096:  # bounded: a long sweep over many widths must not grow for ever
                self._index_cache.clear()
            if len(axis) == 1 or all(widths[s.width] == self.full[s.width] for s in axis if s.width):
                size = sum(s.size(widths) for s in axis)
                self._index_cache[key] = slice(None) if size == sum(s.size(self.full) for s in axis) else slice(0, size)
            else:
                starts = np.cumsum([0, *(s.size(self.full) for s in axis[:-1])])
                parts = [start + np.arange(s.size(widths)) for start, s in zip(starts, axis, strict=True)]
                self._index_cache[key] = np.concatenate(parts)
        return self._index_cache[key]

    def _reordered(self, axis: Axis, orders: Mapping[str, np.ndarray]) -> np.ndarray:
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
            "widths": {name: {"full": w.full, "lower": w.lower} for name, w in self.widths.items()},
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

    @classmethod
    def from_json(cls, data: Any) -> Layout:
        """From what `to_json` gave. Raises LayoutError where the data are no consistent layout."""
        try:
            widths = {name: Width(w["full"], w["lower"]) for name, w in data["widths"].items()}
            tensors = {
                name: Tensor(
                    tuple(int(n) for n in t["shape"]), str(t["dtype"]), str(t["kind"]),
                    tuple(None if a is None else tuple(Segment(w, int(e)) for w, e in a) for a in t["axes"]),
                )
                for name, t in data["tensors"].items()
            }  # fmt: skip
            layout = cls(widths, tensors)
            for name, tensor in tensors.items():
                if tensor.shape_at(layout.full) != tensor.shape:
                    raise LayoutError(f"tensor {name!r} has shape {tensor.shape}, which its axes do not add up to")
        except LayoutError:
            raise
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise LayoutError(f"the layout is damaged: {type(error).__name__} {error}") from None
        return layout


def _take(value: Any, index: np.ndarray, dim: int) -> Any:
    """`value` at `index` along `dim`; works for NumPy arrays and, differentiably, for torch tensors."""
    if isinstance(value, np.ndarray):
        return np.take(value, index, axis=dim)
    return value[(slice(None),) * dim + (index,)]
