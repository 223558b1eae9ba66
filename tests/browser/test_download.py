"""Every format through the browser, then loaded in a fresh process that does not know this project.

What it predicts must be, example for example, what the page was measured with.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import expect

from core.data import load
from core.export.formats import FORMATS
from core.runs.run import Run
from tests.helpers.browser import Open, Visitor

RUN, WIDTH = "digits-stratified", 21

NOBODY = """
import importlib.util, json, sys
import numpy as np
assert importlib.util.find_spec("core") is None and importlib.util.find_spec("app") is None, sys.path
sys.path.insert(0, "bundle")
x = np.load("inputs.npy")
"""
WITH_TORCH = (
    NOBODY
    + """
import shutil, torch
from load import labels, predict
found = {"bundle's load.py": predict(x)}
program = torch.export.load("model.pt2").module()
with torch.inference_mode():
    found["pt2"] = [labels[k] for k in program(torch.from_numpy(x).float()).argmax(1).tolist()]
shutil.copy("model.safetensors", "bundle/model.safetensors")
del sys.modules["load"]
from load import predict
found["safetensors"] = predict(x)
json.dump(found, open("torch.json", "w"))
"""
)
WITH_ONNX = (
    NOBODY
    + """
import onnxruntime
from load_onnx import labels, predict
found = {"bundle's load_onnx.py": predict(x)}
session = onnxruntime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])
scores = session.run(None, {session.get_inputs()[0].name: x.astype(np.float32)})[0]
found["onnx"] = [labels[k] for k in scores.argmax(1)]
assert "torch" not in sys.modules
json.dump(found, open("onnx.json", "w"))
"""
)


def take(visitor: Visitor, format: str, width: int, target: Path) -> Path:
    """Choose a format, press the button, keep the file."""
    visitor.page.get_by_role("radiogroup", name="File").get_by_text(FORMATS[format].label, exact=True).click()
    used = visitor.page.get_by_test_id("stCode").first  # of the box that says how the file is used
    expect(used).to_contain_text("from load import" if format == "bundle" else f"-w{width}{FORMATS[format].suffix}")
    visitor.settle()
    with visitor.page.expect_download(timeout=90_000) as waiting:
        visitor.page.get_by_role("button", name=f"Download {width} units").click()
    assert waiting.value.suggested_filename == f"{RUN}-w{width}{FORMATS[format].suffix}"
    path = target / f"model{FORMATS[format].suffix}"
    waiting.value.save_as(path)
    handed = visitor.page.get_by_text("Handed over:")
    expect(handed).to_be_visible()
    expect(handed).to_contain_text(hashlib.sha256(path.read_bytes()).hexdigest())
    expect(handed).to_contain_text("It was opened again: ")
    assert ("300 stored examples are those that were measured" in handed.inner_text()) == (format != "safetensors")
    return path


def fresh(script: str, folder: Path) -> dict[str, Any]:
    """What a Python prints that was started without this project on its path, in the downloads' folder."""
    (folder / "script.py").write_text(script, encoding="utf-8")
    command = [sys.executable, "-I", "script.py"]  # isolated: neither this folder nor PYTHONPATH is looked into
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = {}
    for path in folder.glob("*.json"):
        found |= json.loads(path.read_text(encoding="utf-8"))
    return found


