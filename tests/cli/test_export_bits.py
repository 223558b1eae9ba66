"""`export --bits`: the file, its bytes and the figure measured for it."""

import pytest

from core import Run
from core.precision import evaluate_precision


def test_the_file_and_its_figure_are_printed(core, sample, tmp_path):
    out = tmp_path / "small.onnx"
    answer = core("export", sample, "--width", 8, "--bits", 4, "--format", "onnx", "--out", out)
    assert answer.status == 0, answer
    first, second = answer.out.splitlines()
    assert f"  {out.stat().st_size:,} bytes  sha256 " in first
    test = evaluate_precision(Run(sample), 8, 4)["test"]
    assert second.startswith(f"Accuracy {100 * test.value:.1f} % (")
    assert second.endswith(f"on {test.n:,} test examples, measured at 4 bits")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--bits", 5, "--format", "onnx"), "bits is 5; choose one of 16, 8, 4, 3, 2"),
        (("--bits", 4), "bits goes with the formats safetensors and onnx; got 'bundle'"),
    ],
)
def test_refusals(refused, sample, tmp_path, options, sentence):
    assert sentence in refused("export", sample, "--width", 8, *options, "--out", tmp_path / "x")
    assert not (tmp_path / "x").exists()
