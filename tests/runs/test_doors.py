"""A store where links lead nowhere, processes were killed, trainings meet and runs move while they are read."""

from __future__ import annotations

import io
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from core import Run, RunError, RunStore, train
from core.runs.archive import archive
from core.runs.archive_zip import import_zip, opened, pack
from core.runs.store import BrokenRun, under_way
from core.sweep.sweep import sweep
from core.utils import files
from core.utils.locks import check_free, held
from tests.helpers.store import read_all
from tests.helpers.training import RECIPES, left_in, small_data, small_family

REPOSITORY = Path(__file__).resolve().parents[2]
NOBODY = 65534


def killed_in(code: str, *arguments: Path) -> None:
    """Run a program that ends by killing itself."""
    script = f"import os, signal, sys\nfrom pathlib import Path\n{code}\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    done = subprocess.run([sys.executable, "-c", script, *map(str, arguments)], cwd=REPOSITORY, timeout=60)
    assert done.returncode == -signal.SIGKILL


def reasons(store: RunStore) -> dict[str, str]:
    return {run.id: run.reason if isinstance(run, BrokenRun) else "" for run in store.list()}


def test_links_that_can_not_be_followed_are_listed_with_their_reason(store, put, tmp_path) -> None:
    put("good")
    (store.folder / "loop").symlink_to("loop")
    (store.folder / "one").symlink_to("other")
    (store.folder / "other").symlink_to("one")
    (store.folder / "nowhere").symlink_to(tmp_path / "gone")
    (store.folder / "linked").symlink_to(put("elsewhere").rename(tmp_path / "elsewhere"))
    (store.folder / "file").symlink_to(store.folder / "good" / "run.json")
    told = reasons(store)
    assert list(told) == ["good", "linked", "loop", "nowhere", "one", "other"]
    assert told["good"] == told["linked"] == ""
    assert all("Too many levels of symbolic links" in told[name] for name in ("loop", "one", "other"))
    assert "nowhere is not a folder but a link to nothing" in told["nowhere"]
    assert all("\n" not in reason for reason in told.values())
    for name in ("loop", "nowhere"):
        with pytest.raises(RunError, match=f"{name} is no folder of a run"):
            store.remove(name)
        with pytest.raises(RunError, match=f"{name} (can't be opened|is not a folder)"):
            store.open(name)
    assert isinstance(store.open("good"), Run)


@pytest.fixture
def as_nobody() -> Iterator[RunStore]:
    """A store in a folder that anybody may read, and this process without rights of its own."""
    base = Path(tempfile.mkdtemp())
    base.chmod(0o755)
    (base / "store").mkdir(mode=0o755)
    user = os.geteuid()
    yield RunStore(base / "store")
    os.seteuid(user)
    for folder in base.rglob("*"):
        if folder.is_dir():
            folder.chmod(0o755)
    shutil.rmtree(base)


def test_a_folder_behind_another_ones_permission_fails_by_itself(as_nobody, whole) -> None:
    store, base = as_nobody, as_nobody.folder.parent
    shutil.copytree(whole, store.folder / "good")
    shutil.copytree(whole, store.folder / "closed").chmod(0o000)
    (base / "private").mkdir()
    shutil.copytree(whole, base / "private" / "theirs")
    (base / "private").chmod(0o000)
    (store.folder / "theirs").symlink_to(base / "private" / "theirs")
    assert read_all(store.folder / "good")  # and all that reading imports
    if os.geteuid() == 0:
        os.seteuid(NOBODY)
    told = reasons(store)
    assert told["good"] == ""
    for name in ("closed", "theirs"):
        assert f"{name} can't be opened: Permission denied" in told[name]
        with pytest.raises(RunError, match="Permission denied"):
            store.open(name)


@pytest.mark.parametrize("door", ["listed", "written"])
def test_leftovers_of_killed_processes_go_when_the_store_is_next_opened(store, put, door: str) -> None:
    writing = "from core.utils import files\nwith files.replacing_folder(Path(sys.argv[1])) as path:\n"
    killed_in(f"{writing}    (path / 'half').write_bytes(b'x')", store.folder / "imported")
    killed_in("from core.utils import files\nwith files.replacing(Path(sys.argv[1])) as path:", store.folder / "a.zip")
    put("a")
    (store.folder / ".a.0123abcd.gone").mkdir()
    (store.folder / ".b.0123abcd.old").symlink_to("a")  # taken out of the way by a kill in between
    (store.folder / ".kept.tmp").mkdir()
    assert len(left_in(store.folder)) == 6
    with files.replacing_folder(store.folder / "busy"):  # another import at work is left alone
        if door == "listed":
            assert store.ids() == ["a", "b"]
        else:
            store.import_run(store.folder / "a", "c")
        names = [name for name in left_in(store.folder) if not name.startswith(".busy.")]
        assert len(left_in(store.folder)) == len(names) + 1
    assert names == sorted([".kept.tmp", "a", "b", *(["c"] if door == "written" else [])])