def test_every_format_gives_what_the_page_showed(visit: Open, store: Path, tmp_path: Path) -> None:
    visitor = visit(f"/?run={RUN}&width={WIDTH}")
    accuracy = visitor.shown("value")
    visitor.page.get_by_text("What is inside, and how to use it").click()
    paths = {format: take(visitor, format, WIDTH, tmp_path) for format in FORMATS}
    expect(visitor.page.get_by_text("could not be made")).to_have_count(0)
    expect(visitor.page.get_by_role("code").last).to_have_text(visitor.page.url)
    assert visitor.width == WIDTH, "a download changes nothing on the page"

    with zipfile.ZipFile(paths["bundle"]) as bundle:
        assert all("/" not in name for name in bundle.namelist())
        bundle.extractall(tmp_path / "bundle")
    for line in (tmp_path / "bundle" / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split()
        assert hashlib.sha256((tmp_path / "bundle" / name).read_bytes()).hexdigest() == digest

    test = load("digits").test
    np.save(tmp_path / "inputs.npy", test.x)
    run = Run(store / RUN)
    wanted = run.predictions(WIDTH)
    assert wanted["label"].tolist() == test.y.tolist()
    labels = run.record.labels
    predicted = [labels[k] for k in wanted[f"w{WIDTH}"]]
    truth = [labels[k] for k in test.y]
    for script in (WITH_TORCH, WITH_ONNX):
        for source, found in fresh(script, tmp_path).items():
            assert found == predicted, source
            right = sum(a == b for a, b in zip(found, truth, strict=True))
            assert f"{100 * right / len(truth):.1f} %" == accuracy, source


def test_what_cannot_be_made_is_said_and_no_file_comes(visit: Open) -> None:
    visitor = visit("/?run=damaged&width=9")
    files: list[object] = []
    visitor.page.on("download", lambda download: files.append(download))
    visitor.page.get_by_text("What is inside, and how to use it").click()
    visitor.page.get_by_role("radiogroup", name="File").get_by_text("Weights only (safetensors)").click()
    expect(visitor.page.get_by_test_id("stCode").first).to_contain_text("-w9.safetensors")
    visitor.settle()
    visitor.page.get_by_role("button", name="Download 9 units").click()
    failure = visitor.page.get_by_role("alert").filter(has_text="The file could not be made:")
    expect(failure).to_contain_text("model.safetensors")
    expect(visitor.page.get_by_text("Handed over:")).to_have_count(0)
    expect(visitor.page.get_by_text("Traceback")).to_have_count(0)
    assert not files


def test_what_is_pressed_is_what_the_button_says(visit: Open) -> None:
    visitor = visit(f"/?run={RUN}&width={WIDTH}")
    before = visitor.sent
    visitor.slider.press("ArrowRight")
    button = visitor.page.get_by_role("button", name=f"Download {WIDTH + 1} units")
    with visitor.page.expect_download() as waiting:  # sooner than the server hears of the pick
        button.click()
    assert waiting.value.suggested_filename == f"{RUN}-w{WIDTH + 1}.onnx"
    done = visitor.page.get_by_text("Handed over:")
    expect(done).to_contain_text(f"{RUN}-w{WIDTH + 1}.onnx")
    visitor.expect_link(width=str(WIDTH + 1))
    assert visitor.sent == before + 1, "of the pick, once the hand went on; the file takes no message"
    visitor.slider.press("ArrowRight")
    expect(visitor.page.get_by_role("button", name=f"Download {WIDTH + 2} units")).to_be_visible()
    expect(done).to_contain_text(f"{RUN}-w{WIDTH + 1}.onnx")  # and still says what was handed over


def test_a_server_that_is_gone_is_said(visit: Open) -> None:
    visitor = visit(f"/?run={RUN}&width={WIDTH}")
    for answer, said in (
        (lambda route: route.abort(), "the server could not be reached; press the button again"),
        (lambda route: route.fulfill(status=502, body="<p>Bad gateway"), "it answered 502"),
    ):
        visitor.page.route("**/model-file?*", answer)
        visitor.page.get_by_role("button", name=f"Download {WIDTH} units").click()
        expect(visitor.page.get_by_role("alert").filter(has_text="The file could not be made:")).to_contain_text(said)
        visitor.page.unroute("**/model-file?*")
    with visitor.page.expect_download():
        visitor.page.get_by_role("button", name=f"Download {WIDTH} units").click()
    expect(visitor.page.get_by_text("The file could not be made:")).to_have_count(0)
