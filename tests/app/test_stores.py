"""Whatever the store holds: a page that says what to do next, never a stack trace."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from app.charts import curves
from app.store.cache import VARIABLE
from tests.helpers.app import copy_run, edit_metrics, edit_record, go, open_page, readout, slider, sliders, texts, well

PAGES = ("pick", "compare")


@pytest.mark.parametrize("page", PAGES)
def test_an_empty_store(store: Path, page: str) -> None:
    at = well(open_page(page))
    assert "There is no run here yet" in texts(at)
    assert f"-m core train --data digits --epochs 60 --out {store}/digits" in texts(at)
    assert not at.get("plotly_chart")


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("kind", ["missing", "a file", "with space"])
def test_a_store_that_is_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, page: str, kind: str) -> None:
    folder = tmp_path / kind
    if kind == "a file":
        folder.write_text("not a store")
    monkeypatch.setenv(VARIABLE, str(folder))
    at = well(open_page(page))
    assert "The folder with the runs is not there" in texts(at)
    assert "core train" in texts(at)
    assert ("'" in at.code[0].value) == (" " in str(folder)), "the command can be pasted as it is"


DAMAGE: dict[str, Callable[[Path], object]] = {
    "no JSON": lambda run: (run / "run.json").write_text("{"),
    "newer schema": lambda run: edit_record(run, lambda record: record.update(schema=99)),
    "no weights": lambda run: (run / "model.safetensors").unlink(),
    "weights cut short": lambda run: os.truncate(run / "model.safetensors", 1000),
    "unknown task": lambda run: edit_record(run, lambda record: record.update(task="juggling")),
    "settings of the wrong type": lambda run: edit_record(run, lambda record: record.update(data=[1])),
    "nothing": lambda run: shutil.rmtree(run) or run.mkdir(),
}


@pytest.mark.parametrize("page", PAGES)
def test_runs_that_cannot_be_read_are_named_and_the_others_work(digits: Path, page: str) -> None:
    for name, damage in DAMAGE.items():
        damage(copy_run(digits, "digits-paper", f"bad-{name.replace(' ', '-')}"))
    copy_run(digits, "digits-paper", "<b>not a name")
    (digits / "half.unfinished").mkdir()
    (digits / "a file").write_text("no run")
    at = well(open_page(page))
    assert [e.label for e in at.expander if "be read" in e.label] == [f"{len(DAMAGE) + 2} runs can't be read"]
    said = texts(at)
    assert all(f"bad-{name.replace(' ', '-')}: " in said for name in DAMAGE)
    assert "a file" not in said
    assert at.get("plotly_chart")
    chosen = at.selectbox(key="pick-run") if page == "pick" else at.multiselect(key="compare-runs")
    assert not any("bad" in option for option in chosen.options)


@pytest.mark.parametrize("page", PAGES)
def test_a_store_of_broken_runs_alone(store: Path, page: str) -> None:
    DAMAGE["no JSON"](copy_run(store))
    at = well(open_page(page))
    assert "There is no run here yet" in texts(at)
    assert "1 run can't be read" in [e.label for e in at.expander]


METRICS_DAMAGE: dict[str, Callable[[Path], object]] = {
    "missing": lambda run: (run / "metrics.parquet").unlink(),
    "no parquet": lambda run: (run / "metrics.parquet").write_text("no parquet"),
    "cut short": lambda run: os.truncate(run / "metrics.parquet", 3000),
    "a folder": lambda run: (run / "metrics.parquet").unlink() or (run / "metrics.parquet").mkdir(),
    "no rows": lambda run: edit_metrics(run, lambda f: f.iloc[:0]),
    "no column": lambda run: edit_metrics(run, lambda f: f.drop(columns="accuracy_low")),
    "no validation": lambda run: edit_metrics(run, lambda f: f.drop(columns="validation_accuracy")),
    "not numbers": lambda run: edit_metrics(run, lambda f: f.assign(accuracy=np.nan)),
    "texts": lambda run: edit_metrics(run, lambda f: f.assign(bytes=["<b>"] * len(f))),
    "infinite": lambda run: edit_metrics(run, lambda f: f.assign(accuracy_high=np.inf)),
    "sizes of nothing": lambda run: edit_metrics(run, lambda f: f.assign(params=0)),
    "widths twice": lambda run: edit_metrics(run, lambda f: f.assign(width=3)),
    "widths of another": lambda run: edit_metrics(run, lambda f: f.assign(width=f["width"] + 1000)),
}


@pytest.mark.slow
@pytest.mark.parametrize("damage", METRICS_DAMAGE)
def test_damaged_figures_say_how_to_measure_them(store: Path, damage: str) -> None:
    run = copy_run(store)
    METRICS_DAMAGE[damage](run)
    at = well(open_page())
    assert "The figures of digits-stratified" in texts(at)
    assert f"-m core sweep {run}" in texts(at)
    assert not sliders(at)
    copy_run(store, "digits-paper")
    at = well(open_page(run="digits-stratified"))
    assert "The figures of digits-stratified" in texts(at)
    at = well(at.selectbox(key="pick-run").set_value("digits-paper").run())
    assert sliders(at), "another run can be chosen from there"
    assert well(open_page()).selectbox(key="pick-run").value == "digits-paper", "a first visit sees a run that works"
    assert "The figures of" in texts(well(open_page("compare", runs="digits-stratified,digits-paper")))


@pytest.mark.parametrize("file", ["predictions.parquet", "latency.parquet", "examples.safetensors"])
@pytest.mark.parametrize("how", ["gone", "junk"])
def test_what_is_only_extra_may_be_missing_or_damaged(digits: Path, file: str, how: str) -> None:
    path = digits / "digits-stratified" / file
    path.unlink() if how == "gone" else path.write_bytes(b"junk")
    at = well(open_page(run="digits-stratified", width="9"))
    assert ("The test examples" in texts(at)) == (file != "predictions.parquet")
    assert bool(readout(at)["time"]) == (file != "latency.parquet")
    assert "a size that fits" not in texts(well(open_page("compare", runs="digits-stratified,digits-paper")))


def test_a_single_run_is_named_and_compares_with_nothing(store: Path) -> None:
    copy_run(store)
    at = well(open_page())
    assert not at.selectbox
    assert "digits-stratified: It tells 10 kinds apart" in texts(at)
    assert not at.page_link
    assert "There is only one run here" in texts(well(open_page("compare")))


def test_a_run_of_an_own_factory_gives_its_numbers_alone(store: Path) -> None:
    edit_record(copy_run(store), lambda record: record.update(family={"name": None, "settings": {}}))
    at = well(open_page())
    assert at.radio(key="download-format").options == ["Weights only (safetensors)"]
    assert "a program of its owner's" in texts(at)
    (store / "digits-stratified" / "metrics.parquet").unlink()
    at = well(open_page())
    assert "sweep(run, data, family=family)" in texts(at)
    assert "-m core sweep" not in "".join(code.value for code in at.code), "a command that could not work"


@pytest.mark.slow
@pytest.mark.parametrize("keep", [slice(-1, None), slice(3, 9, 5), slice(0, None, 17)])
def test_runs_with_few_measured_sizes(digits: Path, keep: slice) -> None:
    edit_metrics(digits / "digits-stratified", lambda f: f.sort_values("width").iloc[keep])
    at = well(open_page(run="digits-stratified"))
    assert len(slider(at)["rows"]) == len(range(*keep.indices(128)))
    assert ("were measured" in texts(at)) == (slider(at)["rows"][-1]["width"] != 128)
    at = well(open_page(run="digits-stratified", width="50"))
    assert "The link asks for a size" in texts(at)
    well(open_page("compare", runs="digits-stratified,digits-paper"))


def test_labels_and_sources_are_text(store: Path) -> None:
    def hostile(record: dict) -> None:
        record["labels"] = ["**yes** <b>x</b>", "[no](http://evil.org) :red[x]"]
        record["data"].update(source="<img src=x> # head\n- list", name="`x` **y**")
        record["recipe"]["name"] = "$x$ <script>"

    edit_record(copy_run(store, name="a" * 100), hostile)
    edit_record(copy_run(store, name="b" * 100), hostile)
    at = well(open_page())
    raw = at.caption[0].value
    assert r"\*\*yes\*\* \<b\>x\</b\>" in raw
    assert r"\[no\]\(http" in raw
    assert "\n" not in raw
    at = well(go(at, "compare"))
    assert "…" in texts(at)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_what_nobody_foresaw_is_a_sentence_too(
    digits: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, page: str
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise ZeroDivisionError("a secret of /the/machine")

    at = open_page(page)
    with monkeypatch.context() as patch:
        patch.setattr(curves, "size_curve" if page == "pick" else "comparison", fail)
        at = at.run()
    assert not at.exception
    assert "something in it is not as it should be" in texts(at)
    assert "secret" not in texts(at)
    assert "a secret of /the/machine" in caplog.text, "who runs the explorer can find the fault"
    well(at.run())


@pytest.mark.slow
def test_a_store_that_changes_while_it_is_open_is_noticed(digits: Path) -> None:
    at = well(open_page(run="digits-stratified", width="5"))
    before = readout(at)["value"]
    edit_metrics(digits / "digits-stratified", lambda f: f.assign(accuracy=f["accuracy"] / 2))
    assert readout(well(at.run()))["value"] != before
    copy_run(digits, "digits-paper", "newcomer")
    at = well(at.run())
    assert "newcomer (digits)" in at.selectbox(key="pick-run").options
    assert at.selectbox(key="pick-run").value == "digits-stratified", "but what is looked at stays"
    shutil.rmtree(digits / "digits-stratified")
    at = well(at.run())
    assert "The run digits-stratified is no longer here" in texts(at)
    assert "no longer here" not in texts(well(at.run()))
    for run in list(digits.iterdir()):
        shutil.rmtree(run)
    assert "There is no run here yet" in texts(well(at.run()))
