"""Whole runs on the command line: packed, taken in, renamed, archived and brought back."""

from __future__ import annotations

import pytest


def listed(core, store) -> list[str]:
    return [line.split(":")[0] for line in core("list", store).out.splitlines()]


def test_there_and_back(core, refused, sample, tmp_path) -> None:
    store, other = sample.parent, tmp_path / "other"
    packed = core("pack", sample, "--out", tmp_path / "out.zip")
    assert packed.status == 0
    assert packed.out == f"{tmp_path / 'out.zip'}  {(tmp_path / 'out.zip').stat().st_size:,} bytes\n"
    assert core("pack", sample, "--out", f"{tmp_path}/").status == 0
    assert (tmp_path / "digits.zip").read_bytes() == (tmp_path / "out.zip").read_bytes()

    taken = core("import", tmp_path / "out.zip", other)
    assert taken.out == core("list", other).out
    assert taken.out.startswith("digits: digits, stratified, 128 units")
    assert core("import", sample, other, "--name", "copy").out.startswith("copy: digits, stratified")
    assert {f.name: f.read_bytes() for f in (other / "copy").iterdir()} == {
        f.name: f.read_bytes() for f in sample.iterdir()
    }
    assert "run 'digits' exists in " in refused("import", tmp_path / "out.zip", other)
    assert core("import", tmp_path / "out.zip", other, "--overwrite").status == 0
    assert listed(core, other) == ["copy", "digits"]

    assert core("rename", sample, "mine").out == "digits is now called mine\n"
    assert core("archive", store / "mine").out.endswith(f"python -m core restore {store} mine\n")
    assert listed(core, store)[0].startswith("no runs in")
    assert core("restore", store).out == "mine\n"
    assert core("restore", store, "mine", "--name", "back").out == f"back is back in {store}\n"
    assert core("restore", store).out == f"nothing is archived in {store}\n"
    assert listed(core, store) == ["back"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("import", "gone.zip", "{store}"), "gone.zip is not a folder; name the folder of a run"),
        (("import", "{run}/run.json", "{store}"), "this zip is not taken in: it is no zip file, or its end is missing"),
        (("import", "{run}", "{store}", "--name", "../x"), "'../x' can't name a run"),
        (("import", "{run}", "{run}"), "is a run, not a folder of runs"),
        (("pack", "{store}/gone", "--out", "x.zip"), "is not a folder; name the folder of a run"),
        (("pack", "{run}", "--out", "{run}/run.json"), "is a file of a run, which the export would destroy"),
        (("rename", "{run}", "a b"), "'a b' can't name a run"),
        (("rename", "{store}/gone", "x"), "there is no run 'gone' in "),
        (("archive", "{store}/gone"), "there is no run 'gone' in "),
        (("restore", "{store}", "gone"), "it holds: nothing yet"),
        (("restore", "{run}"), "is a run, not a folder of runs"),
    ],
)
def test_mistakes_change_nothing(refused, sample, arguments, told) -> None:
    before = sorted(sample.parent.rglob("*"))
    assert told in refused(*(str(a).format(store=sample.parent, run=sample) for a in arguments))
    assert sorted(sample.parent.rglob("*")) == before
