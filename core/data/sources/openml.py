"""Tables from OpenML, fetched by scikit-learn."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError

import numpy as np

from core.data.arrays import from_arrays, natural_order, split_by_class
from core.data.dataset import Dataset
from core.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

MOST_VALUES = 200_000_000  # rows times columns, as numbers: 800 MB
MOST_CATEGORIES = 100  # of one column
MOST_NUMBERS = 100  # different values of a target that is numeric; more is a quantity
SHARES = {"test": 0.2, "validation": 0.2}


def openml(name: str, folder: Path | None = None) -> Dataset:
    """Load a table of OpenML by name or number: numeric columns as they are, a 0/1 column for each category.

    A missing number becomes the median of its column's training rows; a missing category is 0 in each of its columns.
    The table is kept in `folder`, by default in scikit-learn's own.
    Raises UserError where OpenML can't be reached, the table is too large, or its target is no label.
    """
    bunch = _fetch(name, folder)
    frame, target = bunch.data, bunch.target
    if target is None or target.ndim != 1:
        raise UserError(f"OpenML's {name!r} has no single target column; choose a table made for classification")
    kept = target.notna().to_numpy()
    frame, y = frame[kept], target[kept].to_numpy()
    if y.dtype.kind not in "iuf":
        y = y.astype(str)
    elif len(np.unique(y)) > MOST_NUMBERS:
        raise UserError(
            f"the target {target.name!r} of OpenML's {name!r} is a quantity, with {len(np.unique(y)):,} different "
            "values; choose a table made for classification"
        )
    values, columns = _numbers(frame, name)
    # The same rows that from_arrays will train on: it splits by class too, with this seed and these shares.
    train = split_by_class(np.unique(y, return_inverse=True)[1], SHARES, seed=0)["train"]
    for k in np.flatnonzero(np.isnan(values).any(axis=0)):
        present = values[train, k][~np.isnan(values[train, k])]
        values[np.isnan(values[:, k]), k] = np.median(present) if len(present) else 0.0
    details = bunch.details
    return from_arrays(
        values,
        y,
        name=f"openml:{name}",
        columns=columns,
        test=SHARES["test"],
        validation=SHARES["validation"],
        source=f"{len(y):,} rows of {details['name']} (OpenML table {details['id']}, version {details['version']})",
    )


def _fetch(name: str, folder: Path | None) -> Any:
    """Fetch a table by name or number as scikit-learn's Bunch. Raises UserError for whatever fails."""
    from sklearn.datasets import fetch_openml

    # A name becomes part of an address and of a cached file's path.
    if not re.fullmatch(r"[A-Za-z0-9_(),-][A-Za-z0-9_.(),-]*", name):
        raise UserError(f"'openml:{name}' names no table; give a name or number as on openml.org, as in openml:iris")
    which: dict[str, Any] = {"data_id": int(name)} if name.isdigit() else {"name": name}
    try:
        with warnings.catch_warnings():
            # a failed attempt is reported once, below
            warnings.filterwarnings("ignore", message="A network error|Invalid cache|Downloaded file")
            # The faster "pandas" parser fails on labels that are numbers as text, as in {0, 1}, with pandas 3.
            return fetch_openml(**which, as_frame=True, parser="liac-arff", data_home=folder and str(folder))
    except Exception as error:  # also http.client's, gzip's and the parsers' own
        reason = (str(error).strip() or type(error).__name__).partition("\n")[0].rstrip(".")[:160]
        if isinstance(error, HTTPError) and error.code < 500:
            raise UserError(f"OpenML refused {name!r} ({reason}); check its name on openml.org") from None
        if isinstance(error, PermissionError):
            raise UserError(f"OpenML's table can't be kept ({reason}); give another folder with --data-dir") from None
        if isinstance(error, OSError):
            raise UserError(
                f"could not reach OpenML for {name!r} ({reason}); check the network or use --data digits"
            ) from None
        raise UserError(
            f"OpenML's {name!r} can't be used ({reason}); check its name on openml.org or choose another table"
        ) from None


def _numbers(frame: pd.DataFrame, name: str) -> tuple[np.ndarray, list[str]]:
    """Encode a table as float32 (rows, columns), NaN where a number is missing, and name the columns."""
    import pandas as pd

    categories: dict[Any, list[str] | None] = {}
    for column in frame.columns:
        values = frame[column]
        if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
            categories[column] = None
            continue
        names = sorted(values.dropna().astype(str).unique())
        if len(names) > MOST_CATEGORIES:
            raise UserError(
                f"column {column!r} of OpenML's {name!r} has {len(names):,} different texts, more than "
                f"{MOST_CATEGORIES}; choose another table"
            )
        categories[column] = [names[k] for k in natural_order(names)]
    width = sum(1 if texts is None else len(texts) for texts in categories.values())
    if not width:
        raise UserError(f"OpenML's {name!r} has no columns to learn from; choose another table")
    if len(frame) * width > MOST_VALUES:
        raise UserError(
            f"OpenML's {name!r} has {len(frame):,} rows of {width:,} numbers, more than {MOST_VALUES:,} in all; "
            "choose a smaller table"
        )
    numbers = np.empty((len(frame), width), np.float32)
    headings: list[str] = []
    for column, texts in categories.items():
        if texts is None:
            with np.errstate(over="ignore"):  # from_arrays names the cell
                numbers[:, len(headings)] = frame[column].to_numpy(dtype=np.float64, na_value=np.nan)
            headings.append(str(column))
            continue
        cells = frame[column].astype(object).where(frame[column].notna(), None).map(str, na_action="ignore")
        for text in texts:
            numbers[:, len(headings)] = (cells == text).to_numpy(dtype=bool)
            headings.append(f"{column} is {text}")
    return numbers, headings
