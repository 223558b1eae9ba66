import gzip
import hashlib
import io
import json
from pathlib import Path
from urllib.error import HTTPError, URLError

import numpy as np
import pytest
from sklearn.datasets import _openml

from core.data import load
from core.errors import UserError

FIXTURES = Path(__file__).parents[2] / "fixtures" / "openml"


class Answer(io.BytesIO):
    """What urlopen gives: gzipped content that says so."""

    def info(self) -> dict[str, str]:
        return {"Content-Encoding": "gzip"}


class Server:
    """OpenML as scikit-learn sees it, from files; `arff`, `features` and `description` can be changed."""

    def __init__(self) -> None:
        self.files = {path.stem: path.read_text() for path in FIXTURES.iterdir()}
        self.fails: Exception | None = None
        self.asked: list[str] = []

    def urlopen(self, request):
        url = request.full_url
        self.asked.append(url)
        if self.fails:
            raise self.fails
        kinds = {"/data/list/": "list", "/features/": "features", "/qualities/": "qualities", "/download/": "plants"}
        kind = next((found for part, found in kinds.items() if part in url), "description")
        md5 = hashlib.md5(self.files["plants"].encode()).hexdigest()
        return Answer(gzip.compress(self.files[kind].replace("@MD5@", md5).encode()))

    def table(self, columns: dict[str, str], rows: list[str], target: str) -> None:
        """Serve another table: column name to ARFF type, rows as text."""
        lines = [f"@attribute {name} {kind}" for name, kind in columns.items()]
        self.files["plants"] = "\n".join(["@relation plants", *lines, "@data", *rows]) + "\n"
        features = [
            {
                "index": str(k),
                "name": name,
                "data_type": "nominal" if kind.startswith("{") else kind,
                "is_target": str(name == target).lower(),
                "is_ignore": "false",
                "is_row_identifier": "false",
                "number_of_missing_values": "0",
            }
            for k, (name, kind) in enumerate(columns.items())
        ]
        self.files["features"] = json.dumps({"data_features": {"feature": features}})


@pytest.fixture
def server(monkeypatch) -> Server:
    made = Server()
    monkeypatch.setattr(_openml, "urlopen", made.urlopen)
    monkeypatch.setattr(_openml.time, "sleep", lambda seconds: None)
    return made


@pytest.fixture
def fetch(server, tmp_path):
    return lambda name="plants": load(f"openml:{name}", data_dir=str(tmp_path))


@pytest.mark.parametrize("name", ["plants", "9001"])
def test_table(fetch, name):
    data = fetch(name)
    assert data.name == f"openml:{name}"
    assert data.labels == ("9", "10")
    soils = ("class 2", "class 10", "clay", "sand")
    assert data.input.columns == ("height", "leaves", *(f"soil is {soil}" for soil in soils))
    assert data.source == "20 rows of plants (OpenML table 9001, version 2)"
    assert (data.train.n, data.validation.n, data.test.n) == (12, 4, 4)
    one_hot = np.concatenate([part.x[:, 2:] for part in (data.train, data.validation, data.test)])
    assert set(np.unique(one_hot)) == {0, 1}
    assert sorted(one_hot.sum(axis=1).tolist()) == [0] + [1] * 19  # one category is missing


def test_missing_numbers_become_the_training_median(server, tmp_path):
    heights = [f"{k + 1}.5" for k in range(30)]
    table = {"a": "numeric", "b": "{x, y}"}
    server.table(table, [f"{height},{'xy'[k % 2]}" for k, height in enumerate(heights)], target="b")
    whole = load("openml:plants", data_dir=str(tmp_path / "whole"))
    lost = {float(whole.test.x[0, 0]), float(whole.train.x[0, 0]), float(whole.train.x[3, 0])}
    rows = ["?" if float(height) in lost else height for height in heights]
    server.table(table, [f"{height},{'xy'[k % 2]}" for k, height in enumerate(rows)], target="b")
    filled = load("openml:plants", data_dir=str(tmp_path / "filled"))
    known = [value for value in whole.train.x[:, 0].tolist() if value not in lost]
    assert filled.test.x[0, 0] == filled.train.x[0, 0] == filled.train.x[3, 0] == np.median(known)
    assert filled.test.x[1:].tolist() == whole.test.x[1:].tolist()


