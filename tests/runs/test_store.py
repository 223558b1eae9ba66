"""Listing, opening, writing, importing and removing runs; nothing is ever half there, and nothing else is touched."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from core import Run, RunError, RunStore, UserError
from core.runs.file_names import FILES, POLISHED, STATISTICS
from core.runs.store import BrokenRun
from core.utils import files
from core.utils.fingerprint import fingerprint
from tests.helpers.store import edit, read_all
from tests.helpers.training import left_in, told, weights_of

WRITTEN = [name for name in FILES if name not in (STATISTICS, POLISHED)]  # this run has neither


def parts_of(path: Path):
    run = Run(path)
    return run.record, load_file(path / "model.safetensors"), run.examples()  # with the recipe's tables


def test_written_and_read_again(whole, store):
    record, weights, examples = parts_of(whole)
    run = store.write("copy", record, weights, examples)
    assert told(run) == told(Run(whole))
    assert fingerprint(load_file(run.path / "model.safetensors")) == record.weights_sha256
    assert all(np.array_equal(run.examples()[name], examples[name]) for name in examples)
    assert left_in(store.folder) == ["copy"]
    assert left_in(run.path) == ["examples.safetensors", "model.safetensors", "run.json"]
    assert not run.has_metrics
    with pytest.raises(RunError, match=r"has no metrics.parquet yet; make it with: python -m core sweep"):
        run.metrics()
    with pytest.raises(RunError, match=r"has no predictions\.parquet yet"):
        run.predictions()
    assert run.latency() is None


def test_any_order_of_memory(whole, store):
    record, weights, examples = parts_of(whole)
    odd = {name: np.asfortranarray(value) for name, value in weights.items()}
    odd |= {name: value[::-1].copy()[::-1] for name, value in odd.items() if value.ndim == 1}
    run = store.write("copy", record, odd, {**examples, "x": np.asfortranarray(examples["x"])})
    assert all(np.array_equal(run.weights()[name], weights[name]) for name in run.weights())
    assert np.array_equal(run.examples()["x"], examples["x"])


def test_slice_is_the_leading_part(whole):
    run = Run(whole)
    weights = run.weights()
    for widths in ({"first": 1, "second": 1}, {"first": 5}, {}, {"first": 8, "second": 3}):
        checked = run.layout.check_widths(widths)
        for name, part in run.slice(**widths).items():
            shape = run.layout.tensors[name].shape_at(checked)
            assert part.shape == shape
            assert part.flags.c_contiguous
            assert np.array_equal(part, weights[name][tuple(slice(n) for n in shape)])
    with pytest.raises(UserError, match="above this run's full width 8"):
        run.slice(first=9)


def test_others_may_read_what_is_written(whole, store):
    """A store may be shared: as open as the person's umask says, folder and files alike."""
    before = os.umask(0o027)
    try:
        run = store.write("copy", *parts_of(whole))
    finally:
        os.umask(before)
    assert run.path.stat().st_mode & 0o777 == 0o750
    assert {file.stat().st_mode & 0o777 for file in run.path.iterdir()} == {0o640}


def test_existing_runs_are_kept_unless_told(whole, store, put):
    record, weights, examples = parts_of(whole)
    first = put("a")
    before = {file.name: file.read_bytes() for file in first.iterdir()}
    for act in (lambda: store.write("a", record, weights, examples), lambda: store.import_run(whole, "a")):
        with pytest.raises(RunError, match=r"run 'a' exists in .*--overwrite"):
            act()
    assert {file.name: file.read_bytes() for file in first.iterdir()} == before
    run = store.write("a", record, weights, examples, overwrite=True)
    assert not run.has_metrics  # the old run's tables went with it
    assert store.import_run(whole, "a", overwrite=True).has_metrics
    assert left_in(store.folder) == ["a"]


def test_overwriting_takes_only_runs(whole, store):
    (store.folder / "letters").mkdir()
    (store.folder / "letters" / "to-mother.txt").write_text("dear")
    (store.folder / "file").write_text("mine")
    for name in ("letters", "file"):
        for act in (
            lambda name=name: store.import_run(whole, name, overwrite=True),
            lambda name=name: store.write(name, *parts_of(whole), overwrite=True),
            lambda name=name: store.remove(name),
        ):
            with pytest.raises(RunError, match=f"{name}"):
                act()
    assert left_in(store.folder) == ["file", "letters"]
    assert (store.folder / "letters" / "to-mother.txt").read_text() == "dear"


def test_import_takes_a_runs_files_and_no_others(whole, tmp_path, store):
    source = tmp_path / "elsewhere"
    shutil.copytree(whole, source)
    (source / "notes.txt").write_text("mine")
    (source / "more").mkdir()
    run = store.import_run(source)
    assert run.id == "elsewhere"
    assert left_in(run.path) == sorted(WRITTEN)
    assert all((run.path / name).read_bytes() == (whole / name).read_bytes() for name in WRITTEN)
    assert read_all(run.path)
    assert left_in(source) == sorted([*WRITTEN, "more", "notes.txt"])
    assert store.import_run(source / ".", "again").id == "again"