def test_a_look_at_a_zip_that_is_killed_leaves_nothing_for_long(put, tmp_path, monkeypatch) -> None:
    out = io.BytesIO()
    pack(Run(put("a")), out)
    (tmp_path / "a.zip").write_bytes(out.getvalue())
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    looking = (
        "import tempfile\nfrom core.runs.archive_zip import opened\ntempfile.tempdir = sys.argv[2]\n"
        "with open(sys.argv[1], 'rb') as zipped, opened(zipped, 'a.zip') as run:\n    assert run.id == 'a'"
    )
    killed_in(looking, tmp_path / "a.zip", tmp_path / "temporary")
    assert len(left_in(tmp_path / "temporary")) == 1
    with open(tmp_path / "a.zip", "rb") as zipped, opened(zipped, "a.zip") as run:
        (folder,) = (tmp_path / "temporary").iterdir()
        assert run.path.parent == folder
        assert folder.stat().st_mode & 0o777 == 0o700
    assert left_in(tmp_path / "temporary") == []


@pytest.mark.parametrize("how", [{}, {"resume": True}, {"overwrite": True}])
def test_two_trainings_into_one_folder_are_told_apart(tmp_path, how) -> None:
    out = tmp_path / "run"
    unfinished = tmp_path / "run.unfinished"
    settings = {"out": out, "recipe": RECIPES["paper"], "progress": False, **how}
    with held(unfinished, "busy"):
        with pytest.raises(RunError) as told:
            train(small_family(), small_data(), **settings)
        assert str(told.value) == under_way(unfinished)
        assert str(told.value).startswith("a training of run is under way in another process; wait for it")
        with pytest.raises(RunError, match="a training of run is under way"):
            archive(RunStore(tmp_path), "run.unfinished")
        with pytest.raises(RunError, match="a training of run is under way"):
            RunStore(tmp_path).remove("run.unfinished")
        assert left_in(tmp_path) == ["run.unfinished"]
    assert left_in(tmp_path) == []


def test_a_killed_training_leaves_no_lock(tmp_path) -> None:
    killed_in("from core.utils.locks import held\nwith held(Path(sys.argv[1]), 'busy'):", tmp_path / "run.unfinished")
    assert left_in(tmp_path) == ["run.unfinished"]
    run = train(small_family(), small_data(), out=tmp_path / "run", recipe=RECIPES["paper"], progress=False)
    assert left_in(tmp_path) == ["run"]
    assert isinstance(run, Run)


def test_a_training_holds_its_folder(tmp_path, monkeypatch) -> None:
    from core.train import checkpoint

    real, refused = checkpoint.save, []

    def save(*arguments) -> None:
        real(*arguments)
        try:
            check_free(tmp_path / "run.unfinished", "held")
        except RunError as error:
            refused.append(str(error))

    monkeypatch.setattr(checkpoint, "save", save)
    train(small_family(), small_data(), out=tmp_path / "run", recipe=RECIPES["paper"], progress=False)
    assert set(refused) == {"held"}


READS = {
    "metrics": Run.metrics,
    "predictions": Run.predictions,
    "latency": lambda run: run.latency() or run.metrics(),
    "weights": Run.weights,
    "a slice": lambda run: run.slice(first=3),
    "scale": Run.scale,
    "examples": Run.examples,
    "targets": Run.targets,
    "scores": lambda run: run.scores(3),
    "polished weights": lambda run: run.polished_weights(3),
    "class counts": Run.class_counts,
}


@pytest.mark.parametrize("what", READS)
def test_a_run_that_moves_while_it_is_read_is_no_longer_here(store, put, what: str) -> None:
    run = Run(put("a"))
    archive(store, "a")
    with pytest.raises(RunError, match=r"^run a is no longer here: it was renamed, archived or removed; look at"):
        READS[what](run)


def test_nothing_is_written_where_a_run_was(store, put) -> None:
    run = Run(put("a"))
    archive(store, "a")
    with pytest.raises(RunError, match="no longer here"):
        sweep(run, small_data(), family=small_family(), progress=False)
    with pytest.raises(RunError, match="can't be written"):
        run.write_width_statistics({})
    assert store.ids() == []


def test_a_zip_is_imported_whatever_lay_there(store, put) -> None:
    out = io.BytesIO()
    pack(Run(put("a")), out)
    (store.folder / ".z.0123abcd.tmp").mkdir()
    assert import_zip(store, io.BytesIO(out.getvalue()), "z.zip", "z").id == "z"
    assert left_in(store.folder) == ["a", "z"]
