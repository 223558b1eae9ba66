"""The download: built when it is asked for, and where it can't be, the visitor reads why."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import threading
import zipfile
from pathlib import Path
from urllib.parse import unquote, urlencode

import pytest
import streamlit as st
from safetensors.numpy import load
from starlette.requests import Request
from starlette.responses import Response
from streamlit.testing.v1 import AppTest

from app import server
from app.pick import download
from app.store import downloads
from app.store.downloads import HANDED_OVER
from app.words import GLUE, JOINER
from core.errors import RunError, UserError
from core.export.formats import FORMATS, export, size_before, verify_export
from core.runs.run import Run
from core.utils.formatting import kilobytes
from tests.helpers.app import ask_for_file, button, handed_over, link, open_page, slider, texts, well
from tests.helpers.asgi import has_left, stays


def weights(**query: str) -> AppTest:
    at = well(open_page(**query))
    return well(at.radio(key="download-format").set_value("safetensors").run())


def told(answer: Response) -> dict[str, str]:
    """What the server says of a file that it hands over."""
    found: dict[str, str] = json.loads(unquote(answer.headers[HANDED_OVER]))
    return {name: text.replace(GLUE, " ").replace(JOINER, "") for name, text in found.items()}


@pytest.mark.slow
def test_the_file_is_that_of_the_size_on_the_page(digits: Path) -> None:
    at = weights(run="digits-stratified", width="21")
    answer = ask_for_file(button(at)["address"])
    data = bytes(answer.body)
    run = Run(digits / "digits-stratified")
    shapes = {name: tuple(value.shape) for name, value in load(data).items()}
    assert shapes == run.layout.shapes(run.widths_at(21))
    assert f"Handed over: digits-stratified-w21.safetensors, {kilobytes(len(data))}." in told(answer)["text"]
    assert told(answer)["sha256"] == hashlib.sha256(data).hexdigest()
    numbers = sum(value.size for value in load(data).values())
    assert f"It was opened again: all {numbers:,} numbers are those of the trained network." in told(answer)["text"]
    assert told(answer)["name"] in answer.headers["content-disposition"]
    at = well(next(b for b in at.button if b.label.startswith("Full size")).click().run())
    assert button(at)["label"] == "Download 128 units"
    assert load(handed_over(at)).keys() == shapes.keys()
    assert slider(at)["width"] == 128


@pytest.mark.parametrize(
    ("error", "said", "status"),
    [
        (RunError("model.safetensors **does not** hold these weights"), "**does not** hold these weights", 422),
        (MemoryError(), "something failed that nobody foresaw (MemoryError)", 500),
    ],
)
def test_a_failure_is_said_in_plain_words(
    digits: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, said: str, status: int
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise error

    address = button(weights(run="digits-paper"))["address"]
    with monkeypatch.context() as patch:
        patch.setattr(downloads, "export", fail)
        answer = ask_for_file(address)
    assert answer.status_code == status
    assert said in json.loads(bytes(answer.body))["problem"]
    assert HANDED_OVER not in answer.headers
    assert ask_for_file(address).status_code == 200, "the next try may succeed"


ADDRESS = {"run": "digits-paper", "format": "safetensors", "width": "9", "alone": "0"}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"run": "not-here"}, "the run is no longer here"),
        ({"run": ""}, "the run is no longer here"),
        ({"run": "../digits-paper"}, "the run is no longer here"),
        ({"run": "/etc"}, "the run is no longer here"),
        ({"format": "pickle"}, "another format was asked for"),
        ({"format": ""}, "another format was asked for"),
        ({"width": "129"}, "this size was not measured"),
        ({"width": "0"}, "this size was not measured"),
        ({"width": "-9"}, "this size was not measured"),
        ({"width": "9.0"}, "this size was not measured"),
        ({"width": "9" * 5000}, "this size was not measured"),
        ({"width": "\u0669"}, "this size was not measured"),
        ({"width": ""}, "this size was not measured"),
    ],
)
def test_nothing_in_an_address_is_believed(digits: Path, changed: dict[str, str], said: str) -> None:
    assert ask_for_file(f"?{urlencode(ADDRESS)}").status_code == 200
    answer = ask_for_file(f"?{urlencode(ADDRESS | changed)}")
    assert answer.status_code == 422
    assert said in json.loads(bytes(answer.body))["problem"]


def test_an_address_without_anything_in_it(digits: Path) -> None:
    assert ask_for_file("").status_code == 422
    assert ask_for_file("?run=digits-paper&run=x&%00=%ff").status_code == 422


def test_only_so_many_files_are_made_at_once(digits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    making: list[int] = []
    most: list[int] = []
    meet = threading.Barrier(downloads.AT_ONCE)

    def slowly(query: object) -> downloads.BuiltFile:
        making.append(1)
        most.append(len(making))
        meet.wait(30)  # so many do come together
        making.pop()
        raise RunError("made up")

    monkeypatch.setattr(downloads, "requested_file", slowly)
    scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "query_string": b""}

    async def crowd() -> list[int]:
        answers = await asyncio.gather(*(downloads.respond(Request(scope, stays)) for _ in range(12)))
        return [answer.status_code for answer in answers]

    monkeypatch.setattr(downloads, "_TURNS", asyncio.Semaphore(downloads.AT_ONCE))
    assert asyncio.run(crowd()) == [422] * 12
    assert max(most) == downloads.AT_ONCE


def test_a_file_that_nobody_waits_for_any_more_is_not_built(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[object] = []
    monkeypatch.setattr(downloads, "requested_file", built.append)
    scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "query_string": b""}
    answer = asyncio.run(downloads.respond(Request(scope, has_left)))
    assert (answer.status_code, built) == (downloads.NOBODY, [])


def test_the_route_lies_beside_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    for base, path in (("", "/model-file"), ("team/sizes", "/team/sizes/model-file"), ("/a/", "/a/model-file")):
        monkeypatch.setattr(st, "get_option", lambda name, base=base: {"server.baseUrlPath": base}[name])
        assert server.files().path == path


@pytest.mark.slow
@pytest.mark.parametrize("format", ["onnx", "bundle", "pt2"])
def test_a_program_is_run_again_on_stored_examples(digits: Path, format: str) -> None:
    run = Run(digits / "digits-stratified")
    said = downloads.build(run, 9, format).sentence
    assert f"its answers on {len(run.examples()['x'])} stored examples are those that were measured" in said
    assert ("numbers are those of the trained network" in said) == (format == "bundle")


def test_a_program_that_says_something_else_is_not_handed_over(digits: Path) -> None:
    run = Run(digits / "digits-stratified")
    good, other = (export(run, width, "onnx").data for width in (9, 3))
    assert verify_export(run, 9, "onnx", good).examples > 0
    with pytest.raises(RunError, match=r"answers \d+ of 300 stored examples otherwise"):
        verify_export(run, 9, "onnx", other)
    bundle = bytearray(export(run, 9, "bundle").data)
    with zipfile.ZipFile(io.BytesIO(bundle)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    assert set(parts) == set(download.INSIDE), "what the page says is inside"
    parts["model_card.md"] += b"x"
    changed = io.BytesIO()
    with zipfile.ZipFile(changed, "w") as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    with pytest.raises(RunError, match="does not match its SHA256SUMS"):
        verify_export(run, 9, "bundle", changed.getvalue())
    with pytest.raises(RunError, match="the weights read again"):
        verify_export(run, 9, "safetensors", export(run, 3, "safetensors").data)
    with pytest.raises(UserError, match="format 'x' is not known"):
        verify_export(run, 9, "x", good)


def test_a_width_that_was_not_measured_is_compared_with_nothing(digits: Path) -> None:
    run = Run(digits / "digits-stratified")
    data = export(run, 9, "onnx").data
    (digits / "digits-stratified" / "predictions.parquet").unlink()
    assert verify_export(Run(run.path), 9, "onnx", data).examples == 0


def test_damaged_weights_are_not_handed_over(digits: Path) -> None:
    path = digits / "digits-paper" / "model.safetensors"
    at = weights(run="digits-paper", width="9")
    raw = bytearray(path.read_bytes())
    raw[-40] ^= 0x55
    path.write_bytes(raw)
    answer = ask_for_file(button(well(at.run()))["address"])
    assert answer.status_code == 422
    assert "model.safetensors" in json.loads(bytes(answer.body))["problem"]


@pytest.mark.slow
@pytest.mark.parametrize("format", FORMATS)
def test_every_format_says_what_it_is_and_how_it_is_used(digits: Path, format: str) -> None:
    at = well(open_page(run="digits-paper", width="9"))
    at = well(at.radio(key="download-format").set_value(format).run())
    assert f"digits-paper-w9{FORMATS[format].suffix}" in texts(at)
    assert not at.code, "how it is used is in a box that costs nothing while it is closed"
    at.session_state["inside-open"] = True
    (snippet,) = [code.value for code in well(at.run()).code] or ["pass"]  # a format need not say how it is used
    compile(snippet, "snippet", "exec")
    chosen = "" if format == "onnx" else f"&format={format}"
    assert link(at).endswith(f"?run=digits-paper&width=9{chosen}")
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
