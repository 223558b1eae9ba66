import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.data import from_arrays
from core.data.arrays import split_by_class
from core.errors import UserError

PARTS = ("train", "validation", "test")


def numbered(n: int, width: int = 2) -> np.ndarray:
    """Examples that say which row they were."""
    return np.tile(np.arange(n, dtype=np.float32)[:, None], width)


@given(
    st.lists(st.integers(3, 40), min_size=2, max_size=5),
    st.floats(0.01, 0.49),
    st.floats(0.01, 0.49),
    st.integers(0, 5),
)
def test_split_is_disjoint_complete_and_has_every_class_in_every_part(counts, test, validation, seed):
    y = np.repeat(np.arange(len(counts)), counts)
    parts = split_by_class(y, {"test": test, "validation": validation}, seed)
    assert sorted(np.concatenate(list(parts.values())).tolist()) == list(range(len(y)))
    for rows in parts.values():
        assert set(y[rows]) == set(y)


def test_split_keeps_shares_and_is_the_same_for_a_seed():
    x, y = numbered(1000), np.repeat([0, 1], [800, 200])
    first, again, other = (from_arrays(x, y, seed=seed) for seed in (3, 3, 4))
    assert first.fingerprint == again.fingerprint != other.fingerprint
    for part, share in zip(PARTS, (0.7, 0.15, 0.15), strict=True):
        assert first.part(part).n == round(1000 * share)
        assert first.part(part).y.mean() == pytest.approx(0.2)
    rows = np.concatenate([first.part(part).x[:, 0] for part in PARTS])
    assert sorted(rows.tolist()) == list(range(1000))


def test_rare_class_is_learnt_from_alone():
    data = from_arrays(numbered(22), [0] * 20 + [1, 1], test=0.45, validation=0.45)
    assert (data.train.y == 1).sum() == 2
    assert not (data.test.y == 1).any()


@pytest.mark.parametrize(
    ("y", "labels"),
    [
        ([10, 9, 2], ("2", "9", "10")),
        (["10", "9", "2"], ("2", "9", "10")),
        (["class 10", "class 9", "class 2"], ("class 2", "class 9", "class 10")),
        ([2.0, 0.0, 1.0], ("0", "1", "2")),
        ([0.5, 1.0, -1.0], ("-1.0", "0.5", "1.0")),
        (["nan", "1", "2"], ("1", "2", "nan")),
        ([b"b", b"c", b"a"], ("a", "b", "c")),
        (pd.Series(["x", "z", "y"], dtype="category"), ("x", "y", "z")),
    ],
)
def test_labels_are_in_natural_order_and_codes_follow(y, labels):
    repeated = list(y) * 5
    data = from_arrays(numbered(15), repeated)
    assert data.labels == labels
    shown = {str(int(v)) if isinstance(v, float) and all(float(u).is_integer() for u in y) else
             (v.decode() if isinstance(v, bytes) else str(v)) for v in y}  # fmt: skip
    assert shown == set(labels)
    texts = [v.decode() if isinstance(v, bytes) else v for v in repeated]
    for part in PARTS:
        split = data.part(part)
        for row, code in zip(split.x[:, 0], split.y, strict=True):
            assert data.labels[code] in (str(texts[int(row)]), str(texts[int(row)]).removesuffix(".0"))


def test_data_frame_gives_its_columns():
    frame = pd.DataFrame({"age": range(20), "size": np.linspace(0, 1, 20)})
    data = from_arrays(frame, pd.DataFrame({"label": ["a", "b"] * 10}))
    assert data.input.columns == ("age", "size")
    assert data.input.kind == "table"
    assert data.train.x.dtype == np.float32


def test_tensors_and_bytes():
    torch = pytest.importorskip("torch")
    data = from_arrays(torch.arange(160, dtype=torch.uint8).reshape(20, 2, 4), torch.arange(20) % 2, kind="image")
    assert (data.input.kind, data.input.shape, data.input.dtype) == ("image", (2, 4), "uint8")
    assert (data.input.low, data.input.high) == (0, 255)
    with pytest.raises(UserError, match="x can't be made a NumPy array"):
        from_arrays(torch.zeros(20, 2, requires_grad=True), torch.arange(20) % 2)


