"""A person's arrays, lists and tables as checked NumPy arrays; every refusal names the column and the row.

Tables may come from pandas, Arrow, Polars or anything that converts itself to pandas. Needs NumPy only, unless such a
table comes.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterable, Sequence
from decimal import Decimal
from numbers import Integral, Real
from typing import Any

import numpy as np

from core.errors import UserError

MISSING = ("NoneType", "NAType", "NaTType", "MaskedConstant")  # of Python, pandas and NumPy
LONGEST_LABEL = 1000  # characters
DECIMAL_COMMA = re.compile(r"\s*[+-]?[0-9]+,[0-9]+\s*")


def as_pandas(given: Any) -> Any:
    """A table or column of pandas, Arrow or Polars as pandas' DataFrame or Series; anything else as it is."""
    pandas = sys.modules.get("pandas")
    if pandas is not None and isinstance(given, (pandas.Index, pandas.api.extensions.ExtensionArray)):
        return pandas.Series(given)
    if _is_pandas(given) or isinstance(given, type) or getattr(given, "ndim", 2) > 2:
        return given
    if hasattr(given, "to_pandas"):
        return as_pandas(given.to_pandas())
    if hasattr(given, "__arrow_c_stream__"):
        import pyarrow

        return as_pandas(pyarrow.table(given))
    return given


def column_names(given: Any) -> tuple[str, ...]:
    """Names of a table's columns, or of a column alone where that is a text; none for anything else."""
    table = as_pandas(given)
    if _is_pandas(table) and table.ndim == 1:
        return (table.name,) if isinstance(table.name, str) else ()
    names = getattr(table, "columns", ())  # of other tables' it may be the data
    if _is_pandas(table) or (isinstance(names, (list, tuple)) and all(isinstance(name, str) for name in names)):
        return tuple(map(str, names))
    return ()


def _is_pandas(given: Any) -> bool:
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(given, (pandas.DataFrame, pandas.Series))


def numbers(given: Any, what: str, columns: Sequence[str] = ()) -> np.ndarray:
    """Read numbers as float32, or as they are where all are uint8.

    Parameters
    ----------
    given
        Array, nested lists, tensor or table of numbers, (n, ...).
    what
        Its name in a refusal: `x`.
    columns
        Names of the columns in a refusal.

    Raises
    ------
    UserError
        For a value that is missing, masked, infinite, above float32's range or no number.
    """
    table = as_pandas(given)
    if not _is_pandas(table):
        values = _array_numbers(plain_array(table, what), what, columns)
    elif table.ndim == 1:
        values = _column_numbers(table, what, ())
    else:
        values = _table_numbers(table, what, columns)
    if values.dtype == np.uint8:
        return values
    finite = np.isfinite(values)
    if not finite.all():
        where = _cell(int(np.argmin(finite)), values.shape, columns)
        raise UserError(f"{what} is missing, infinite or too large in {where}; fill in or drop such values first")
    return values


def labels(given: Any, what: str) -> np.ndarray:
    """Read one label an example, (n,): whole numbers, numbers, true and false, or texts, all of one kind.

    Raises UserError for a label that is missing, masked or of another kind.
    """
    table = as_pandas(given)
    if not _is_pandas(table):
        values = plain_array(table, what, texts_apart=True)
    elif table.ndim == 2 and table.shape[1] != 1:
        raise UserError(f"{what} has {table.shape[1]} columns; give the one that holds the labels")
    else:
        column = table.iloc[:, 0] if table.ndim == 2 else table
        missing = column.isna().to_numpy()
        if missing.any():
            raise _missing(what, int(np.argmax(missing)))
        values = column.to_numpy() if column.dtype.kind in "biuf" else column.astype(object).to_numpy()
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1:
        raise UserError(f"{what} has shape {values.shape}; give one label for each example, (n,)")
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise _missing(what, int(np.argmin(np.isfinite(values))))
    if values.dtype.kind in "SO":
        return _labels_of_one_kind(values.tolist(), what)
    if values.dtype.kind not in "biufU":
        raise UserError(f"{what} holds {values.dtype} values; give labels as texts or whole numbers")
    return values


def plain_array(given: Any, what: str, *, texts_apart: bool = False) -> np.ndarray:
    """NumPy's array of what is no table; `texts_apart` keeps lists of texts and numbers from becoming texts.

    Raises UserError for a sparse matrix, a masked value, rows of unequal length, or no array at all.
    """
    kind = type(given).__name__
    if hasattr(given, "toarray") and hasattr(given, "nnz"):
        raise UserError(f"{what} is a sparse matrix, {kind} of shape {given.shape}; give {what}.toarray()")
    if isinstance(given, (list, tuple)) and any(isinstance(item, np.ma.MaskedArray) for item in given):
        given = np.ma.array(given)  # NumPy's own array would drop the masks
    if isinstance(given, np.ma.MaskedArray):
        mask = np.ma.getmaskarray(given)
        if mask.any():
            where = _cell(int(np.argmax(mask)), mask.shape, ())
            raise UserError(f"{what} is masked in {where}; fill in or drop such values first")
        given = np.ma.getdata(given)
    try:
        values = np.asarray(given)
        if texts_apart and isinstance(given, (list, tuple)) and (values.dtype.kind in "USO" or _mixes_bools(given)):
            values = np.array(given, dtype=object)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:  # ragged lists; tensors with a gradient
        raise UserError(
            f"{what} can't be made a NumPy array ({_shortened(error)}); give one, or rows of equal length"
        ) from None
    if not values.ndim:
        raise UserError(f"{what} is a {kind}; give an array, a list or a table with a row for each example")
    return values


