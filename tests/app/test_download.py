"""The download: built when it is asked for, and where it can't be, the visitor reads why."""

from __future__ import annotations

import hashlib
import io
import threading
import zipfile
from pathlib import Path

import pytest
from safetensors.numpy import load
from streamlit.testing.v1 import AppTest

from app import download
from core.delivered import check
from core.errors import RunError, UserError
from core.export import FORMATS, export, size_before
from core.report import kilobytes
from core.runs import Run
from tests.helpers_app import link, open_page, slider, texts, well


def clicked(at: AppTest) -> AppTest:
    """AppTest makes no file, so it is made here, on a thread of its own as in the server."""
    job = at.session_state["download-jobs"][-1]

    def build() -> None:
        try:
            job()
        except Exception:  # Streamlit's to show; the test reads the page
            assert job.failure

    thread = threading.Thread(target=build)
    thread.start()
    at.download_button(key="download").click().run()
    thread.join()
    return well(at)


def weights(**query: str) -> AppTest:
    at = well(open_page(**query))
    return well(at.radio(key="download-format").set_value("safetensors").run())


def test_the_file_is_that_of_the_size_on_the_page(digits: Path) -> None:
    at = weights(run="digits-stratified", width="21")
    job = at.session_state["download-jobs"][-1]
    data = job()
    run = Run(digits / "digits-stratified")
    shapes = {name: tuple(value.shape) for name, value in load(data).items()}
    assert shapes == run.layout.shapes(run.widths_at(21))
    at = clicked(at)
    assert f"Handed over: {kilobytes(len(data))}" in texts(at)
    assert hashlib.sha256(data).hexdigest() in texts(at)
    numbers = sum(value.size for value in load(data).values())
    assert f"It was opened again: all {numbers:,} numbers are those of the trained network." in texts(at)
    assert not at.error
    at = well(next(b for b in at.button if b.label.startswith("Full size")).click().run())
    assert "Handed over" not in texts(at), "of another size nothing was handed over"
    assert at.session_state["download-jobs"][-1].width == slider(at)["width"] == 128


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            RunError("model.safetensors **does not** hold <b>these</b> weights"),
            "**does not** hold <b>these</b> weights",
        ),
        (MemoryError(), "something failed that nobody foresaw (MemoryError)"),
    ],
)
def test_a_failure_is_said_in_plain_words(
    digits: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise error

    at = weights(run="digits-paper")
    with monkeypatch.context() as patch:
        patch.setattr(download, "export", fail)
        at = clicked(at)
    assert "The file could not be made" in at.error[0].value
    assert said.replace("**", "") in texts(at)
    assert "Handed over" not in texts(at)
    at = clicked(at)
    assert "Handed over" in texts(at), "the next try may succeed"
    assert not at.error


@pytest.mark.parametrize("format", ["onnx", "bundle", "pt2"])
def test_a_program_is_run_again_on_stored_examples(digits: Path, format: str) -> None:
    run = Run(digits / "digits-stratified")
    job = download.Job(run, 9, format)
    job()
    assert job.found.examples == len(run.examples()["x"])
    assert bool(job.found.numbers) == (format == "bundle")


def test_a_program_that_says_something_else_is_not_handed_over(digits: Path) -> None:
    run = Run(digits / "digits-stratified")
    good, other = (export(run, width, "onnx").data for width in (9, 3))
    assert check(run, 9, "onnx", good).examples > 0
    with pytest.raises(RunError, match=r"answers \d+ of 300 stored examples otherwise"):
        check(run, 9, "onnx", other)
    bundle = bytearray(export(run, 9, "bundle").data)
    with zipfile.ZipFile(io.BytesIO(bundle)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    assert set(parts) == set(download.INSIDE), "what the page says is inside"
    parts["model_card.md"] += b"x"
    changed = io.BytesIO()
    with zipfile.ZipFile(changed, "w") as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    with pytest.raises(RunError, match="does not hold what its SHA256SUMS says"):
        check(run, 9, "bundle", changed.getvalue())
    with pytest.raises(RunError, match="the weights read again"):
        check(run, 9, "safetensors", export(run, 3, "safetensors").data)
    with pytest.raises(UserError, match="format 'x' is not known"):
        check(run, 9, "x", good)


def test_a_width_that_was_not_measured_is_compared_with_nothing(digits: Path) -> None:
    run = Run(digits / "digits-stratified")
    data = export(run, 9, "onnx").data
    (digits / "digits-stratified" / "predictions.parquet").unlink()
    assert check(Run(run.path), 9, "onnx", data).examples == 0


def test_damaged_weights_are_not_handed_over(digits: Path) -> None:
    path = digits / "digits-paper" / "model.safetensors"
    at = weights(run="digits-paper", width="9")
    raw = bytearray(path.read_bytes())
    raw[-40] ^= 0x55
    path.write_bytes(raw)
    at = clicked(well(at.run()))
    assert "model.safetensors" in at.error[0].value.replace("\\", "")
    assert "Handed over" not in texts(at)


def test_a_click_that_brings_no_file_is_said(digits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "LONGEST_WAIT", -1.0)
    monkeypatch.setattr(download, "POLL", 0.0)
    at = weights(run="digits-paper")
    at = well(at.download_button(key="download").click().run())
    assert "press the button again" in at.warning[0].value


def test_a_click_that_meets_a_page_on_its_way_is_answered_too(digits: Path) -> None:
    at = weights(run="digits-paper")
    clicked_job = at.session_state["download-jobs"][-1]
    at = well(at.run())  # the page ran again between the click and its message
    assert at.session_state["download-jobs"][-1] is not clicked_job
    clicked_job()
    at = well(at.download_button(key="download").click().run())
    assert "Handed over" in texts(at)
    assert not at.warning


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_says_what_it_is_and_how_it_is_used(digits: Path, format: str) -> None:
    at = well(open_page(run="digits-paper", width="9"))
    at = well(at.radio(key="download-format").set_value(format).run())
    assert f"digits-paper-w9{FORMATS[format].suffix}" in texts(at)
    assert not at.code, "how it is used is in a box that costs nothing while it is closed"
    at.session_state["inside-open"] = True
    (snippet,) = well(at.run()).code
    compile(snippet.value, "snippet", "exec")
    assert link(at).endswith("?run=digits-paper&width=9")
    at = well(at.selectbox(key="pick-run").set_value("digits-stratified").run())
    assert at.radio(key="download-format").value == format, "the format stays when another network is chosen"


@pytest.mark.parametrize("format", FORMATS)
def test_the_size_of_a_file_is_said_before_it_is_made(digits: Path, format: str) -> None:
    at = well(open_page(run="digits-paper", width="9"))
    at = well(at.radio(key="download-format").set_value(format).run())
    run = Run(digits / "digits-paper")
    size, roughly = size_before(run, run.widths_at(9), format)
    said = f"{roughly} {kilobytes(size)}".strip()
    assert f"digits-paper-w9{FORMATS[format].suffix}, {said}. Opened again" in texts(at)
