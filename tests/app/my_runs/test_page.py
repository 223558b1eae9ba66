"""My runs: what a person does with runs, whatever the store holds; never a stack trace, nothing lost."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from app.my_runs import page as my_runs_page
from app.my_runs import table as my_runs_table
from app.my_runs.actions import Packing
from app.store import cache as shown
from app.store.summary import BROKEN, READY, STARTED, UNMEASURED
from core import Run, RunStore
from core.runs.archive import archive, archived, empty
from core.runs.archive_zip import opened, pack
from core.runs.file_names import NOTES
from core.runs.notes import Notes, read_notes, write_notes
from tests.helpers.app import copy_run, edit_metrics, edit_record, go, open_page, texts, unfolded, well


def table(at: AppTest) -> pd.DataFrame:
    (found,) = at.dataframe
    return found.value


def choose(at: AppTest, run_id: str) -> AppTest:
    return well(at.selectbox(key="my-run").select(run_id).run())


def press(at: AppTest, label: str) -> AppTest:
    (button,) = (button for button in at.button if button.label == label)
    return well(button.click().run())


def field(at: AppTest, label: str) -> object:
    (found,) = (f for f in (*at.text_input, *at.text_area) if f.label == label)
    return found


def zip_of(run: Path) -> bytes:
    out = io.BytesIO()
    pack(Run(run), out)
    return out.getvalue()


def upload(at: AppTest, data: bytes, name: str = "x.zip") -> AppTest:
    (uploader,) = unfolded(at, "my-import").file_uploader
    return well(uploader.set_value((name, data, "application/zip")).run())


def test_each_run_in_a_line_with_its_own_unit(digits: Path, place: Callable[..., Path]) -> None:
    place("numbers"), place("picture")
    (copy_run(digits, name="bad") / "run.json").write_text("{")
    (copy_run(digits, name="unmeasured") / "metrics.parquet").unlink()
    edit_metrics(copy_run(digits, name="no-numbers"), lambda frame: frame.assign(accuracy="high"))
    (digits / "half.unfinished").mkdir()
    write_notes(digits / "digits-paper", Notes(title="Mine", tags=("keep",), note="one\ntwo"))
    at = well(open_page("runs"))
    found = table(at).set_index("Run")
    assert found["State"].to_dict() == {
        "bad": BROKEN, "digits-paper": READY, "digits-stratified": READY, "half.unfinished": STARTED,
        "no-numbers": BROKEN, "numbers": READY, "picture": READY, "unmeasured": UNMEASURED,
    }  # fmt: skip
    frame = Run(digits / "digits-paper").metrics()
    tenth = frame[frame["bytes"] <= frame["bytes"].iloc[-1] / 10].iloc[-1]
    line = found.loc["digits-paper"]
    assert line["Full size"].strip() == f"{100 * frame['accuracy'].iloc[-1]:.1f} %"
    assert line["At 10 %"].strip() == f"{100 * tenth['accuracy']:.1f} %"
    assert line["File"] == frame["bytes"].iloc[-1] / 1e3
    assert line["Curve"][-1] == pytest.approx(100 * frame["accuracy"].iloc[-1], abs=1e-3)
    assert (line["Title"], list(line["Tags"]), line["Note"]) == ("Mine", ["keep"], "one two")
    assert found.loc["picture", "Full size"].endswith(" dB")
    assert found.loc["numbers", "Measure"] == "Typical error (less is better)"
    assert pd.isna(found.loc["bad", "Full size"])


def test_search_and_order(digits: Path, place: Callable[..., Path]) -> None:
    place("numbers")
    write_notes(digits / "digits-paper", Notes(tags=("Für Anna",), note="the big one"))
    edit_record(digits / "digits-paper", lambda record: record.update(created="2001-01-01T00:00:00+00:00"))
    at = well(open_page("runs"))
    assert list(table(at)["Run"])[-1] == "digits-paper", "the newest comes first"
    for search, found in {"DIGITS": 2, "für big": 1, "typical error": 1, "mlp": 3, "für numbers": 0}.items():
        at = well(at.text_input(key="my-search").set_value(search).run())
        assert (len(table(at)) if found else 0) == found, search
        assert (f"{found} of 3 runs shown" in texts(at)) == (0 < found < 3)
    assert "No run holds all of these words" in texts(at)
    at = well(at.text_input(key="my-search").set_value("").run())
    at = well(at.selectbox(key="my-order").select(my_runs_table.SMALLEST).run())
    assert table(at)["File"].is_monotonic_increasing
    at = well(at.selectbox(key="my-order").select(my_runs_table.BEST).run())
    assert list(table(at)["Run"]) == ["digits-stratified", "digits-paper", "numbers"]


def test_figures_as_text_sort_as_numbers() -> None:
    figures = ["9.1 %", "97.1 %", "100.0 %", "0.0004 %", "1079.5 %"]
    texts_of = [my_runs_table._sortable(figure) for figure in figures]
    assert [text.strip() for text in sorted(texts_of)] == ["0.0004 %", "9.1 %", "97.1 %", "100.0 %", "1079.5 %"]


def test_words_of_ones_own(digits: Path) -> None:
    at = choose(open_page("runs"), "digits-paper")
    field(at, "Title").set_value("**Mine**")
    field(at, "Tags, with commas between").set_value("keep, for Anna, keep")
    field(at, "Note").set_value("one\ntwo")
    at = press(at, "Save")
    assert read_notes(digits / "digits-paper") == Notes(title="**Mine**", tags=("keep", "for Anna"), note="one\ntwo")
    assert "Saved with digits-paper." in texts(at)
    assert table(at).set_index("Run").loc["digits-paper", "Title"] == "**Mine**"
    assert "Saved" not in texts(at.run()), "it is said once"
    write_notes(digits / "digits-paper", Notes(title="Another's"))
    assert field(well(at.run()), "Title").value == "Another's"
    field(at, "Tags, with commas between").set_value(",".join("abcdefghijklmn"))
    at = press(at, "Save")
    assert "That was not done: there are 14 tags" in texts(at)
    assert read_notes(digits / "digits-paper").title == "Another's"


def test_rename_and_its_mistakes(digits: Path) -> None:
    at = choose(open_page("runs"), "digits-paper")
    for name, reason in {
        "digits-stratified": "exists in",
        "a b": "can't name a run",
        "../x": "can't name a run",
    }.items():
        field(at, "New name").set_value(name)
        at = press(at, "Rename")
        assert "That was not done" in texts(at)
        assert reason in texts(at)
    field(at, "New name").set_value("mine")
    at = press(at, "Rename")
    assert "digits-paper is now called mine." in texts(at)
    assert at.selectbox(key="my-run").value == "mine"
    assert at.query_params["run"] == "mine"
    assert sorted(os.listdir(digits)) == ["digits-stratified", "mine"]
    at = well(go(at, "runs", run="digits-paper"))
    assert "There is no run digits-paper here" in texts(at)


def test_remove_asks_and_can_be_taken_back(digits: Path) -> None:
    at = press(choose(open_page("runs"), "digits-paper"), "Remove")
    assert "Remove digits-paper? It goes into the archive" in texts(at)
    at = press(at, "No, keep it")
    assert sorted(os.listdir(digits)) == ["digits-paper", "digits-stratified"]
    at = press(press(at, "Remove"), "Yes, remove it")
    assert "digits-paper is in the archive now." in texts(at)
    assert list(table(at)["Run"]) == ["digits-stratified"]
    assert "Archive: 1 removed" in [e.label for e in at.expander]
    copy_run(digits, "digits-paper")
    at = press(at, "Bring it back")
    assert "That was not done: run 'digits-paper' exists" in texts(at)
    assert field(at, "Bring it back as").value == "digits-paper-2"
    at = press(at, "Bring it back")
    assert sorted(name for name in os.listdir(digits) if name[0] != ".") == [
        "digits-paper", "digits-paper-2", "digits-stratified",
    ]  # fmt: skip
    assert at.selectbox(key="my-run").value == "digits-paper-2"


def test_emptying_asks(digits: Path) -> None:
    at = press(press(choose(open_page("runs"), "digits-paper"), "Remove"), "Yes, remove it")
    at = press(at, "Empty the archive")
    assert "It moves the run to the trash, where it is kept for a day and then deleted for good." in texts(at)
    at = press(at, "No, keep them")
    assert archived(RunStore(digits)) == ["digits-paper"]
    at = press(press(at, "Empty the archive"), "Empty the archive")
    assert "That was not done: the archive was not emptied: type “empty” first" in texts(at)
    assert archived(RunStore(digits)) == ["digits-paper"]
    field(at, "Type “empty” to confirm").set_value(" Empty ")
    at = press(at, "Empty the archive")
    assert archived(RunStore(digits)) == []
    assert "The archive is empty; its runs are in the trash for a day." in texts(at)


def test_an_emptied_run_comes_back_from_the_trash(digits: Path) -> None:
    before = {path.name: path.read_bytes() for path in (digits / "digits-paper").iterdir()}
    archive(RunStore(digits), "digits-paper")
    empty(RunStore(digits))
    at = open_page("runs")
    assert "Trash: 1 emptied" in [e.label for e in at.expander]
    field(at, "Bring it back as").set_value("digits-stratified")
    at = press(at, "Bring it back")
    assert "That was not done: run 'digits-stratified' exists" in texts(at)
    assert field(at, "Bring it back as").value == "digits-stratified-2"
    at = press(at, "Bring it back")
    assert {path.name: path.read_bytes() for path in (digits / "digits-stratified-2").iterdir()} == before
    assert at.selectbox(key="my-run").value == "digits-stratified-2"
    assert not [e.label for e in at.expander if e.label.startswith(("Trash", "Archive"))]


@pytest.mark.parametrize("name", ["bad", "half.unfinished", "<b>no name"])
def test_what_is_broken_or_unfinished_can_be_removed(digits: Path, name: str) -> None:
    if name == "half.unfinished":
        (digits / name).mkdir()
    else:
        (copy_run(digits, name=name) / "run.json").write_text("{")
    at = choose(open_page("runs"), name)
    assert (STARTED if "half" in name else BROKEN) in texts(at)
    assert not at.get("download_button")
    at = press(press(at, "Remove"), "Yes, remove it")
    assert archived(RunStore(digits)) == [name]
    assert sorted(table(at)["Run"]) == ["digits-paper", "digits-stratified"]


def test_a_run_from_elsewhere(digits: Path, tmp_path: Path) -> None:
    write_notes(digits / "digits-paper", Notes(title="From Anna"))
    data = zip_of(digits / "digits-paper")
    before = sorted(digits.rglob("*"))
    at = upload(open_page("runs"), data)
    assert "digits-paper is a whole run. digits, mlp: accuracy 94.4 % at full size" in texts(at)
    assert "There is a run of that name already" in texts(at)
    assert field(at, "Name in my runs").value == "digits-paper-2"
    assert sorted(digits.rglob("*")) == before, "a look writes nothing"
    at = press(at, "Add to my runs")
    assert "digits-paper-2 is one of your runs now." in texts(at)
    assert at.selectbox(key="my-run").value == "digits-paper-2"
    for file in (digits / "digits-paper").iterdir():
        assert (digits / "digits-paper-2" / file.name).read_bytes() == file.read_bytes()


@pytest.mark.parametrize(("data", "told"), [(b"no zip", "it is no zip file"), (b"", "it is no zip file")])
def test_a_refused_zip_is_said_and_nothing_written(digits: Path, data: bytes, told: str) -> None:
    before = sorted(digits.rglob("*"))
    at = upload(open_page("runs"), data)
    (error,) = at.error
    assert told in error.value
    assert not [b for b in at.button if b.label == "Add to my runs"]
    assert sorted(digits.rglob("*")) == before


def test_the_download_is_the_whole_run(digits: Path) -> None:
    data = Packing("digits-paper")()
    with opened(io.BytesIO(data), "x.zip") as run:
        assert run.id == "digits-paper"
    (digits / "digits-paper" / "metrics.parquet").write_text("damaged")
    job = Packing("digits-paper")
    with pytest.raises(ValueError, match=r"metrics\.parquet"):
        job()
    assert job.failure
    assert job.done.is_set()


def test_a_store_that_may_not_be_written_is_only_shown(digits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(my_runs_page, "writable", lambda store: False)
    at = choose(open_page("runs"), "digits-paper")
    assert "can be looked at and taken along but not changed" in texts(at)
    assert len(table(at)) == 2
    assert at.get("download_button")
    assert not {b.label for b in at.button} & {"Save", "Rename", "Remove", "Add to my runs"}
    assert not at.file_uploader


def test_an_empty_or_missing_store(store: Path) -> None:
    at = well(open_page("runs"))
    assert "There is no run here yet" in texts(at)
    assert unfolded(at, "my-import").file_uploader, "a run from elsewhere can be the first one"
    store.rmdir()
    assert "The folder with the runs is not there" in texts(well(open_page("runs")))


def test_texts_of_anybodys_format_nothing_and_break_nothing(digits: Path) -> None:
    edit_record(
        digits / "digits-paper",
        lambda r: (r["data"].update(name="<b>x</b> \ud800 [a](http://evil.test)"), r.update(created="soon \ud800")),
    )
    (digits / "digits-paper" / NOTES).write_bytes(b'{"title": "\\ud800 **x** :red[x]", "tags": ["<i>"], "note": "$x$"}')
    (digits / "digits-stratified" / NOTES).write_bytes(b"[" * 9999)
    os.mkdir(os.fsencode(digits) + b"/\xff")
    at = choose(open_page("runs"), "digits-paper")
    assert len(table(at)) == 3
    assert field(at, "Title").value == "**x** :red[x]"
    assert r"\*\*x\*\* \:red\[x\]" in "".join(m.value for m in at.markdown), "shown as it is written"
    at = choose(at, "digits-stratified")
    assert "notes.json is not JSON" in field(at, "Note").value
    assert not at.error


@pytest.mark.slow
def test_two_visitors_choose_for_themselves_and_see_what_changed(digits: Path) -> None:
    mine, theirs = choose(open_page("runs"), "digits-paper"), choose(open_page("runs"), "digits-stratified")
    assert well(mine.run()).selectbox(key="my-run").value == "digits-paper"
    press(press(theirs, "Remove"), "Yes, remove it")
    assert list(table(well(mine.run()))["Run"]) == ["digits-paper"]
    (digits / "digits-paper").rename(digits / "elsewhere")
    shown.look_again()
    mine = press(mine, "Remove") if any(b.label == "Remove" for b in mine.button) else mine
    assert "There is no run digits-paper here" in texts(mine)