def test_answer_is_kept(fetch, server):
    first = fetch()
    server.fails = URLError("no network")
    assert fetch().fingerprint == first.fingerprint


@pytest.mark.parametrize(
    ("fails", "sentence"),
    [
        (URLError("no route"), r"could not reach OpenML for 'plants' .*check the network or use --data digits"),
        (TimeoutError("timed out"), "could not reach OpenML"),
        (HTTPError("u", 503, "busy", None, None), "could not reach OpenML"),  # type: ignore[arg-type]
        (HTTPError("u", 404, "gone", None, None), "OpenML refused 'plants'.*check its name"),  # type: ignore[arg-type]
        (HTTPError("u", 412, "none", None, None), "OpenML's 'plants' can't be used.*check its name"),  # type: ignore[arg-type]
        (PermissionError(13, "Permission denied"), "can't be kept.*another folder"),
    ],
)
def test_failures_are_one_sentence(fetch, server, recwarn, fails, sentence):
    server.fails = fails
    with pytest.raises(UserError, match=sentence) as caught:
        fetch()
    assert "\n" not in str(caught.value)
    assert not [w for w in recwarn if "network error" in str(w.message)]


@pytest.mark.parametrize("name", ["", "../../etc", "a/b", "a b", "²", "..", "a?b=c"])
def test_names_that_could_leave_the_folder_are_never_asked_for(fetch, server, name):
    with pytest.raises(UserError, match="names no table"):
        fetch(name)
    assert not server.asked


def test_sparse_table(fetch, server):
    server.files["description"] = server.files["description"].replace('"ARFF"', '"Sparse_ARFF"')
    with pytest.raises(UserError, match=r"can't be used.*choose another table"):
        fetch()


def test_target_that_is_a_quantity(fetch, server):
    server.table({"a": "numeric", "b": "numeric"}, [f"{k},{k / 7}" for k in range(300)], target="b")
    with pytest.raises(UserError, match="the target 'b' of OpenML's 'plants' is a quantity, with 300"):
        fetch()


def test_numeric_target_of_few_values_is_a_label(fetch, server):
    server.table({"a": "numeric", "b": "numeric"}, [f"{k},{k % 3}" for k in range(30)], target="b")
    assert fetch().labels == ("0", "1", "2")


def test_table_without_target_or_columns(fetch, server):
    server.table({"a": "numeric", "b": "numeric"}, ["1,2"] * 9, target="none")
    with pytest.raises(UserError, match="no single target"):
        fetch()


def test_table_without_columns(fetch, server):
    server.table({"b": "{x, y}"}, ["x", "y"] * 9, target="b")
    with pytest.raises(UserError, match=r"no columns|can't be used"):
        fetch()


def test_limits(fetch, server, monkeypatch):
    monkeypatch.setattr("core.data.sources.openml.MOST_VALUES", 119)
    with pytest.raises(UserError, match="20 rows of 6 numbers, more than 119 in all"):
        fetch()
    monkeypatch.setattr("core.data.sources.openml.MOST_CATEGORIES", 3)
    with pytest.raises(UserError, match="column 'soil' of OpenML's 'plants' has 4 different texts"):
        fetch()


def test_infinite_number_is_named(fetch, server):
    server.table({"a": "numeric", "b": "{x, y}"}, [f"{'1e300' if k == 5 else k},{'xy'[k % 2]}" for k in range(20)], "b")
    with pytest.raises(UserError, match="row 5, column 'a'"):
        fetch()