@pytest.mark.parametrize("name", WRITTEN)
def test_import_refuses_what_it_cannot_read(whole, tmp_path, store, name):
    source = tmp_path / "source"
    shutil.copytree(whole, source)
    data = (source / name).read_bytes()
    for content in (b"", data[: len(data) // 2], bytes(len(data))):
        (source / name).write_bytes(content)
        with pytest.raises(RunError, match=name):
            store.import_run(source)
    (source / name).unlink()
    os.symlink(whole / name, source / name)
    with pytest.raises(RunError, match=f"{name} in .* is a link"):
        store.import_run(source)
    assert left_in(store.folder) == []


def test_import_of_what_is_no_run(tmp_path, store):
    (tmp_path / "empty").mkdir()
    for source in (tmp_path / "nowhere", tmp_path / "empty", Path(__file__)):
        with pytest.raises(RunError, match="name the folder of a run"):
            store.import_run(source)


@pytest.mark.parametrize(
    "name", ["../b", "a/b", "..", ".", "", ".a", "a b", "a\x00b", "a\nb", "/etc", "x" * 101, "a\n"]
)
def test_names_stay_inside_the_store(whole, store, put, name):
    put("a")
    for act in (
        lambda: store.open(name),
        lambda: store.remove(name),
        lambda: store.write(name, *parts_of(whole)),
        lambda: store.import_run(whole, name) if name else store.open(name),
    ):
        with pytest.raises(UserError, match=r"can't name a run|there is no run"):
            act()
    assert left_in(store.folder) == ["a"]
    assert left_in(store.folder.parent) == ["store"]


def test_remove(store, put):
    for name in ("a", "b"):
        put(name)
    (store.folder / "b" / "run.json").write_text("{")
    os.symlink(store.folder / "a", store.folder / "link")
    store.remove("b")  # readable or not
    with pytest.raises(RunError, match="no folder of a run"):
        store.remove("link")
    assert left_in(store.folder) == ["a", "link"]
    store.remove("a")
    with pytest.raises(RunError, match="there is no run 'a'"):
        store.remove("a")
    (store.folder / "c.unfinished").mkdir()
    (store.folder / "c.unfinished" / "checkpoint.safetensors").write_bytes(b"")
    store.remove("c.unfinished")
    assert left_in(store.folder) == ["link"]


def test_list_is_sorted_and_leaves_out_what_is_hidden(store, put):
    for name in ("b", "A", "c.1"):
        put(name)
    (store.folder / ".a.0123abcd.tmp").mkdir()
    (store.folder / "readme.txt").write_text("hello")
    assert [run.id for run in store.list()] == ["A", "b", "c.1"]
    assert store.open("b").id == "b"


def test_names_that_no_run_can_have_are_told(store, put):
    put("my run")
    (broken,) = store.list()
    assert isinstance(broken, BrokenRun)
    assert "can't name a run" in broken.reason


def test_unfinished_trainings_are_told(store):
    (store.folder / "a.unfinished").mkdir()
    (broken,) = store.list()
    assert broken == BrokenRun("a.unfinished", "the training of a is not finished; repeat its command with --resume")


def test_stores_that_are_none(tmp_path, whole):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(RunError, match=r"is not there; name a folder that holds runs, or make it"):
        RunStore(tmp_path / "nowhere").ids()
    for act in (lambda s: s.ids(), lambda s: list(s.list()), lambda s: s.import_run(whole)):
        with pytest.raises(RunError, match="file is not a folder"):
            act(RunStore(tmp_path / "file"))
    assert RunStore(tmp_path / "new" / "deep").import_run(whole).id == "whole"  # made where it is missing
    assert (tmp_path / "file").read_text() == "mine"


def test_stamp_changes_with_every_file(put):
    path = put("a")
    for name in WRITTEN:
        before = Run(path).stamp
        os.utime(path / name, ns=(1, 1))
        assert Run(path).stamp != before


def test_weights_are_looked_at_again_when_their_file_changes(put):
    run = Run(put("a"))
    run.slice(first=2)
    data = bytearray((run.path / "model.safetensors").read_bytes())
    data[-1] ^= 1
    files.write_bytes(run.path / "model.safetensors", bytes(data))
    with pytest.raises(RunError, match="does not hold the weights"):
        run.slice(first=2)


def test_weights_of_another_kind(put):
    """Names, shapes and types are looked at on opening; not a number, when a weight is read."""
    from safetensors.numpy import load_file, save_file

    weights = load_file(put("good") / "model.safetensors")  # those of the bands too
    spoilt = {
        "float16": {name: value.astype(np.float16) for name, value in weights.items()},
        "lacks tensor": {name: value for name, value in weights.items() if name != "2.weight"},
        "holds tensor 'extra'": {**weights, "extra": np.zeros(1, np.float32)},
        "has shape": {**weights, "2.weight": weights["2.weight"][:7]},
        "lacks tensor 'bands/3/2.weight'": {n: value for n, value in weights.items() if n != "bands/3/2.weight"},
        "'bands/3/2.weight' has shape": {**weights, "bands/3/2.weight": weights["2.weight"]},
        "holds tensor 'bands/4/2.weight'": {**weights, "bands/4/2.weight": weights["2.weight"]},
    }
    wanted = {"float16": "is of type F16, the layout needs float32"}
    for k, (what, state) in enumerate(spoilt.items()):
        path = put(f"spoilt-{k}")
        save_file({name: np.ascontiguousarray(value) for name, value in state.items()}, path / "model.safetensors")
        with pytest.raises(RunError, match=wanted.get(what, what)):
            Run(path)
    path = put("nan")
    weights["2.weight"][0, 0] = np.nan
    save_file(weights, path / "model.safetensors")
    edit(path, lambda plain: plain.update(weights_sha256=fingerprint(weights)))
    with pytest.raises(RunError, match=r"'2\.weight' holds values that are not finite"):
        Run(path).weights()
    assert weights_of(Run(put("fine")))
