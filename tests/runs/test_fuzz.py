"""Whatever befalls a run's files, reading them gives an answer or a RunError of one line, and nothing else."""

from __future__ import annotations

import copy
import json
import shutil

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from core import Run, RunStore, UserError
from core.export.formats import export
from core.runs.file_names import FILES, POLISHED, STATISTICS
from core.runs.record import RunRecord
from core.runs.store import BrokenRun
from tests.helpers.properties import tries
from tests.helpers.store import read_all

WRITTEN = [name for name in FILES if name not in (STATISTICS, POLISHED)]  # this run has neither

CHECKS = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
EASY, LITTLE = tries(60, suppress_health_check=CHECKS), tries(150, suppress_health_check=CHECKS)
STRANGE = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 3), st.integers(), st.floats(), st.text(max_size=5),
    st.sampled_from([[], {}, [[]], [None], {"": None}, "x" * 9999, 10**400, -(10**30), 1e308, "\ud800", "\n"]),
    st.recursive(st.none(), lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner)),
)  # fmt: skip


def answers(path) -> bool:
    """Whether all of the run can be read; anything but a one-line UserError fails the test."""
    try:
        read_all(path)
    except UserError as error:
        one_line(error)
        return False
    return True


def one_line(error: Exception) -> None:
    assert len(str(error).splitlines()) == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", WRITTEN)
@EASY
@given(data=st.data())
def test_flipped_bytes(whole, tmp_path, name, data):
    path = tmp_path / "run"
    shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(whole, path)
    content = bytearray((path / name).read_bytes())
    places = st.integers(0, len(content) - 1)
    near_an_end = st.integers(0, min(200, len(content) - 1)) | st.integers(max(0, len(content) - 200), len(content) - 1)
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(places | near_an_end)] = data.draw(st.integers(0, 255))
    changed = bytes(content) != (whole / name).read_bytes()
    (path / name).write_bytes(content)
    if answers(path) and changed:
        assert name != "model.safetensors" or Run(path).weights()  # a weight that changed is noticed


@pytest.mark.slow
@pytest.mark.parametrize("name", WRITTEN)
@EASY
@given(data=st.data())
def test_cut_short_or_grown(whole, tmp_path, name, data):
    path = tmp_path / "run"
    shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(whole, path)
    content = (path / name).read_bytes()
    end = data.draw(st.integers(0, len(content)))
    (path / name).write_bytes(content[:end] + data.draw(st.binary(max_size=20)))
    answers(path)


def test_every_flipped_weight_is_noticed(whole, tmp_path):
    """Past the header each byte is a part of a number: none may change unseen."""
    shutil.copytree(whole, tmp_path / "run")
    path = tmp_path / "run" / "model.safetensors"
    content = path.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    for place in range(start, len(content), 7):
        path.write_bytes(content[:place] + bytes([content[place] ^ 16]) + content[place + 1 :])
        with pytest.raises(UserError, match="does not hold the weights"):
            Run(tmp_path / "run").slice(first=1)


def spots(value, found=()):
    """The path of every value in a nest of dictionaries and lists."""
    yield found
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in inside:
        yield from spots(inner, (*found, key))


def changed(plain, spot, how):
    """A copy with the value at one place replaced, or dropped."""
    plain = copy.deepcopy(plain)
    if not spot:
        return how
    inner = plain
    for key in spot[:-1]:
        inner = inner[key]
    if how is DROP:
        del inner[spot[-1]]
    else:
        inner[spot[-1]] = how
    return plain


DROP = object()


@pytest.mark.slow
@LITTLE
@given(data=st.data())
def test_run_json_of_wrong_types(whole, tmp_path, data):
    plain = json.loads((whole / "run.json").read_text())
    for _ in range(data.draw(st.integers(1, 2))):
        everywhere = list(spots(plain))
        top = [spot for spot in everywhere if len(spot) <= 2]
        spot = data.draw(st.sampled_from(top) | st.sampled_from(everywhere))
        plain = changed(plain, spot, data.draw(st.just(DROP) | STRANGE if spot else STRANGE))
        if not isinstance(plain, dict):
            break
    path = tmp_path / "run"
    shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(whole, path)
    (path / "run.json").write_text(json.dumps(plain))
    if answers(path):
        run = Run(path)
        try:
            assert export(run, 3).data
        except UserError as error:
            one_line(error)
        assert RunRecord.from_json(json.loads(json.dumps(run.record.to_json()))).to_json() == run.record.to_json()
    (entry,) = RunStore(tmp_path).list()
    assert isinstance(entry, BrokenRun) == (not _opens(path))


def _opens(path) -> bool:
    try:
        Run(path)
    except UserError:
        return False
    return True


def test_every_entry_of_run_json_of_every_wrong_type(whole):
    """Exhaustively, one at a time, without touching a file."""
    plain = json.loads((whole / "run.json").read_text())
    refused = 0
    for spot in spots(plain):
        for how in (DROP, None, True, 7, -1, 1.5, float("inf"), "text", [], {}, [[1]], {"a": 1}, 10**400):
            if not spot and how is DROP:
                continue
            try:
                RunRecord.from_json(changed(plain, spot, how))
            except UserError as error:
                refused += 1
                one_line(error)
    assert refused > 1000


@pytest.mark.slow
@LITTLE
@given(
    header=st.binary(max_size=60) | st.text(max_size=60).map(str.encode), length=st.none() | st.integers(0, 2**64 - 1)
)
def test_headers_of_anything(whole, tmp_path, header, length):
    path = tmp_path / "run"
    shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(whole, path)
    for name in ("model.safetensors", "examples.safetensors"):
        size = len(header) if length is None else length
        (path / name).write_bytes(size.to_bytes(8, "little") + header)
        assert not answers(path)
