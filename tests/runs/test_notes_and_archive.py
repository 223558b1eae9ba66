"""People's own words beside a run, other names, the archive, whole runs as zips: nothing is lost or overwritten."""

from __future__ import annotations

import io
import json
import os
import threading
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from core import Run, RunError, RunStore, UserError
from core.runs.archive import (
    ARCHIVE,
    archive,
    archived,
    clear_trash,
    empty,
    free_name,
    rename,
    restore,
    restore_trashed,
    trashed,
    writable,
)
from core.runs.archive_zip import import_zip, opened, pack
from core.runs.file_names import FILES, NOTES
from core.runs.notes import MOST_TAGS, Notes, read_notes, write_notes
from core.runs.run import Run as OnDisk
from core.runs.store import BrokenRun
from tests.helpers.store import read_all


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def zip_of(folder: Path) -> bytes:
    out = io.BytesIO()
    pack(Run(folder), out)
    return out.getvalue()


def test_notes_are_kept_beside_an_unchanged_record(put) -> None:
    run = put("a")
    before, stamp = contents(run), Run(run).stamp
    assert read_notes(run) == Notes()
    wrote = write_notes(run, Notes(title=" Für\tAnna ", tags=("b ", "a", "", "b"), note="one \n\n two\x1b[2J\ud800 "))
    assert wrote == Notes(title="Für Anna", tags=("b", "a"), note="one\n\n two [2J")
    assert read_notes(run) == wrote
    assert {name: data for name, data in contents(run).items() if name != NOTES} == before
    assert Run(run).stamp == stamp, "figures need not be read again for a note"
    assert read_all(run)


@pytest.mark.parametrize(
    ("notes", "reason"),
    [
        (Notes(title="x" * 101), "the title has 101 characters; use up to 100"),
        (Notes(note="x" * 2001), "the note has 2,001 characters; use up to 2,000"),
        (Notes(tags=("x" * 31,)), "the tag has 31 characters; use up to 30"),
        (Notes(tags=tuple(map(str, range(MOST_TAGS + 1)))), "there are 13 tags, more than the 12 a run may have"),
    ],
)
def test_notes_that_are_too_long_change_nothing(put, notes, reason) -> None:
    run = put("a")
    kept = write_notes(run, Notes(note="kept"))
    with pytest.raises(UserError, match=reason):
        write_notes(run, notes)
    assert read_notes(run) == kept


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b'{"title": 3}', b'{"tags": "a"}', b'{"tags": [1]}', b" " * 70_000, b'{"note": null}',
             json.dumps({"title": "x" * 500}).encode(), b"[" * 60_000]
)  # fmt: skip
def test_damaged_notes_are_told_and_harm_no_run(put, data) -> None:
    run = put("a")
    (run / NOTES).write_bytes(data)
    with pytest.raises(RunError, match=r"^notes\.json"):
        read_notes(run)
    assert read_all(run)
    assert write_notes(run, Notes(note="anew")) == read_notes(run)


def test_no_notes_for_a_run_that_is_gone(store) -> None:
    with pytest.raises(RunError, match="there is no run 'gone' any more"):
        write_notes(store.folder / "gone", Notes(note="x"))
    assert not (store.folder / "gone").exists()


