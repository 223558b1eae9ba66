import dataclasses

import numpy as np
import pytest

from core.data import Dataset, InputFormat, Split
from core.data import dataset as module
from core.errors import UserError


def make(kind="array", dtype="float32", shape=(3,), n=(8, 4, 4), **changes) -> Dataset:
    rng = np.random.default_rng(0)
    parts = {}
    for name, rows in zip(("train", "validation", "test"), n, strict=True):
        x = rng.normal(size=(rows, *shape)) * 5 + 40
        parts[name] = Split(x=x.astype(dtype), y=np.arange(rows) % 2)
    settings = {
        "name": "made",
        "task": "classification",
        "labels": ("no", "yes"),
        "input": InputFormat(kind=kind, shape=shape, dtype=dtype),
        "source": "made here",
        **parts,
        **changes,
    }
    return Dataset(**settings)


def changed(split: Split, **arrays: np.ndarray) -> Split:
    return dataclasses.replace(split, **arrays)


def test_counts():
    data = make(shape=(2, 3))
    assert (data.classes, data.features, data.train.n, data.part("test").n) == (2, 6, 8, 4)


def test_statistics_of_columns_are_the_training_parts_alone():
    data = make()
    other = dataclasses.replace(data, test=changed(data.test, x=data.test.x * 1000), validation=data.test)
    for given in (data, other):
        mean, std = given.statistics()
        np.testing.assert_allclose(mean, data.train.x.mean(axis=0), rtol=1e-6)
        np.testing.assert_allclose(std, data.train.x.std(axis=0), rtol=1e-5)
        assert mean.dtype == std.dtype == np.float32
        assert mean.shape == std.shape == (3,)


def test_statistics_of_images_are_one_figure():
    data = make("image", "uint8", (4, 5))
    mean, std = data.statistics()
    assert mean.shape == std.shape == (4, 5)
    assert len(np.unique(mean)) == len(np.unique(std)) == 1
    assert mean[0, 0] == pytest.approx(data.train.x.mean())
    assert std[0, 0] == pytest.approx(data.train.x.std())


def test_statistics_do_not_depend_on_the_block(monkeypatch):
    whole = make(n=(101, 4, 4)).statistics()
    monkeypatch.setattr(module, "BLOCK", 7)
    for one, other in zip(whole, make(n=(101, 4, 4)).statistics(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


def test_constant_column_gets_deviation_one_and_a_tiny_real_one_keeps_its_own():
    data = make()
    x = data.train.x.copy()
    x[:, 0] = 0.1
    x[:, 1] = np.linspace(4e-7, 7e-7, len(x))  # wavelengths in metres
    std = dataclasses.replace(data, train=changed(data.train, x=x)).statistics()[1]
    assert std[0] == 1
    assert std[1] == pytest.approx(x[:, 1].std(), rel=1e-3)


@pytest.mark.parametrize("part", ["train", "validation", "test"])
@pytest.mark.parametrize("field", ["x", "y"])
def test_fingerprints_change_with_one_value(part, field):
    data = make()
    array = getattr(data.part(part), field).copy()
    array.flat[1] = 0 if array.flat[1] else 1
    other = dataclasses.replace(data, **{part: changed(data.part(part), **{field: array})})
    assert other.fingerprint != data.fingerprint
    differing = [p for p in module.PARTS if other.split_fingerprint(p) != data.split_fingerprint(p)]
    assert differing == [part]


def test_fingerprint_knows_names_and_not_the_order_in_memory():
    data = make()
    fortran = dataclasses.replace(data, train=changed(data.train, x=np.asfortranarray(data.train.x)))
    assert fortran.fingerprint == data.fingerprint == make().fingerprint
    named = dataclasses.replace(data.input, columns=("a", "b", "c"))
    others = [make(name="other"), make(labels=("no", "maybe")), make(input=named), make(labels=("no", "yes", "new"))]
    assert len({data.fingerprint, *(other.fingerprint for other in others)}) == 5


def test_input_format_survives_json():
    given = InputFormat(kind="table", shape=(2,), dtype="float32", low=0.5, columns=("a", "b"), meaning="two")
    assert InputFormat.from_json(given.to_json()) == given


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("kind", "sound"),
        ("dtype", "object"),
        ("shape", [0]),
        ("shape", [10**9]),
        ("shape", [float("inf")]),
        ("shape", None),
        ("low", "much"),
        ("columns", ["a"]),
    ],
)
def test_damaged_input_format_is_refused(key, value):
    good = InputFormat(kind="table", shape=(2,), dtype="float32", columns=("a", "b")).to_json()
    with pytest.raises(UserError, match="the input format is damaged"):
        InputFormat.from_json({**good, key: value})
    with pytest.raises(UserError, match=key):
        InputFormat.from_json({k: v for k, v in good.items() if k != key})


@pytest.mark.parametrize(
    ("bad", "sentence"),
    [
        (Split(x=np.zeros((0, 3), np.float32), y=np.zeros(0, np.int64)), "test part of made is empty"),
        (Split(x=np.zeros((2, 4), np.float32), y=np.zeros(2, np.int64)), r"inputs of shape \(2, 4\)"),
        (Split(x=np.zeros((2, 3), np.float64), y=np.zeros(2, np.int64)), "inputs of type float64"),
        (Split(x=np.zeros((2, 3), np.float32), y=np.zeros(2, np.int32)), "type int32"),
        (Split(x=np.zeros((2, 3), np.float32), y=np.zeros((2, 1), np.int64)), r"classes of shape \(2, 1\)"),
        (Split(x=np.zeros((2, 3), np.float32), y=np.array([0, 2])), "classes 0 to 2; 2 labels need 0 to 1"),
        (Split(x=np.full((2, 3), np.nan, np.float32), y=np.array([0, 1])), "not finite"),
    ],
)
def test_parts_that_do_not_agree_are_refused(bad, sentence):
    with pytest.raises(UserError, match=sentence):
        make(test=bad)


def test_unknown_part():
    with pytest.raises(UserError, match="part 'tset' is not known; choose one of train, validation, test"):
        make().split_fingerprint("tset")
