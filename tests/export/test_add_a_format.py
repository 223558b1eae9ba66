"""A format from outside the package: one `Format` and its line in `FORMATS`."""

from __future__ import annotations

import io

import numpy as np
import pytest

from core import RunError
from core.export import FORMATS, Format, Verified, export, file_name, size_before, verify_export
from core.export.weights import small_state


def make(run, widths, family) -> bytes:
    file = io.BytesIO()
    np.savez(file, **small_state(run, widths))
    return file.getvalue()


def verify(run, width: int, data: bytes) -> Verified:
    state = small_state(run, run.widths_at(width))
    with np.load(io.BytesIO(data), allow_pickle=False) as file:
        if file.files != list(state) or not all(np.array_equal(file[name], state[name]) for name in state):
            raise RunError(f"the arrays are not those of run {run.id} at width {width}")
    return Verified(numbers=sum(value.size for value in state.values()))


NPZ = Format(
    name="npz",
    suffix=".npz",
    label="NumPy",
    meaning="The model's numbers for NumPy.",
    holds_program=False,
    make=make,
    verify=verify,
    size=lambda weights, tensors: weights + 250 * tensors,
    roughly="about",
)


@pytest.fixture(autouse=True)
def npz(monkeypatch):
    monkeypatch.setitem(FORMATS, "npz", NPZ)


def test_it_is_exported_named_and_sized(run_of):
    run = run_of("digits")
    made = export(run, 7, "npz")
    assert made.name == file_name(run, {"hidden": 7}, "npz") == "stratified-w7.npz"
    size, roughly = size_before(run, {"hidden": 7}, "npz")
    assert roughly == "about"
    assert abs(len(made.data) / size - 1) < 0.2


@pytest.mark.parametrize("format", [*FORMATS, "npz"])
def test_bytes_that_are_no_such_file_are_refused_in_a_sentence(run_of, format):
    other = export(run_of("digits"), 7, "onnx" if format == "safetensors" else "safetensors").data
    for data in (b"", b"nothing", other):
        with pytest.raises(RunError, match=rf"the bytes are no {format} file .*make the file of run stratified again"):
            verify_export(run_of("digits"), 7, format, data)


def test_it_is_checked_by_its_own_verify(run_of):
    run = run_of("digits")
    made = export(run, 7, "npz").data
    numbers = sum(value.size for value in small_state(run, {"hidden": 7}).values())
    assert verify_export(run, 7, "npz", made) == Verified(numbers=numbers)
    with pytest.raises(RunError, match="the arrays are not those of run stratified at width 9"):
        verify_export(run, 9, "npz", made)
    off = dict(np.load(io.BytesIO(made)))
    off["2.bias"] = off["2.bias"] + 1
    file = io.BytesIO()
    np.savez(file, **off)
    with pytest.raises(RunError, match="the arrays are not those of run stratified at width 7"):
        verify_export(run, 7, "npz", file.getvalue())