def test_many_writers_of_notes_leave_one_of_theirs(put) -> None:
    run = put("a")
    theirs = [Notes(title=f"writer {k}", note="x" * 1000 + str(k)) for k in range(8)]
    threads = [threading.Thread(target=write_notes, args=(run, notes)) for notes in theirs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read_notes(run) in theirs
    assert sorted(set(contents(run)) - set(FILES)) == [NOTES]


def test_rename_keeps_everything(store, put) -> None:
    before = contents(put("a"))
    rename(store, "a", "b")
    assert store.ids() == ["b"]
    assert contents(store.folder / "b") == before
    with pytest.raises(RunError, match="there is no run 'a'"):
        store.open("a")


def test_rename_never_overwrites_nor_leads_elsewhere(store, put) -> None:
    put("a")
    before = contents(put("b"))
    (store.folder / "half.unfinished").mkdir()
    for name, reason in {
        "b": "exists in",
        "../c": "can't name a run",
        "": "can't name",
        "x.unfinished": "can't name",
    }.items():
        with pytest.raises(UserError, match=reason):
            rename(store, "a", name)
    for gone in ("c", "../a", ".archive", ""):
        with pytest.raises(RunError, match="there is no run"):
            rename(store, gone, "d")
    with pytest.raises(UserError, match="is an unfinished training"):
        rename(store, "half.unfinished", "half")
    assert store.ids() == ["a", "b", "half.unfinished"]
    assert contents(store.folder / "b") == before


def test_archive_and_back(store, put) -> None:
    before = contents(put("a"))
    write_notes(store.folder / "a", Notes(note="mine"))
    assert archive(store, "a") == "a"
    assert (store.ids(), archived(store)) == ([], ["a"])
    assert list(store.list()) == [], "what is archived is no run of the store"
    put("a")
    assert archive(store, "a") == "a-2", "the first one stays as it is"
    put("a")
    with pytest.raises(RunError, match=r"run 'a' exists in .*choose another name"):
        restore(store, "a")
    with pytest.raises(UserError, match="can't name a run"):
        restore(store, "a", "../b")
    assert restore(store, "a", "b") == "b"
    assert read_notes(store.folder / "b") == Notes(note="mine")
    assert {name: data for name, data in contents(store.folder / "b").items() if name != NOTES} == before
    assert (store.ids(), archived(store)) == (["a", "b"], ["a-2"])
    for gone in ("a", "..", "../a", ""):
        with pytest.raises(RunError, match="in the archive"):
            restore(store, gone)


def test_what_is_broken_or_unfinished_can_be_archived_too(store, put) -> None:
    (put("bad") / "run.json").write_text("{")
    put("<b>no name")
    for name in ("half.unfinished", "nothing"):
        (store.folder / name).mkdir()
    for name in list(store.ids()):
        assert archive(store, name) == name
    assert list(store.list()) == []
    assert restore(store, "half.unfinished") == "half.unfinished"
    with pytest.raises(UserError, match="can't name a run"):
        restore(store, "<b>no name")
    assert isinstance(store.open(restore(store, "<b>no name", "named")), OnDisk)
    assert restore(store, "bad") == "bad"
    assert isinstance(next(iter(store.list())), BrokenRun)
    (store.folder / "half.unfinished" / "checkpoint.safetensors").write_bytes(b"x")
    archive(store, "half.unfinished")
    (store.folder / "half.unfinished").mkdir()
    assert archive(store, "half.unfinished") == "half-2.unfinished"
    assert restore(store, "half-2.unfinished") == "half-2.unfinished"


def test_emptying_takes_only_runs(store, put) -> None:
    put("a"), put("b"), put("kept")
    archive(store, "a"), archive(store, "b")
    (store.folder / ARCHIVE / "letters").mkdir()
    (store.folder / ARCHIVE / "letters" / "to-mother.txt").write_text("dear")
    with pytest.raises(RunError, match=r"holds 'to-mother\.txt', which is no part of a run"):
        empty(store)
    assert archived(store) == ["a", "b", "letters"]
    assert trashed(store) == []
    (store.folder / ARCHIVE / "letters" / "to-mother.txt").rename(store.folder.parent / "to-mother.txt")
    assert empty(store) == 3
    assert (archived(store), store.ids()) == ([], ["kept"])


def test_what_is_emptied_waits_in_the_trash_for_a_day(store, put) -> None:
    before, now = contents(put("a")), datetime.now(UTC).replace(microsecond=0)
    archive(store, "a")
    assert empty(store, now=now) == 1
    (run,) = trashed(store)
    assert (run.name, run.emptied, run.until - now) == ("a", now, timedelta(days=1))
    assert clear_trash(store, now=now + timedelta(hours=23, minutes=59)) == 0
    assert restore_trashed(store, "a") == "a"
    assert contents(store.folder / "a") == before
    assert trashed(store) == []
    archive(store, "a"), put("b"), archive(store, "b")
    empty(store, now=now)
    (trashed(store)[0].folder / "diary.txt").write_text("dear")  # of b
    put("c"), archive(store, "c")
    assert empty(store, now=now + timedelta(hours=25)) == 1, "emptying again removes what had its day"
    assert [run.name for run in trashed(store)] == ["c", "b"], "somebody's work stays"
    with pytest.raises(RunError, match=r"there is no 'a' in the trash of .*; it holds: c, b"):
        restore_trashed(store, "a")
    assert restore_trashed(store, "c", "again") == "again"
    assert isinstance(store.open("again"), OnDisk)


def test_what_is_no_trash_of_ours_is_left_alone(store, put, tmp_path) -> None:
    put("a"), archive(store, "a")
    mine = store.folder / ".trash" / "20269999T999999Z-00000000" / "a"
    mine.mkdir(parents=True)
    assert empty(store) == 1
    assert clear_trash(store, now=datetime.now(UTC) + timedelta(days=2)) == 1
    assert mine.is_dir()
    (store.folder / ".trash").rename(tmp_path / "elsewhere")
    (store.folder / ".trash").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RunError, match="is no folder; move it away, since the trash is to be there"):
        clear_trash(store)


