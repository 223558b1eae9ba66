"""Data that mislead are told of in one sentence each; sound data are not."""

import dataclasses
import time

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer, load_iris

from core.data import Split, from_arrays, load

IRIS = load_iris(as_frame=True)
X = IRIS.data
SPECIES = np.array(["setosa", "versicolor", "virginica"])[IRIS.target]
N = len(X)


def told(x, y, **settings) -> list[str]:
    sentences = from_arrays(x, y, **settings).warnings
    assert not any("\n" in sentence or len(sentence) > 300 for sentence in sentences)
    return list(sentences)


def only(sentences: list[str], word: str) -> str:
    (sentence,) = [sentence for sentence in sentences if word in sentence]
    return sentence


@pytest.mark.parametrize("name", ["digits", "diabetes", "photo:flower", "super-resolution"])
def test_our_own_data_have_nothing_to_tell(name):
    assert load(name).warnings == ()


def test_sound_data_have_nothing_to_tell():
    cancer = load_breast_cancer(as_frame=True)
    assert told(cancer.data, cancer.target) == []
    assert told(X, SPECIES, test=0.3) == []
    letters = np.array(list("aAbB"))[np.arange(400) % 4]
    assert told(np.random.default_rng(0).normal(size=(400, 3)), letters) == [], "letters may differ by case alone"


def test_a_class_of_few_or_no_test_rows_is_named_with_its_count():
    y = np.repeat([0, 1, 2], [59, 15, 2])
    sentences = told(np.random.default_rng(0).normal(size=(len(y), 3)), y)
    assert only(sentences, "no test row").startswith("no test row is of class '2', so no figure says anything of it; ")
    assert only(sentences, "fewer").startswith("fewer than 10 test rows for 2 of 3 classes ('0' 9 and '1' 2), so ")


def test_a_class_without_a_training_row_is_named():
    data = from_arrays(X, SPECIES, test=0.3)
    part = data.train
    kept = part.y != 1
    data = dataclasses.replace(data, train=Split(x=part.x[kept], y=part.y[kept]))
    assert only(list(data.warnings), "training").startswith("no training row is of class 'versicolor', so it can't be")
    one = dataclasses.replace(data, train=Split(x=part.x[part.y == 0], y=part.y[part.y == 0]))
    assert "every training row is of class 'setosa'" in only(list(one.warnings), "every training row")


@pytest.mark.parametrize(
    "labels",
    [
        (" Iris setosa", "iris setosa", "Iris setosa"),
        ("Iris_setosa", "Iris  setosa", "Iris\u00a0setosa"),
        ("cafe\u0301", "caf\u00e9", "CAF\u00c9"),
        ("1", "1.0", "01"),
    ],
)
def test_labels_that_are_variants_of_one_name_are_told(labels):
    sentence = only(told(X, np.array(labels)[IRIS.target]), "differ only")
    assert all(repr(label) in sentence for label in labels)
    assert sentence.endswith("if they are one class, write them alike")


@pytest.mark.parametrize("label", ["nan", "NA", "", " ", "None", "<NA>", "?"])
def test_a_label_that_means_missing_is_told(label):
    assert "; if it is one, drop" in only(told(X, np.where(IRIS.target == 0, label, SPECIES)), f"class {label!r} looks")


def test_a_measurement_or_a_name_as_label_is_told():
    width = X["petal width (cm)"]
    sentence = only(told(X.drop(columns=width.name), width), "decimals")
    assert sentence.startswith("the 22 classes are numbers with decimals, 0.1, 0.2, 0.3, 0.4 and 18 more: ")
    assert "task='regression'" in sentence
    rng = np.random.default_rng(0)
    sentence = only(told(rng.normal(size=(300, 3)), np.arange(300) // 6), "share")
    assert sentence.startswith("50 classes share 300 rows, 6.0 each: if the label is a measurement, ")
    names = [f"person {k // 6}" for k in range(300)]
    assert "a name or number of each row" in only(told(rng.normal(size=(300, 3)), names), "share")
    assert told(rng.normal(size=(5000, 3)), np.arange(5000) % 50) == [], "many classes of many rows are sound"


@pytest.mark.parametrize("shuffled", [False, True])
def test_an_id_of_rows_sorted_by_class_is_told(shuffled):
    table = X.assign(id=np.arange(N) + 1000)
    order = np.random.default_rng(0).permutation(N) if shuffled else np.arange(N)
    sentence = only(told(table.iloc[order], SPECIES[order], test=0.3), "every row")
    assert sentence.startswith("column 'id' is different in every row and enough to tell over 90% of the labels; ")
    drawn = np.random.default_rng(0).permutation(N)
    assert told(X.assign(id=drawn), SPECIES, test=0.3) == [], "an id that tells nothing"


def test_an_id_of_rows_sorted_by_the_number_to_predict_is_told():
    y = np.arange(N) ** 1.5
    assert "column 'id' is different" in only(told(X.assign(id=np.arange(N)), y, task="regression"), "every row")


def test_a_copy_of_the_label_is_told():
    sentence = only(told(X.assign(code=3 * IRIS.target), SPECIES, test=0.3), "copy")
    assert sentence.startswith("column 'code' is as good as a copy of the label, one value for each; leave out")
    y = np.random.default_rng(0).normal(size=N)
    assert "column 'same' is" in only(told(X.assign(same=y), y, task="regression"), "copy")


def test_test_rows_that_are_training_rows_are_counted():
    sentence = only(told(pd.concat([X] * 3), np.tile(SPECIES, 3)), "training rows too")
    assert sentence.startswith("61 of 66 test rows (92%) are training rows too, with their label, ")
    kept = ~X.duplicated()
    other = np.concatenate([SPECIES[kept], np.roll(SPECIES, 50)[kept]])  # the same values with another label
    assert not any("training rows too" in s for s in told(pd.concat([X[kept]] * 2), other))


def test_columns_that_say_nothing_are_named():
    sentences = told(X.assign(still=1.0, time=1.6e9 + np.arange(N) % 100), SPECIES, test=0.3)
    assert only(sentences, "constant").startswith("column 'still' is constant in the training part; ")
    assert only(sentences, "32 bits").startswith("column 'time' is too large for changes so small to be kept ")
    assert told(X.assign(still=1.0).to_numpy(), SPECIES, test=0.3) == [], "columns without names are pixels and codes"


def test_a_part_of_few_rows_is_told_where_numbers_are_predicted():
    assert only(told(X[:40], np.random.default_rng(0).normal(size=40), task="regression"), "only 6 rows")


def test_a_million_rows_take_seconds():
    rng = np.random.default_rng(0)
    data = from_arrays(rng.integers(0, 255, (10**6, 20), dtype=np.uint8), rng.integers(0, 100, 10**6))
    before = time.process_time()
    assert data.warnings == ()
    assert time.process_time() - before < 20
