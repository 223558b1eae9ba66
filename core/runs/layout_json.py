"""Read a layout from run.json, with every entry checked: a file may be damaged, or made to do harm. No torch."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from typing import Any

from core.elastic.layout import DTYPES, KINDS, Axis, Layout, Segment, Tensor
from core.elastic.width import LARGEST, MOST_VALUES, Width
from core.errors import LayoutError, UserError

MOST_WIDTHS, MOST_TENSORS, LONGEST_NAME = 1_000, 50_000, 1_000

_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = 100


def read_layout(data: Any) -> Layout:
    """Read the result of `Layout.to_json`. Raises LayoutError where the data are no consistent layout."""
    widths = {}
    for name, entry in _entries(data, "widths", MOST_WIDTHS).items():
        what = f"width {_name(name)}"
        full, lower = (_size(_entry(entry, key, int, what), 1, f"{key!r} of {what}") for key in ("full", "lower"))
        if lower > full:
            raise _damaged(f"{what} has lower bound {lower}, above its full size {full}")
        widths[name] = _width(what, entry, full, lower)
    sizes = {name: width.full for name, width in widths.items()}
    tensors = {
        name: _tensor(f"tensor {_name(name)}", entry, sizes)
        for name, entry in _entries(data, "tensors", MOST_TENSORS).items()
    }
    if not widths or not tensors:
        raise _damaged("it needs at least one width and one tensor")
    return Layout(widths, tensors)


def _width(what: str, entry: Any, full: int, lower: int) -> Width:
    """A width with its step or its list of sizes, which runs from before these existed lack."""
    step = _size(entry.get("step", 1), 1, f"'step' of {what}")
    values = entry.get("values", [])
    if not isinstance(values, list) or len(values) > MOST_VALUES:
        raise _damaged(f"'values' of {what} is {_short(values)}, which is no list of at most {MOST_VALUES} sizes")
    sizes = tuple(_size(n, 1, f"'values' of {what}") for n in values)
    try:
        width = Width(full, lower, step, sizes)
    except UserError as error:
        raise _damaged(f"{what}: {error}") from None
    if (width.full, width.lower) != (full, lower):
        raise _damaged(f"{what} has lower bound {lower}, which is none of its sizes")
    return width


def _tensor(what: str, data: Any, full: Mapping[str, int]) -> Tensor:
    shape = tuple(_size(n, 0, f"the shape of {what}") for n in _entry(data, "shape", list, what))
    dtype, kind = _entry(data, "dtype", str, what), _entry(data, "kind", str, what)
    for value, choices in ((dtype, DTYPES), (kind, KINDS)):
        if value not in choices:
            raise _damaged(f"{what} has {_short(value)}, not one of {', '.join(choices)}")
    axes = tuple(_axis(f"an axis of {what}", entry, full) for entry in _entry(data, "axes", list, what))
    tensor = Tensor(shape, dtype, kind, axes)
    if len(axes) != len(shape) or tensor.shape_at(full) != shape:
        raise _damaged(f"{what} has shape {_short(list(shape))}, which its axes don't add up to")
    return tensor


def _axis(what: str, data: Any, full: Mapping[str, int]) -> Axis | None:
    if data is None:
        return None
    if not isinstance(data, list) or not data or not all(isinstance(s, list) and len(s) == 2 for s in data):
        raise _damaged(f"{what} is {_short(data)}, not pairs of a width and a size")
    for width, _ in data:
        if width is not None and (not isinstance(width, str) or width not in full):
            raise _damaged(f"{what} names width {_short(width)}, which the layout lacks")
    return tuple(Segment(width, _size(each, 1, what)) for width, each in data)


def _entries(data: Any, key: str, most: int) -> dict[str, Any]:
    entries: dict[str, Any] = _entry(data, key, dict, "the layout")
    if len(entries) > most:
        raise _damaged(f"it has {len(entries):,} {key}, more than the {most:,} it may")
    return entries


def _entry(data: Any, key: str, kind: type, what: str) -> Any:
    if not isinstance(data, dict) or key not in data:
        raise _damaged(f"{what} lacks {key!r}")
    if not isinstance(data[key], kind):
        raise _damaged(f"{key!r} of {what} is {_short(data[key])}, which is no {kind.__name__}")
    return data[key]


def _size(value: Any, least: int, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= LARGEST:
        raise _damaged(f"{what} holds {_short(value)}, not a whole number from {least} to {LARGEST}")
    return value


def _name(name: Any) -> str:
    """A name as it stands in an error; refused where no file could hold it (half a surrogate pair)."""
    if not isinstance(name, str) or len(name) > LONGEST_NAME or any("\ud800" <= c <= "\udfff" for c in name):
        raise _damaged(f"{_short(name)} can't be a name")
    return _short(name)


def _short(value: Any) -> str:
    """The beginning of a value, to recognise it by."""
    try:
        return _REPR.repr(value)
    except ValueError:  # an int of more digits than Python prints
        return f"a huge {type(value).__name__}"


def _damaged(why: str) -> LayoutError:
    return LayoutError(f"the layout is damaged: {why}; restore run.json from a copy")
