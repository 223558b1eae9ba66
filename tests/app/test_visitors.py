"""Several people at once, and a server that stays small."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from app.store.cache import VARIABLE
from tests.helpers.app import ROOT, copy_run, edit_record, field, figure, go, open_page, slider, texts, well


@pytest.mark.slow
def test_two_visitors_do_not_see_each_others_choice(digits: Path) -> None:
    one, other = open_page(run="digits-paper", width="9"), open_page(run="digits-stratified", width="77")
    one = well(one.radio(key="pick-ask").set_value("under").run())
    one = well(one.text_input(key="pick-limit-under").set_value("7.0").run())
    other = well(other.run())
    assert (slider(other)["width"], other.radio(key="pick-ask").value) == (77, "choose")
    other = well(go(other, "compare", runs="digits-stratified,digits-paper", at="width", value="5"))
    one = well(go(one, "compare"))
    assert one.multiselect(key="compare-runs").value == ["digits-paper", "digits-stratified"]
    assert one.radio(key="compare-at").value == "size"
    assert field(well(go(one, "pick")), "pick-limit-under") == 7.0
    third = well(open_page())
    assert (third.radio(key="pick-ask").value, third.selectbox(key="pick-run").value) == ("choose", "digits-stratified")


@pytest.mark.slow
def test_what_is_shared_is_not_changed_by_showing_it(digits: Path) -> None:
    first = figure(well(open_page(run="digits-paper", width="9")))
    for query in ({"ask": "under", "limit": "5"}, {"axis": "whole"}, {"width": "128"}):
        well(open_page(run="digits-paper", **query))
    well(open_page("compare", runs="digits-paper,digits-stratified"))
    assert figure(well(open_page(run="digits-paper", width="9"))) == first


LOOK = """
import os, sys
sys.path.insert(0, os.getcwd())
from tests.helpers.app import go, open_page, well
at = well(open_page(run="digits-stratified", width="9"))
at = well(at.radio(key="pick-ask").set_value("lose").run())
at = well(go(at, "compare"))
heavy = {"torch", "onnx", "onnxruntime", "sklearn"}
print("heavy:", sorted(heavy & set(sys.modules)))
at = well(open_page(run="digits-stratified", width="9"))
at = well(at.radio(key="pick-ask").set_value("under").run())  # the very ONNX file is made, and its bytes are counted
print("with a limit for ONNX:", sorted({"torch", "sklearn"} & set(sys.modules)))
from app.store.downloads import build
import pytest
from core.runs.run import Run
assert len(build(Run(sys.argv[1]), 9, "safetensors").data) > 0
print("after a download of weights:", sorted({"torch"} & set(sys.modules)))
"""


@pytest.mark.slow
def test_torch_is_not_imported_until_a_download_needs_it(digits: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOOK, str(digits / "digits-stratified")],
        cwd=ROOT,
        env={"PATH": "", VARIABLE: str(digits)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["heavy: []", "with a limit for ONNX: []", "after a download of weights: []"]


def test_many_runs_open_as_one_does(store: Path) -> None:
    for k in range(30):
        copy_run(store, "digits-paper", f"run-{k:02}")
    better = copy_run(store, "digits-stratified", "better")
    edit_record(better, lambda record: record.update(created="2999-01-01T00:00:00+00:00"))
    at = well(open_page())
    assert at.selectbox(key="pick-run").value == "better"
    assert len(at.selectbox(key="pick-run").options) == 31
    assert "can't be read" not in texts(at)