def test_somebodys_work_and_links_are_not_archived(store, put, tmp_path) -> None:
    (store.folder / "letters").mkdir()
    (store.folder / "letters" / "to-mother.txt").write_text("dear")
    elsewhere = put("real").rename(tmp_path / "real")
    os.symlink(elsewhere, store.folder / "link")
    for name, reason in {"letters": "to-mother", "link": "is no folder of a run"}.items():
        with pytest.raises(RunError, match=reason):
            archive(store, name)
    os.symlink(tmp_path, store.folder / ARCHIVE)
    put("a")
    with pytest.raises(RunError, match="is no folder; move it away"):
        archive(store, "a")
    assert store.ids() == ["a", "letters", "link"]


def test_two_people_at_once(store, put) -> None:
    """Of two who move the same run one does and the other is told; the run is there once."""
    for k in range(6):
        put(f"a{k}")
        told: list[object] = []

        def act(name: str, told: list[object] = told, run: str = f"a{k}") -> None:
            try:
                rename(store, run, name)
                told.append(None)
            except RunError as error:
                told.append(str(error))

        threads = [threading.Thread(target=act, args=(f"{side}{k}",)) for side in "xy"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert told.count(None) == 1
        assert sum(name.endswith(str(k)) for name in store.ids()) == 1


def test_free_names() -> None:
    assert free_name([], "a") == "a"
    assert free_name(["a"], "a") == "a-2"
    assert free_name(["a", "a-2"], "a") == "a-3"
    assert len(free_name(["x" * 100], "x" * 100)) <= 100


def test_writable(store, tmp_path) -> None:
    assert writable(store)
    assert not writable(RunStore(tmp_path / "gone"))


def test_a_zip_brings_all_of_a_run_and_is_the_same_each_time(whole, store, put, tmp_path) -> None:
    run = put("a")
    write_notes(run, Notes(title="mine", tags=("t",)))
    data = zip_of(run)
    os.utime(run / "run.json", (0, 0))
    assert zip_of(run) == data
    with zipfile.ZipFile(io.BytesIO(data)) as zipped:
        assert zipped.namelist() == [f"a/{name}" for name in (*(n for n in FILES if (whole / n).exists()), NOTES)]
    with opened(io.BytesIO(data), "x.zip") as looked:
        assert looked.id == "a"
        assert read_all(looked.path)
    assert not looked.path.exists(), "nothing is left of a look"
    other = RunStore(tmp_path / "other")
    assert import_zip(other, io.BytesIO(data), "x.zip").id == "a"
    assert contents(other.folder / "a") == contents(run)
    with pytest.raises(RunError, match="run 'a' exists"):
        import_zip(other, io.BytesIO(data), "x.zip")
    with pytest.raises(UserError, match="can't name a run"):
        import_zip(other, io.BytesIO(data), "x.zip", "../b")
    assert import_zip(other, io.BytesIO(data), "x.zip", "b").id == "b"
    assert import_zip(other, io.BytesIO(data), "x.zip", overwrite=True).id == "a"
    assert sorted(path.name for path in other.folder.iterdir()) == ["a", "b"]


def test_what_cannot_be_imported_is_not_packed(whole, put) -> None:
    run = put("a")
    raw = bytearray((run / "model.safetensors").read_bytes())
    raw[-2] ^= 0x55
    (run / "model.safetensors").write_bytes(raw)
    with pytest.raises(RunError, match=r"model\.safetensors"):
        zip_of(run)
    (run / "model.safetensors").unlink()
    os.symlink(whole / "model.safetensors", run / "model.safetensors")
    with pytest.raises(RunError, match=r"model\.safetensors in .* is a link"):
        zip_of(run)
