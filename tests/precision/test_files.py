"""Files of rounded weights: NumPy, torch and onnxruntime compute the same, each by itself."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from core import Run, RunError, UserError, export
from core.export.program import run_onnx
from core.precision import SCHEMES, evaluate_precision, quantized, read_weights
from tests.precision.conftest import ConvNet

README = Path(__file__).parents[2] / "core/precision/README.md"
BITS = sorted(SCHEMES)
NAMES = ("mlp_run", "conv_run")


def scores(module: torch.nn.Module, x: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return module(torch.from_numpy(x)).numpy()


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("name", NAMES)
def test_onnx_numpy_and_torch_agree(request, name, bits):
    run, width = request.getfixturevalue(name), 13
    x = run.dataset.test.x.astype(np.float32)
    model = quantized(run, run.widths_at(width), bits)
    expected = scores(model.module, x)
    assert np.abs(run_onnx(export(run, width, "onnx", bits=bits).data, x) - expected).max() <= 1e-4 * np.ptp(expected)
    state = read_weights(export(run, width, bits=bits).data)
    assert {n: v.shape for n, v in state.items()} == {n: tuple(v.shape) for n, v in model.module.state_dict().items()}
    plain = ConvNet(width).eval() if name == "conv_run" else run.family.build(hidden=width).eval()
    plain.load_state_dict({n: torch.from_numpy(np.array(v)) for n, v in state.items()}, strict=True)
    assert np.array_equal(scores(plain, x), expected)


@pytest.mark.parametrize("name", NAMES)
def test_fewer_bits_make_smaller_files_of_standard_operators(request, name):
    run, width = request.getfixturevalue(name), 17
    for format in ("safetensors", "onnx"):
        made = [export(run, width, format, bits=bits) for bits in (*BITS,)]
        sizes = [len(m.data) for m in made if format == "safetensors"]
        assert sizes == sorted(sizes)
        assert [m.name for m in made] == [f"{run.id}-w{width}-{b}bit.{format}" for b in BITS]
        if format == "onnx":
            for m in made:
                model = onnx.load_model_from_string(m.data)
                onnx.checker.check_model(model)
                assert {node.domain for node in model.graph.node} == {""}


def test_without_bits_the_file_is_that_of_before(mlp_run):
    for format in ("safetensors", "onnx"):
        assert export(mlp_run, 9, format, bits=None) == export(mlp_run, 9, format)
    exported = export(Run(mlp_run.path), 9)
    assert "bit" not in exported.name
    assert read_weights(exported.data).keys() == mlp_run.weights().keys()


def test_the_same_call_gives_the_same_bytes(mlp_run):
    assert export(mlp_run, 9, bits=3) == export(mlp_run, 9, bits=3)


@pytest.mark.parametrize("bits", BITS)
def test_the_figures_are_those_of_the_file(mlp_run, bits):
    data = export(mlp_run, 13, "onnx", bits=bits).data
    measured = evaluate_precision(mlp_run, 13, bits)
    for part in ("validation", "test"):
        split = mlp_run.dataset.part(part)
        predicted = run_onnx(data, split.x.astype(np.float32)).argmax(1)
        assert measured[part].value == pytest.approx((predicted == split.y).mean(), abs=1e-12)
        assert measured[part].low <= measured[part].value <= measured[part].high
        assert measured[part].n == split.n


@pytest.mark.parametrize("bits", BITS)
def test_numpy_alone_reads_the_weights(mlp_run, tmp_path, bits):
    (program,) = re.findall(r"^```python\n(.*?)^```", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    (tmp_path / "small.safetensors").write_bytes(export(mlp_run, 13, bits=bits).data)
    program += "import sys\nnp.savez('read.npz', **read('small.safetensors'))\n"
    program += "print(sorted({'core', 'torch', 'safetensors'} & set(sys.modules)))\n"
    assert alone(program, tmp_path) == "[]\n"
    expected = read_weights((tmp_path / "small.safetensors").read_bytes())
    with np.load(tmp_path / "read.npz") as file:
        assert set(file.files) == set(expected)
        assert all(np.array_equal(file[name], value) for name, value in expected.items())


@pytest.mark.parametrize("bits", BITS)
def test_onnxruntime_alone_runs_the_file(conv_run, tmp_path, bits):
    x = conv_run.dataset.test.x[:5].astype(np.float32)
    (tmp_path / "small.onnx").write_bytes(export(conv_run, 13, "onnx", bits=bits).data)
    np.save(tmp_path / "x.npy", x)
    program = (
        "import sys, numpy as np, onnxruntime as ort\n"
        "session = ort.InferenceSession('small.onnx', providers=['CPUExecutionProvider'])\n"
        "np.save('y.npy', session.run(None, {session.get_inputs()[0].name: np.load('x.npy')})[0])\n"
        "print(sorted({'core', 'torch', 'onnx'} & set(sys.modules)))\n"
    )
    assert alone(program, tmp_path) == "[]\n"
    expected = scores(quantized(conv_run, {"channels": 13}, bits).module, x)
    assert np.allclose(np.load(tmp_path / "y.npy"), expected, atol=1e-4 * np.ptp(expected))


def alone(program: str, folder: Path) -> str:
    answer = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, env={"OMP_NUM_THREADS": "1"}
    )
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


def test_other_formats_are_refused(mlp_run):
    with pytest.raises(UserError, match=r"^bits goes with the formats safetensors and onnx; got 'bundle'$"):
        export(mlp_run, 9, "bundle", bits=4)
    with pytest.raises(UserError, match="bits is 7; choose one of"):
        export(mlp_run, 9, bits=7)


def test_data_of_ones_own_have_to_be_given(mlp_run):
    opened = Run(mlp_run.path)
    with pytest.raises(UserError, match=r"weights are rounded .* from Python, give them: export\(.*data=data\)$"):
        export(opened, 9, bits=4)
    assert export(opened, 9, bits=4, data=mlp_run.dataset) == export(mlp_run, 9, bits=4)


@pytest.mark.parametrize("change", [b"int3", b'"shape"', b"[13,25]"])
def test_a_damaged_header_is_one_sentence(mlp_run, change):
    data = export(mlp_run, 13, bits=3).data
    assert change in data or change == b'"shape"'
    broken = data.replace(change, change[:-2] + b"9" + change[-1:]) if change in data else data[:50]
    with pytest.raises(RunError, match="the bytes are no weights of a rounded model"):
        read_weights(broken)


@pytest.mark.parametrize("data", [b"", b"x" * 7, b"x" * 100])
def test_bytes_that_are_no_file_are_one_sentence(data):
    with pytest.raises(RunError, match="the bytes are no weights of a rounded model"):
        read_weights(data)
