"""Where `export --out` writes: as `cp` does, whole or not at all, and never over a run."""

import os
from pathlib import Path

import pytest

SAMPLE = Path(__file__).parents[2] / "sample_checkpoints/digits-stratified"


@pytest.fixture
def export(core):
    def run(out: object, width: int = 3):
        return core("export", SAMPLE, "--width", width, "--format", "safetensors", "--out", out)

    return run


def test_a_file_is_replaced(export, tmp_path):
    out = tmp_path / "small.safetensors"
    out.write_text("old")
    answer = export(out)
    assert (answer.status, answer.err) == (0, "")
    assert out.stat().st_size == int(answer.out.split()[1].replace(",", ""))
    assert list(tmp_path.iterdir()) == [out], "no temporary file stays"
    first = out.read_bytes()
    assert export(out, 4).status == 0
    assert out.read_bytes() != first


def test_a_folder_gets_it_under_its_own_name(export, tmp_path):
    assert export(tmp_path).status == 0
    assert export(f"{tmp_path}/new/", 4).status == 0
    names = [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.safetensors")]
    assert sorted(names) == ["digits-stratified-w3.safetensors", "new/digits-stratified-w4.safetensors"]


def test_folders_on_the_way_are_made(export, tmp_path):
    assert export(tmp_path / "a/b/small").status == 0
    assert (tmp_path / "a/b/small").is_file()


def test_a_link_stays_a_link(export, tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "target")
    assert export(tmp_path / "link").status == 0
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").is_file()


@pytest.mark.parametrize("name", ["model.safetensors", "run.json", "metrics.parquet"])
def test_a_file_of_a_run_is_not_written_over(refused, sample, name):
    before = (sample / name).read_bytes()
    told = refused("export", sample, "--width", 3, "--format", "safetensors", "--out", sample / name)
    assert "is a file of a run, which the export would destroy; choose another --out" in told
    assert (sample / name).read_bytes() == before


def test_a_device_is_written_to_and_stays(export, core):
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    for device in ("/dev/null", "/dev/full"):
        before = os.stat(device)
        answer = export(device)
        assert answer.out == ""
        assert os.stat(device).st_mode == before.st_mode
        if device == "/dev/full":
            assert answer.status == 2
            assert answer.err == "error: No space left on device\n"
        else:
            assert (answer.status, answer.err) == (0, "")


def test_a_parent_that_is_a_file(refused, tmp_path):
    (tmp_path / "file").write_text("mine")
    told = refused("export", SAMPLE, "--width", 3, "--out", tmp_path / "file/x.zip")
    assert str(tmp_path / "file") in told
    assert (tmp_path / "file").read_text() == "mine"


def test_a_disk_that_refuses_leaves_what_was_there(export, monkeypatch, tmp_path):
    out = tmp_path / "small.safetensors"
    out.write_text("old")

    def refuse(*arguments: object, **settings: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    answer = export(out)
    assert answer.status == 2
    assert answer.err.count("\n") == 1
    assert "No space left on device" in answer.err
    assert out.read_text() == "old"
    assert list(tmp_path.iterdir()) == [out]


def test_a_name_of_two_lines(export, tmp_path):
    answer = export(tmp_path / "two\nlines")
    assert answer.status == 0
    assert answer.out.count("\n") == 1
    assert (tmp_path / "two\nlines").is_file()
