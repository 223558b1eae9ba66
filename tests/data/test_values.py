"""What people give as examples and labels is read with its right values, or refused by column and row."""

import datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import scipy.sparse
import torch

from core.data import from_arrays
from core.errors import UserError

N = 40
X = np.random.default_rng(0).normal(size=(N, 3)).astype(np.float32)
Y = np.arange(N) % 2
TABLE = pd.DataFrame(X, columns=["age", "height", "weight"])
HOLES = np.arange(3 * N).reshape(N, 3) % 17 == 4  # the first in row 1, value 1
HALF = N // 2


def with_column(values) -> pd.DataFrame:
    return TABLE.assign(more=values)


class Stream:
    """A table of another library, which shares it by Arrow's protocol alone."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table

    def __arrow_c_stream__(self, requested=None):
        return self.table.__arrow_c_stream__(requested)


class Array:
    """An object that is an array by NumPy's protocol, with columns that have names."""

    columns = ("age", "height", "weight")

    def __array__(self, dtype=None, copy=None):
        return X


@pytest.mark.parametrize(
    "table",
    [TABLE, pa.table(TABLE), pa.RecordBatch.from_pandas(TABLE), Stream(pa.table(TABLE)), Array(),
     TABLE.convert_dtypes(dtype_backend="pyarrow")],
    ids=["pandas", "arrow", "batch", "stream", "array", "arrow in pandas"],
)  # fmt: skip
def test_a_table_of_any_library_gives_names_and_numbers(table):
    data, plain = from_arrays(table, Y), from_arrays(X, Y)
    assert data.input.columns == ("age", "height", "weight")
    assert data.input.kind == "table"
    assert data.train.fingerprint == plain.train.fingerprint


def test_columns_that_are_data_are_no_names():
    class Odd(Array):
        columns = (np.arange(3), np.arange(3), np.arange(3))

    assert from_arrays(Odd(), Y).input.columns == ()


@pytest.mark.parametrize(
    ("values", "read"),
    [
        (pd.array([1, 2] * HALF, dtype="Int64"), [1, 2]),
        (pd.array([True, False] * HALF, dtype="boolean"), [1, 0]),
        (pd.Categorical([7, 3] * HALF, categories=[3, 5, 7]), [7, 3]),
        (np.array([1, Decimal("2.5")] * HALF, dtype=object), [1, 2.5]),
        (pd.arrays.SparseArray([0.0, 4.0] * HALF), [0, 4]),
    ],
)
def test_columns_of_numbers_of_any_type_keep_their_values(values, read):
    data = from_arrays(with_column(values), Y)  # labels alternate as the values do
    for part in (data.train, data.validation, data.test):
        assert part.x[:, 3].tolist() == [read[code] for code in part.y]


