"""Data sets that scikit-learn carries or fetches."""

from __future__ import annotations

import re
import warnings
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError

import numpy as np

from core.data.arrays import from_arrays, natural_order, split_by_class
from core.data.dataset import Dataset, InputFormat, Split
from core.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

MOST_VALUES = 200_000_000  # rows times columns, as numbers: 800 MB
MOST_CATEGORIES = 100  # of one column
MOST_NUMBERS = 100  # different values of a target that is numeric; more is a quantity
SHARES = {"test": 0.2, "validation": 0.2}


def digits() -> Dataset:
    """1,797 handwritten digits of 8 x 8 pixels, embedded in scikit-learn."""
    from sklearn.datasets import load_digits

    found = load_digits()
    x, y = found.images.astype(np.uint8), found.target.astype(np.int64)
    rows = split_by_class(y, SHARES, seed=0)
    parts = {part: Split(x=x[r], y=y[r]) for part, r in rows.items()}
    return Dataset(
        name="digits",
        task="classification",
        train=parts["train"],
        validation=parts["validation"],
        test=parts["test"],
        labels=tuple(str(k) for k in range(10)),
        input=InputFormat(
            kind="image", shape=(8, 8), dtype="uint8", low=0.0, high=16.0,
            meaning="8 x 8 pixels, 0 is empty and 16 is full ink",
        ),
        source="1,797 handwritten digits of 8 x 8 pixels (UCI Optical Recognition, as in scikit-learn)",
    )  # fmt: skip


def diabetes() -> Dataset:
    """442 patients, ten measurements each, and how far their diabetes had gone a year later; in scikit-learn."""
    from sklearn.datasets import load_diabetes

    found = load_diabetes(scaled=False)
    return from_arrays(
        found.data,
        found.target,
        name="diabetes",
        task="regression",
        labels=["disease progression"],
        columns=found.feature_names,
        test=SHARES["test"],
        validation=SHARES["validation"],
        source="442 patients with diabetes, ten measurements each, and how far the disease had gone a year later "
        "(Efron et al., 2004, as in scikit-learn)",
    )


def openml(name: str, data_home: str | None = None) -> Dataset:
    """A table from OpenML by name or number: numeric columns as they are, a 0/1 column for each category.

    A missing number becomes the median of its column's training rows; a missing category is 0 in each of its columns.
    Raises UserError where OpenML can't be reached, the table is too large, or its target is no label.
    """
    found = _fetch(name, data_home)
    frame, target = found.data, found.target
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
        known = values[train, k][~np.isnan(values[train, k])]
        values[np.isnan(values[:, k]), k] = np.median(known) if len(known) else 0.0
    details = found.details
    return from_arrays(
        values,
        y,
        name=f"openml:{name}",
        columns=columns,
        test=SHARES["test"],
        validation=SHARES["validation"],
        source=f"{len(y):,} rows of {details['name']} (OpenML table {details['id']}, version {details['version']})",
    )


def _fetch(name: str, data_home: str | None) -> Any:
    """scikit-learn's answer for a table's name or number, with what can go wrong as a UserError."""
    from sklearn.datasets import fetch_openml

    # A name becomes part of an address and of a cached file's path.
    if not re.fullmatch(r"[A-Za-z0-9_(),-][A-Za-z0-9_.(),-]*", name):
        raise UserError(f"'openml:{name}' names no table; want a name or number as on openml.org, as in openml:iris")
    which: dict[str, Any] = {"data_id": int(name)} if name.isdigit() else {"name": name}
    try:
        with warnings.catch_warnings():
            # What a failed attempt means is said once, below.
            warnings.filterwarnings("ignore", message="A network error|Invalid cache|Downloaded file")
            # The faster "pandas" parser fails on labels that are numbers as text, as in {0, 1}, with pandas 3.
            return fetch_openml(**which, as_frame=True, parser="liac-arff", data_home=data_home)
    except Exception as error:  # also http.client's, gzip's and the parsers' own
        reason = (str(error).strip() or type(error).__name__).partition("\n")[0].rstrip(".")[:160]
        if isinstance(error, HTTPError) and error.code < 500:
            raise UserError(f"OpenML refused {name!r} ({reason}); check its name on openml.org") from None
        if isinstance(error, PermissionError):
            raise UserError(f"what OpenML sends can't be kept ({reason}); give another folder as data_home") from None
        if isinstance(error, OSError):
            raise UserError(
                f"could not reach OpenML for {name!r} ({reason}); check the network or use --data digits"
            ) from None
        raise UserError(
            f"OpenML's {name!r} can't be used ({reason}); check its name on openml.org or choose another table"
        ) from None


def _numbers(frame: pd.DataFrame, name: str) -> tuple[np.ndarray, list[str]]:
    """A table as float32 (rows, columns) with NaN where a number is missing, and the columns' names."""
    import pandas as pd

    categories: dict[Any, list[str] | None] = {}
    for column in frame.columns:
        values = frame[column]
        if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
            categories[column] = None
            continue
        texts = sorted(values.dropna().astype(str).unique())
        if len(texts) > MOST_CATEGORIES:
            raise UserError(
                f"column {column!r} of OpenML's {name!r} has {len(texts):,} different texts, more than "
                f"{MOST_CATEGORIES}; choose another table"
            )
        categories[column] = [texts[k] for k in natural_order(texts)]
    width = sum(1 if texts is None else len(texts) for texts in categories.values())
    if not width:
        raise UserError(f"OpenML's {name!r} has no columns to learn from; choose another table")
    if len(frame) * width > MOST_VALUES:
        raise UserError(
            f"OpenML's {name!r} has {len(frame):,} rows of {width:,} numbers, more than {MOST_VALUES:,} in all; "
            "choose a smaller table"
        )
    found = np.empty((len(frame), width), np.float32)
    names: list[str] = []
    for column, known in categories.items():
        if known is None:
            with np.errstate(over="ignore"):  # from_arrays names the place
                found[:, len(names)] = frame[column].to_numpy(dtype=np.float64, na_value=np.nan)
            names.append(str(column))
            continue
        here = frame[column].astype(object).where(frame[column].notna(), None).map(str, na_action="ignore")
        for text in known:
            found[:, len(names)] = (here == text).to_numpy(dtype=bool)
            names.append(f"{column} is {text}")
    return found, names
