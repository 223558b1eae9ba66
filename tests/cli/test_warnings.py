"""Data that mislead are told of before the training, and wherever its figures are shown."""

import io
import zipfile

import numpy as np
import pandas as pd

from core import Run
from core.data import SOURCES, from_arrays
from core.data.sources.registry import Source


def rare():
    y = np.repeat(["often", "seldom|<b>", "never"], [80, 20, 2])
    table = pd.DataFrame(np.random.default_rng(0).normal(size=(len(y), 2)), columns=["a", "b"])
    return from_arrays(table.assign(still=3.0), y, name="rare")


def test_warnings_are_printed_stored_and_in_the_model_card(core, monkeypatch, tmp_path):
    monkeypatch.setitem(SOURCES, "rare", Source(rare, "a class of two rows"))
    out = tmp_path / "rare"
    answer = core("train", "--data", "rare", "--hidden", 4, "--epochs", 1, "--quiet", "--out", out)
    assert answer.status == 0
    told = answer.err.splitlines()
    assert [line[: len("warning: no test row")] for line in told] == [
        "warning: no test row",
        "warning: fewer than ",
        "warning: column 'sti",
    ]
    assert Run(out).record.data["warnings"] == [line.removeprefix("warning: ") for line in told]
    assert core("export", out, "--width", 4, "--out", tmp_path / "small.zip").status == 0
    with zipfile.ZipFile(io.BytesIO((tmp_path / "small.zip").read_bytes())) as bundle:
        card = bundle.read("model_card.md").decode()
    assert "- no test row is of class 'never', so no figure says anything of it; " in card
    assert "'seldom&#124;&lt;b&gt;' 3" in card, "a label's text stays text"