def test_given_test_part_is_kept_as_it_is():
    x, y = numbered(20), ["b", "a"] * 10
    data = from_arrays(x, y, test_arrays=([[7, 7], [8, 8]], ["b", "b"]), labels=["first", "second"])
    assert data.test.x[:, 0].tolist() == [7, 8]
    assert data.test.y.tolist() == [1, 1]
    assert data.train.n + data.validation.n == 20
    assert data.source == "22 examples of custom"


@pytest.mark.parametrize(
    ("test_arrays", "sentence"),
    [
        (([[1, 2]], ["c"]), "label 'c', which no training example has"),
        (([[1, 2, 3]], ["a"]), r"of shape \(3,\), the training part's float32 of shape \(2,\)"),
        ((np.zeros((1, 2), np.uint8), ["a"]), "the test part's examples are uint8"),
        (([[1, 2]], ["a", "b"]), "the test part's x has 1 examples and the test part's y 2 labels"),
        (([[1, np.nan]], ["a"]), "the test part's x is missing, infinite or too large in row 0, value 1"),
    ],
)
def test_given_test_part_that_does_not_fit(test_arrays, sentence):
    with pytest.raises(UserError, match=sentence):
        from_arrays(numbered(20), ["b", "a"] * 10, test_arrays=test_arrays)


def with_value(value: float) -> np.ndarray:
    x = numbered(20).astype(float)
    x[4, 1] = value
    return x


@pytest.mark.parametrize(
    ("x", "y", "settings", "sentence"),
    [
        (numbered(20), [0, 1] * 9, {}, "x has 20 examples and y 18 labels"),
        (numbered(20), [1] * 20, {}, "y holds 1 different labels; give 2 to 1000"),
        (numbered(3000), np.linspace(0, 1, 3000), {}, "for a quantity choose task='regression'"),
        (with_value(np.nan), [0, 1] * 10, {"columns": ["a", "b"]}, "row 4, column 'b'; fill in or drop"),
        (with_value(1e300), [0, 1] * 10, {}, "too large in row 4, value 1"),
        ([["a", "b"]] * 20, [0, 1] * 10, {}, "give numbers"),
        ([[None, 1]] * 20, [0, 1] * 10, {}, "x (holds values that are missing|is missing)"),
        ([[1, 2], [3]] * 10, [0, 1] * 10, {}, "rows of equal length"),
        (np.zeros((20, 2), complex), [0, 1] * 10, {}, "x holds complex128 values; give numbers"),
        (np.arange(20), [0, 1] * 10, {}, r"reshape\(-1, 1\)"),
        (numbered(20), [[0, 1]] * 20, {}, "give one label for each example"),
        (numbered(20), [0, np.nan] * 10, {}, "missing or not finite, the first in row 1"),
        (numbered(20), np.array([None, "a"] * 10, object), {}, "missing or not finite, the first in row 0"),
        (numbered(4), [0, 0, 1, 1], {}, "4 examples are too few for a test part"),
        (numbered(20), [0, 1] * 10, {"labels": ["one"]}, "1 labels are named, the examples have 2"),
        (numbered(20), [0, 1] * 10, {"columns": ["one"]}, "1 columns are named"),
        (numbered(20), [0, 1] * 10, {"test": 0.6, "validation": 0.5}, r"shares \(test 0.6, validation 0.5\)"),
        (numbered(20), [0, 1] * 10, {"validation": 0}, "must each be above 0"),
        (numbered(20), [0, 1] * 10, {"kind": "sound"}, "kind 'sound' are not known"),
        (np.zeros((20, 0)), [0, 1] * 10, {}, "can't be used; give 1 to"),
    ],
)
def test_each_mistake_has_its_sentence(x, y, settings, sentence):
    with pytest.raises(UserError, match=sentence) as caught:
        from_arrays(x, y, **settings)
    assert "\n" not in str(caught.value)