@pytest.mark.parametrize(
    ("x", "sentence"),
    [
        (with_column(["Ulm", "Bonn"] * HALF), "x holds the text 'Ulm' in row 0, column 'more'; give numbers"),
        (with_column(["5.1", "5,2"] * HALF), "x holds the text '5.1' in row 0, column 'more'"),
        (with_column(["5,1", "5,2"] * HALF), "the text '5,1' with a decimal comma in row 0, column 'more'"),
        (with_column(pd.Categorical(["u", "v"] * HALF)), "the text 'u' in row 0, column 'more'"),
        (with_column(pd.date_range("2024-01-01", periods=N)), r"x holds datetime64\[us\] values in column 'more'"),
        (with_column(pd.timedelta_range("1D", periods=N)), "timedelta64.* values in column 'more'"),
        (with_column(pd.period_range("2024", periods=N)), "a value of type Period in row 0, column 'more'"),
        (with_column(1j), "x holds complex128 values in column 'more'"),
        (with_column(pd.array([1, None] * HALF, dtype="Int64")), "missing, .* in row 1, column 'more'"),
        (with_column(pd.array([True, None] * HALF, dtype="boolean")), "missing, .* in row 1, column 'more'"),
        (with_column([None, *[1.0] * (N - 1)]), "missing, .* in row 0, column 'more'"),
        (with_column([1, *[10**400] * (N - 1)]), "too large in row 1, column 'more'"),
        (with_column([[1]] * N), "a value of type list in row 0, column 'more'"),
        (pa.table({"a": [1, None] * HALF}), "missing, .* in row 1, column 'a'"),
        (np.ma.masked_array(X, HOLES), "x is masked in row 1, value 1"),
        ([np.ma.masked_array([1.0, 2.0], [False, True])] * N, "x is masked in row 0, value 1"),
        (np.full((N, 2), "1"), "x holds the text '1' in row 0, value 0"),
        (np.array([[1, "2"]] * N, dtype=object), "x holds the text '2' in row 0, value 1"),
        (X.astype("M8[s]"), r"x holds datetime64\[s\] values"),
        (scipy.sparse.csr_matrix(X), r"x is a sparse matrix, csr_matrix of shape \(40, 3\); give x.toarray\(\)"),
        (torch.zeros(N, 3, dtype=torch.bfloat16), "can't be made a NumPy array .*BFloat16"),
        (np.zeros((0, 3)), r"x has shape \(0, 3\), without an example"),
        ({"a": [1] * N}, "x is a dict; give an array"),
        ("table.csv", "x is a str; give an array"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_inputs_that_are_no_numbers_are_refused_by_column_and_row(x, sentence):
    with pytest.raises(UserError, match=sentence) as caught:
        from_arrays(x, Y)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("y", "labels"),
    [
        (Y[:, None], ("0", "1")),
        ([[k] for k in Y.tolist()], ("0", "1")),
        (Y == 1, ("False", "True")),
        (pd.Series(Y == 1, dtype="boolean"), ("False", "True")),
        (pd.Series(Y, dtype="Int64"), ("0", "1")),
        (pd.Categorical(["a", "b"] * HALF, categories=["z", "b", "a"]), ("a", "b")),
        (pd.Index(["a", "b"] * HALF), ("a", "b")),
        (pd.Series([b"a", b"b"] * HALF), ("a", "b")),
        (["ä".encode(), b"b"] * HALF, ("b", "ä")),
        (pa.array(["a", "b"] * HALF), ("a", "b")),
        (pa.chunked_array([["a", "b"]] * HALF), ("a", "b")),
        ([torch.tensor(0), torch.tensor(1)] * HALF, ("0", "1")),
        (np.ma.masked_array(Y), ("0", "1")),
        ([2**70, 1] * HALF, ("1", str(2**70))),
    ],
    ids=str,
)
def test_labels_of_any_type_keep_their_names(y, labels):
    data = from_arrays(np.arange(N, dtype=np.float32)[:, None], y)
    assert data.labels == labels
    first = data.train.y[data.train.x[:, 0] % 2 == 0]
    assert len(set(first.tolist())) == 1, "equal labels have one code"


DAYS = pd.Series(pd.to_datetime(["2020-01-01", "2020-02-01"] * HALF))


@pytest.mark.parametrize(
    ("y", "sentence"),
    [
        (pd.Series([True, False, True, np.nan] * 10, dtype=object), "missing or not finite, the first in row 3"),
        (pd.Series(pd.to_datetime(["2020-01-01", None] * HALF)), "missing or not finite, the first in row 1"),
        (pd.Series(["a", None] * HALF, dtype="string"), "the first in row 1"),
        (pd.Series(pd.array([None, 1] * HALF, dtype="Int64")), "the first in row 0"),
        (["a", float("nan")] * HALF, "the first in row 1"),
        (["a", None] * HALF, "the first in row 1"),
        (pa.array(["a", "b", None, "b"] * 10), "the first in row 2"),
        (np.ma.masked_array(Y, np.arange(N) == 5), "y is masked in row 5"),
        ([1, "1"] * HALF, "two kinds, the number 1 in row 0 and the text '1' in row 1; use only"),
        ([True, 2] * HALF, "two kinds, the truth value True in row 0 and the number 2 in row 1"),
        (DAYS, "a value of type Timestamp in row 0; give labels as texts or whole numbers"),
        (DAYS.to_numpy(), "y holds datetime64"),
        ([datetime.date(2020, 1, 1), datetime.date(2021, 1, 1)] * HALF, "a value of type date in row 0"),
        (pd.cut(X[:, 0], 3), "a value of type Interval in row 0"),
        (Y * 1j, "y holds complex128 values"),
        ([b"\xff", b"a"] * HALF, "bytes that are no UTF-8"),
        (["a" * 10**6, "b"] * HALF, "a label of 1,000,000 characters; shorten it"),
        (["\ud800", "b"] * HALF, "a label of custom is called .*plain name"),
        (TABLE, "y has 3 columns; give the one that holds the labels"),
        ({"a": 1}, "y is a dict"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_labels_that_are_missing_or_mixed_are_refused_by_row(y, sentence):
    with pytest.raises(UserError, match=sentence) as caught:
        from_arrays(X, y)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("y", "sentence"),
    [
        (np.ma.masked_array(Y * 1.0, Y == 1), "y is masked in row 1"),
        (pd.Series(["1.5", "2"] * HALF), "y holds the text '1.5' in row 0; give numbers"),
        (pd.DataFrame({"a": X[:, 0], "b": [None, 1.0] * HALF}), "y is missing, .* in row 0, column 'b'"),
        (Y * 1j, "y holds complex128 values"),
        (DAYS, "y holds datetime64"),
        ([datetime.date(2020, 1, 1)] * N, "y holds a value of type date in row 0"),
        (X * np.float64(1e300), "too large in row 0, value 0"),
        (np.zeros((N, 2, 2)), r"y has shape \(40, 2, 2\)"),
        (Y[:-1], "x has 40 examples and y 39 targets"),
    ],
)
def test_numbers_to_predict_are_refused_by_column_and_row(y, sentence):
    with pytest.raises(UserError, match=sentence):
        from_arrays(X, y, task="regression")


def test_outputs_are_named_after_a_tables_columns():
    assert from_arrays(X, TABLE[["age", "weight"]], task="regression").labels == ("age", "weight")
    assert from_arrays(X, TABLE["age"], task="regression").labels == ("age",)
    assert from_arrays(X, X[:, :2], task="regression").labels == ("value 1", "value 2")


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (["a", "a", "b"], "two columns of custom are called 'a'; give each a name of its own"),
        (["a", " a", "b"], "two columns of custom are called 'a'"),
        (["", "a", "b"], "a column of custom is called ''; give it a plain name"),
        ([" ", "a", "b"], "a column of custom is called ''"),
        (["Truth", "a", "b"], "a column of custom is called 'Truth', a heading of the table that shows"),
        (["a" * 2000, "a", "b"], "one of the columns has 2,000 characters"),
    ],
)
def test_columns_that_a_table_of_examples_cannot_show_are_refused(names, sentence):
    with pytest.raises(UserError, match=sentence):
        from_arrays(pd.DataFrame(X, columns=names), Y)
    with pytest.raises(UserError, match=sentence):
        from_arrays(X, Y, columns=names)


@pytest.mark.parametrize("labels", [["1", "0"], ["one", "0"]])
def test_names_that_would_swap_classes_are_refused(labels):
    with pytest.raises(UserError, match="which is another class; name them in the order 0, 1, or leave it out"):
        from_arrays(X, Y, labels=labels)
    with pytest.raises(UserError, match="two labels of custom are called 'same'"):
        from_arrays(X, Y, labels=["same", "same"])


def test_rows_of_one_index_in_two_orders_are_refused():
    y = pd.Series(["no", "yes"] * HALF)
    shuffled = y.sample(frac=1, random_state=1)
    with pytest.raises(UserError, match=r"one index in two orders; put them in one, as with y.loc\[x.index\]"):
        from_arrays(TABLE, shuffled)
    assert from_arrays(TABLE.loc[shuffled.index], shuffled).classes == 2
    assert from_arrays(TABLE, y.set_axis(range(100, 100 + N))).classes == 2, "by place, where the indices differ"


def test_a_test_part_with_its_columns_in_another_order_is_refused():
    turned = TABLE[["height", "age", "weight"]]
    with pytest.raises(UserError, match="the test part's column 0 is 'height', the training part's 'age'"):
        from_arrays(TABLE, Y, test_arrays=(turned, Y))
    assert from_arrays(TABLE, Y, test_arrays=(pa.table(TABLE), Y)).test.x.tolist() == X.tolist()
