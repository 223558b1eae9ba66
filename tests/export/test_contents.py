"""Exported files hold no traces of the machine, no pickle and no examples."""

import io
import json
import pickletools
import sys
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from core.export.formats import FORMATS, export
from core.export.onnx import _clear_origin
from core.export.program import run_onnx

ROOT = Path(__file__).parents[2]


def members(data: bytes) -> dict[str, bytes]:
    """The file itself, and the members of a zip."""
    parts = {"": data}
    if zipfile.is_zipfile(io.BytesIO(data)):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            parts |= {name: archive.read(name) for name in archive.namelist()}
    return parts


def is_pickle(data: bytes) -> bool:
    try:
        list(pickletools.genops(data))
    except ValueError:
        return False
    return True


@pytest.mark.slow
@pytest.mark.parametrize("format", FORMATS)
def test_no_path_of_this_machine(own_run, run_of, format):
    traces = [str(ROOT), str(Path.home()), str(own_run.run.path.parent), sys.prefix, "site-packages", "conftest"]
    for data in (
        export(own_run.run, 5, format, family=own_run.family).data,
        export(run_of("digits"), 5, format).data,
    ):
        for name, part in members(data).items():
            for trace in traces:
                assert len(trace) < 4 or trace.encode() not in part, (name, trace)


@pytest.mark.slow
@pytest.mark.parametrize("format", FORMATS)
def test_no_pickle_and_no_example(run_of, format):
    run = run_of("image")
    examples = run.examples()["x"]
    for name, part in members(export(run, 5, format).data).items():
        assert not is_pickle(part), name
        assert not zipfile.is_zipfile(io.BytesIO(part)) or name == "", name  # torch.save's own wrapping of a pickle
        assert all(example.tobytes()[:32] not in part for example in examples), name


def test_members_of_a_pt2(run_of):
    data = export(run_of("digits"), 5, "pt2").data
    empty, plain = [], []
    for name, part in members(data).items():
        if not part:
            empty.append(name)
        elif name.endswith(".json"):
            plain.append(json.loads(part))
    assert [Path(name).name for name in empty] == ["model.pt"]  # sample inputs, left out
    assert any("graph_module" in part for part in plain)
    weights = sum(len(part) for name, part in members(data).items() if "/weights/weight_" in name)
    assert weights == sum(v.nbytes for v in run_of("digits").slice(hidden=5).values())


def test_pickle_finder_finds_one():
    buffer = io.BytesIO()
    torch.save(torch.zeros(2), buffer)
    assert any(is_pickle(part) for part in members(buffer.getvalue()).values())


def test_origin_is_cleared_inside_branches_too():
    inner = helper.make_node("Identity", ["x"], ["y"], doc_string="/somebody/secret.py")
    inner.metadata_props.add(key="pkg.torch.onnx.stack_trace", value="/somebody/secret.py")
    shape = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    branch = helper.make_graph([inner], "branch", [], [shape], doc_string="/somebody/secret.py")
    flag = helper.make_tensor_value_info("flag", TensorProto.BOOL, [])
    outer = helper.make_node("If", ["flag"], ["y"], then_branch=branch, else_branch=branch)
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1], doc_string="/somebody/secret.py")
    model = helper.make_model(helper.make_graph([outer], "g", [flag, x], [shape]), ir_version=10)
    kept = helper.make_model(helper.make_graph([outer], "g", [flag, x], [shape]), ir_version=10)
    _clear_origin(model)
    assert b"secret" in kept.SerializeToString()
    assert b"secret" not in model.SerializeToString()
    onnx.checker.check_model(model)


def test_onnx_file_is_well_formed(run_of):
    run = run_of("digits")
    model = onnx.load_model_from_string(export(run, 5, "onnx").data)
    onnx.checker.check_model(model, full_check=True)
    assert [v.name for v in model.graph.input] == ["input"]
    assert [v.name for v in model.graph.output] == ["scores"]
    held = {w.name: onnx.numpy_helper.to_array(w) for w in model.graph.initializer}
    for name, shape in run.layout.shapes({"hidden": 5}).items():
        assert held[name].shape == shape
    assert run_onnx(model.SerializeToString(), np.zeros((3, 8, 8), np.float32)).shape == (3, 10)