def _mixes_bools(given: Iterable[Any]) -> bool:
    return len({isinstance(value, (bool, np.bool_)) for value in given}) > 1


def _table_numbers(table: Any, what: str, columns: Sequence[str]) -> np.ndarray:
    """A DataFrame's columns as numbers, NaN where one is missing. Raises UserError for a column of anything else."""
    if table.shape[1] and all(dtype == np.uint8 for dtype in table.dtypes):
        return np.asarray(table)
    values = np.empty(table.shape, np.float32)
    for k in range(table.shape[1]):
        name = columns[k] if k < len(columns) else str(table.columns[k])
        values[:, k] = _column_numbers(table.iloc[:, k], what, (name,))
    return values


def _column_numbers(column: Any, what: str, names: Sequence[str]) -> np.ndarray:
    """A Series as float32, NaN where a value is missing; `names` holds its name, if a refusal should give it."""
    if column.dtype.kind in "biuf":
        with np.errstate(over="ignore"):  # refused by `numbers`, with its place
            return np.asarray(column.to_numpy(dtype=np.float64, na_value=np.nan).astype(np.float32))
    if column.dtype.kind == "O":
        return _object_numbers(column.astype(object).to_numpy(), what, names)
    where = f" in column {names[0]!r}" if names else ""
    raise UserError(f"{what} holds {column.dtype} values{where}; give numbers")


def _array_numbers(values: np.ndarray, what: str, columns: Sequence[str]) -> np.ndarray:
    if values.dtype == np.uint8:
        return values
    if values.dtype.kind in "OU":
        return _object_numbers(values.astype(object), what, columns)
    if values.dtype.kind not in "biuf":
        raise UserError(f"{what} holds {values.dtype} values; give numbers")
    with np.errstate(over="ignore"):
        return values.astype(np.float32)


def _object_numbers(values: np.ndarray, what: str, columns: Sequence[str]) -> np.ndarray:
    """Python objects as float32, NaN where one is missing. Raises UserError for one that is no number."""
    flat = values.reshape(-1).tolist()
    kinds = {type(value) for value in flat}
    absent = {kind for kind in kinds if kind.__name__ in MISSING}
    wrong = {kind for kind in kinds - absent if not issubclass(kind, (Real, Decimal, np.bool_))}
    if wrong:
        at = next(k for k, value in enumerate(flat) if type(value) in wrong)
        shape = (*values.shape, 1) if values.ndim == 1 and columns else values.shape
        raise UserError(f"{what} holds {_described(flat[at])} in {_cell(at, shape, columns)}; give numbers")
    with np.errstate(over="ignore"):
        plain = [math.nan if type(value) in absent else _float(value) for value in flat]
        return np.array(plain, np.float64).astype(np.float32).reshape(values.shape)


def _float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _labels_of_one_kind(values: list[Any], what: str) -> np.ndarray:
    """Python objects as texts, bools or numbers. Raises UserError for a mixture, or anything else."""
    first: dict[str, int] = {}  # kind of label -> row of the first
    kinds = {kind: _label_kind(kind) for kind in {type(value) for value in values}}
    for row, value in enumerate(values):
        kind = kinds[type(value)]
        if kind == "missing" or (kind == "number" and not math.isfinite(_float(value))):
            raise _missing(what, row)
        first.setdefault(kind, row)
    if "" in first:
        row = first[""]
        raise UserError(f"{what} holds {_described(values[row])} in row {row}; give labels as texts or whole numbers")
    if len(first) > 1:
        both = " and ".join(f"{_described(values[row])} in row {row}" for row in list(first.values())[:2])
        raise UserError(f"{what} holds labels of two kinds, {both}; use only numbers or only texts")
    if not {"text", "bytes"} & set(first):
        return np.array(values)
    longest = max(map(len, values))
    if longest > LONGEST_LABEL:
        raise UserError(f"{what} holds a label of {longest:,} characters; shorten it to {LONGEST_LABEL:,} or fewer")
    try:
        return np.array([value.decode() if isinstance(value, bytes) else str(value) for value in values])
    except UnicodeDecodeError as error:
        raise UserError(f"{what} holds bytes that are no UTF-8 ({error.reason}); decode them first") from None


def _label_kind(kind: type) -> str:
    if kind.__name__ in MISSING:
        return "missing"
    for name, types in {"text": str, "bytes": bytes, "bool": (bool, np.bool_), "number": (Real, Decimal)}.items():
        if issubclass(kind, types):  # type: ignore[arg-type]
            return name
    return ""


def _missing(what: str, row: int) -> UserError:
    return UserError(f"{what} holds labels that are missing or not finite, the first in row {row}; drop such examples")


def _described(value: Any) -> str:
    """A value for a refusal: `the text '5,1', a decimal comma`."""
    if isinstance(value, (str, bytes)):
        comma = isinstance(value, str) and DECIMAL_COMMA.fullmatch(value) is not None
        return f"the text {value[:40]!r}{' with a decimal comma' if comma else ''}"
    if isinstance(value, (Integral, float)):
        return f"the {'truth value' if isinstance(value, (bool, np.bool_)) else 'number'} {value}"
    return f"a value of type {type(value).__name__}"


def _cell(position: int, shape: Sequence[int], columns: Sequence[str]) -> str:
    """Where a value lies in an array of that shape: `row 4, column 'age'`."""
    row, value = divmod(position, max(1, math.prod(shape[1:])))
    if len(shape) < 2:
        return f"row {row}"
    return f"row {row}, column {str(columns[value])!r}" if value < len(columns) else f"row {row}, value {value}"


def _shortened(error: Exception) -> str:
    line = str(error).partition("\n")[0]
    return line if len(line) <= 120 else f"{line[:120].rpartition(' ')[0]} ..."
