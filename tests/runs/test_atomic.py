"""Whole or not at all: whatever fails or dies in between, the old stays and nothing half-made is left."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from core import Run, RunError
from core.utils import files
from tests.helpers.store import edit, read_all
from tests.helpers.training import left_in

REPOSITORY = Path(__file__).resolve().parents[2]


def full(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def parts_of(path: Path):
    run = Run(path)
    return run.record, load_file(path / "model.safetensors"), run.examples()  # with the recipe's tables


@pytest.mark.parametrize("call", range(1, 9))
@pytest.mark.parametrize("what", ["write", "import"])
@pytest.mark.parametrize("overwrite", [True, False])
def test_a_disk_that_fails_at_any_moment(whole, store, put, monkeypatch, overwrite, what, call):
    """The n-th of all that a writer asks of the system fails."""
    if overwrite:
        edit(put("a"), lambda plain: plain["training"].update(seed=99))
    parts, calls, before = parts_of(whole), [], left_in(store.folder)
    with monkeypatch.context() as patch:
        for owner, name in (
            (os, "fsync"),
            (os, "replace"),
            (os, "mkdir"),
            (files, "_exchange"),
            (shutil, "copyfileobj"),
        ):
            real = getattr(owner, name)

            def asked(*args, real=real, **settings):
                calls.append(real)
                return full() if len(calls) == call else real(*args, **settings)

            patch.setattr(owner, name, asked)
        try:
            if what == "write":
                store.write("a", *parts, overwrite=overwrite)
            else:
                store.import_run(whole, "a", overwrite=overwrite)
        except RunError as error:
            told = str(error)
        else:
            told = ""
    if told:
        assert told.startswith(f"{store.folder / 'a'} can't be written: No space left on device; make room")
        assert left_in(store.folder) == before
        if overwrite:
            assert read_all(store.folder / "a").record.training["seed"] == 99
    else:  # the store is there already; a folder that can't be synced is no failure
        assert len(calls) < call or calls[call - 1] in (os.mkdir, os.fsync)
        assert read_some(store.folder / "a").record.training["seed"] == 0
        assert left_in(store.folder) == ["a"]


def read_some(path: Path) -> Run:
    run = Run(path)
    run.weights()
    run.examples()
    return run


def test_what_cannot_be_read_again_never_joins(whole, store, put):
    record, weights, examples = parts_of(whole)
    path = put("a")
    before = (path / "run.json").read_bytes()
    less = {key: value for key, value in weights.items() if key != "0.weight"}
    other = {**weights, "0.weight": weights["0.weight"] + 1}
    for overwrite, name in ((True, "a"), (False, "b")):
        for state, reason in ((less, "lacks tensor"), (other, "does not hold the weights")):
            with pytest.raises(RunError, match=reason):
                store.write(name, record, state, examples, overwrite=overwrite)
    assert left_in(store.folder) == ["a"]
    assert (path / "run.json").read_bytes() == before


def test_where_two_names_cannot_be_swapped(whole, store, put, monkeypatch):
    """The way of other systems: out of the way, in its place; back if that fails."""
    monkeypatch.setattr(files, "_exchange", lambda *_: False)
    edit(put("a"), lambda plain: plain["training"].update(seed=99))
    real = os.replace

    def fails(source, target):
        if str(source).endswith(".tmp"):
            full()
        real(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", fails)
        with pytest.raises(RunError, match="No space left"):
            store.import_run(whole, "a", overwrite=True)
    assert store.open("a").record.training["seed"] == 99
    assert left_in(store.folder) == ["a"]
    assert store.import_run(whole, "a", overwrite=True).record.training["seed"] == 0
    assert left_in(store.folder) == ["a"]


def test_what_the_dead_left_is_cleared(whole, store):
    """What a killed process left is removed by the next that writes there; what a living one writes is not."""
    for name in (".a.0123abcd.tmp", ".a.0123abce.gone", ".b.0123abcd.tmp", ".a.notours.tmp", ".a.0123abcd.txt"):
        (store.folder / name).mkdir()
        (store.folder / name / "file").write_text("half")
    with files.replacing_folder(store.folder / "a") as living:
        assert left_in(store.folder) == sorted([living.name, ".b.0123abcd.tmp", ".a.notours.tmp", ".a.0123abcd.txt"])
        files.clear_leftovers(store.folder / "a")
        assert living.is_dir()
        shutil.rmtree(living)
        shutil.copytree(whole, living)
    assert read_all(store.folder / "a")
    assert left_in(store.folder) == sorted(["a", ".b.0123abcd.tmp", ".a.notours.tmp", ".a.0123abcd.txt"])


def test_an_old_run_comes_back(store, put):
    """Killed between out of the way and in its place, on a system that can't swap names."""
    os.replace(put("a"), store.folder / ".a.0123abcd.old")
    files.clear_leftovers(store.folder / "a")
    assert read_all(store.folder / "a")
    put_aside = store.folder / ".a.0123abcd.old"
    shutil.copytree(store.folder / "a", put_aside)
    files.clear_leftovers(store.folder / "a")
    assert left_in(store.folder) == ["a"]


def test_a_process_that_dies_while_it_writes(tmp_path):
    """Its lock goes with it: half a file is never under the name, and the next writer removes it."""
    script = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom core.utils import files\n"
        "with files.replacing(Path(sys.argv[1])) as path:\n"
        "    path.write_bytes(b'ha')\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    target = tmp_path / "file"
    target.write_text("old")
    done = subprocess.run([sys.executable, "-c", script, str(target)], cwd=REPOSITORY, timeout=60)
    assert done.returncode < 0
    assert target.read_text() == "old"
    assert len(left_in(tmp_path)) == 2
    files.write_bytes(target, b"new")
    assert left_in(tmp_path) == ["file"]
    assert target.read_text() == "new"


def test_many_writers_of_one_file(tmp_path):
    """The last one wins; no reader ever meets a mixture, and nothing is left."""
    target = tmp_path / "file"
    contents = [bytes([65 + k]) * 20_000 for k in range(8)]
    failed = []

    def write(content: bytes) -> None:
        try:
            for _ in range(20):
                files.write_bytes(target, content)
                assert target.read_bytes() in contents
        except BaseException as error:
            failed.append(error)

    writers = [threading.Thread(target=write, args=(content,)) for content in contents]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert failed == []
    assert left_in(tmp_path) == ["file"]


def test_many_importers_of_one_run(whole, store):
    failed = []

    def bring() -> None:
        try:
            for _ in range(6):
                store.import_run(whole, "a", overwrite=True)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=bring) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert read_all(store.folder / "a")
    assert left_in(store.folder) == ["a"]


@pytest.mark.parametrize("target", ["missing/deep/file", "folder", "file/below"])
def test_where_no_file_can_be(tmp_path, target):
    (tmp_path / "folder" / "more").mkdir(parents=True)
    (tmp_path / "file").write_text("mine")
    before = left_in(tmp_path)
    if target.startswith("missing"):
        files.write_bytes(tmp_path / target, b"new")
        assert (tmp_path / target).read_bytes() == b"new"
    else:
        with pytest.raises(RunError, match=r"can't be written: .*; make room there or choose another folder"):
            files.write_bytes(tmp_path / target, b"new")
        assert left_in(tmp_path) == before
