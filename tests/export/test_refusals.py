"""A file that disagrees with the model is never returned, and a refusal names its cause in a sentence."""

import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file
from safetensors.torch import load
from torch import nn

from core import Family, Run, RunError, RunStore, UserError
from core.data import InputFormat
from core.elastic.scale import Scale
from core.export import onnx as graph
from core.export import pt2
from core.export.formats import export
from core.runs.record import RunRecord
from core.utils.fingerprint import fingerprint
from tests.helpers.properties import tries


@pytest.fixture
def quick_run(tmp_path):
    """A run of any factory with its first weights, as it is after a restart of Python."""
    x = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)

    def make(build) -> tuple[Run, Family]:
        family = Family(build, hidden=8)
        weights = {name: value.numpy() for name, value in family.build().state_dict().items()}
        record = RunRecord(
            family={"name": None, "settings": {}},
            layout=family.layout,
            task="classification",
            labels=("a", "b", "c"),
            input=InputFormat(kind="array", shape=(6,), dtype="float32"),
            data={},
            recipe={},
            scale=Scale().to_json(),
            training={},
            weights_sha256=fingerprint(weights),
        )
        examples = {"x": x, "y": np.zeros(40, np.int64), "index": np.arange(40)}
        return RunStore(tmp_path).write("own", record, weights, examples), family

    return make


@pytest.mark.slow
@pytest.mark.parametrize(
    "wrong",
    [
        lambda scores: scores * 1.01,
        lambda scores: np.full_like(scores, np.nan),
        lambda scores: scores[:, :-1],
        lambda scores: scores[:, ::-1],
        lambda scores: 1 / 0,
    ],
    ids=["off", "nan", "shape", "order", "fails"],
)
def test_an_onnx_file_that_disagrees_is_refused(run_of, monkeypatch, wrong):
    run, run_onnx = run_of("digits"), graph.run_onnx
    monkeypatch.setattr(graph, "run_onnx", lambda data, x: wrong(run_onnx(data, x)))
    with pytest.raises(RunError, match=r"ONNX file of run stratified at \{'hidden': 5\} does not give"):
        export(run, 5, "bundle")


def test_a_pt2_file_that_disagrees_is_refused(run_of, monkeypatch):
    run, run_module, calls = run_of("digits"), pt2.run_module, []

    def once_off(module, x):
        calls.append(module)
        return run_module(module, x) + (len(calls) == 1)

    monkeypatch.setattr(pt2, "run_module", once_off)
    with pytest.raises(RunError, match=r"\.pt2 file of run stratified"):
        export(run, 5, "pt2")


@tries(60)
@given(st.integers(-20, 20), st.integers(0, 2**32 - 1), st.floats(0, 50))
def test_agreement_does_not_depend_on_the_scores_size(power, seed, shift):
    rng = np.random.default_rng(seed)
    expected = ((rng.normal(size=(20, 4)) + shift) * 2.0**power).astype(np.float32)
    rounding = (1 + 1e-7 * rng.choice([-1, 1], expected.shape)).astype(np.float32)
    assert graph.agrees(expected * rounding, expected)
    assert not graph.agrees(expected + np.float32(0.01 * np.ptp(expected)), expected)
    assert not graph.agrees(expected[::-1], expected)


@pytest.mark.slow
def test_one_graph_serves_every_width_and_equals_a_direct_export(run_of, monkeypatch):
    run = run_of("digits")
    export(run, 24, "onnx")
    direct = {width: graph._export_graph(graph.small_module(run, {"hidden": width}), run) for width in (1, 13)}
    monkeypatch.setattr(graph, "_export_graph", None)  # calling it would fail
    x = graph.example_inputs(run)
    for width, expected in direct.items():
        cut = onnx.load_model_from_string(export(run, width, "onnx").data)
        assert np.array_equal(
            graph.run_onnx(cut.SerializeToString(), x), graph.run_onnx(expected.SerializeToString(), x)
        )
        assert [node.op_type for node in cut.graph.node] == [node.op_type for node in expected.graph.node]


@pytest.mark.slow
def test_a_width_written_into_the_graph_is_exported_directly(quick_run):
    class Averages(nn.Module):
        def __init__(self, hidden: int) -> None:
            super().__init__()
            self.hidden, self.first, self.last = hidden, nn.Linear(6, hidden), nn.Linear(hidden, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.last(torch.relu(self.first(x)) / self.hidden)

    run, family = quick_run(Averages)
    x = graph.example_inputs(run)
    for width in (2, 8):
        expected = graph.run_module(graph.small_module(run, {"hidden": width}, family), x)
        cut = graph._cut_graph(run, {"hidden": width}, family)
        assert graph.agrees(graph.run_onnx(cut, x), expected) == (width == 8)
        assert graph.agrees(graph.run_onnx(export(run, width, "onnx", family=family).data, x), expected)


@pytest.mark.slow
def test_shared_weights(quick_run):
    class Tied(nn.Module):
        def __init__(self, hidden: int) -> None:
            super().__init__()
            self.first, self.last, self.again = nn.Linear(6, hidden), nn.Linear(hidden, 3), nn.Linear(hidden, hidden)
            self.once_more = self.again

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.last(torch.relu(self.once_more(torch.relu(self.again(torch.relu(self.first(x)))))))

    run, family = quick_run(Tied)
    x = graph.example_inputs(run)
    module = Tied(3)
    module.load_state_dict(load(export(run, 3).data), strict=True)
    assert module.again.weight is module.once_more.weight
    assert graph.agrees(
        graph.run_onnx(export(run, 3, "onnx", family=family).data, x), graph.run_module(module.eval(), x)
    )


class Branches(nn.Sequential):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x if x.sum() > 0 else -x)


class Refuses(nn.Sequential):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if torch.compiler.is_compiling():
            raise RuntimeError("\x1b[96mno tracing\x1b[0m\nof this one\n\nGeneral advice")
        return super().forward(x)


class Unsupported(nn.Sequential):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.special.bessel_j0(super().forward(x))


NO_PROGRAMS = {
    "a branch on numbers": (Branches, ("onnx", "pt2", "bundle"), "data-dependent expression"),
    "an error of its own": (Refuses, ("onnx", "pt2", "bundle"), r"\(no tracing of this one\)"),
    "an operator that ONNX lacks": (Unsupported, ("onnx", "bundle"), "No ONNX function found for .*bessel_j0"),
}


@pytest.mark.parametrize("kind", NO_PROGRAMS)
def test_a_model_that_is_no_program_names_the_cause_and_still_gives_its_weights(quick_run, kind):
    net, formats, cause = NO_PROGRAMS[kind]
    run, family = quick_run(lambda hidden: net(nn.Linear(6, hidden), nn.ReLU(), nn.Linear(hidden, 3)))
    for format in formats:
        with pytest.raises(UserError, match=rf"can't make a program of .* run own .*{cause}.*its weights as") as e:
            export(run, 4, format, family=family)
        assert str(e.value).isprintable()
        assert len(str(e.value)) < 400
    assert load(export(run, 4).data)["0.weight"].shape == (4, 6)


def test_own_factory(own_run, measure):
    run, family, x = Run(own_run.run.path), own_run.family, own_run.data.test.x
    for format in ("onnx", "pt2", "bundle"):
        with pytest.raises(UserError, match=r"factory of your own.*export\(run, width, format, family=.*safetensors"):
            export(run, 5, format)
    module = family.build(hidden=5)
    state = load(export(run, 5).data)
    assert state["heat"].shape == ()
    module.load_state_dict(state, strict=True)
    expected = graph.run_module(module.eval(), x)
    assert np.array_equal(expected.argmax(1), run.predictions(5)["w5"])
    assert measure.off(graph.run_onnx(export(run, 5, "onnx", family=family).data, x), expected) < 1e-5
    with pytest.raises(UserError, match="the family is not the one that run own was trained with"):
        export(run, 5, "onnx", family=Family(type(module), hidden=11))


def test_weights_of_another_training_are_refused(run_of, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(run_of("digits").path, folder)
    export(Run(folder), 3)
    weights = load_file(folder / "model.safetensors")
    weights["2.bias"] = weights["2.bias"] + np.float32(0.5)
    save_file(weights, folder / "model.safetensors")
    for format in ("safetensors", "onnx"):
        with pytest.raises(
            RunError, match=r"does not hold the weights that run\.json describes; restore it from a copy"
        ):
            export(Run(folder), 3, format)


def test_a_wrong_request(run_of):
    run = run_of("digits")
    with pytest.raises(UserError, match="format 'exe' is not known; choose one of bundle, safetensors, onnx, pt2"):
        export(run, 3, "exe")
    for width in (0, 25, -1, True, 2.5, "3", None):
        with pytest.raises(UserError, match=r"choose .*1 to 24"):
            export(run, width)
    with pytest.raises(UserError, match="width 'depth' does not exist"):
        export(run, {"depth": 3})


def test_the_callers_random_state_is_kept(run_of):
    path = run_of("digits").path
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    for format in ("onnx", "pt2"):
        export(Run(path), 3, format)
    assert torch.equal(torch.rand(4), expected)


@pytest.mark.slow
def test_four_threads_at_once(run_of, monkeypatch):
    monkeypatch.setattr(graph, "GRAPHS_KEPT", 1)  # every thread throws out what another one made
    jobs = [
        (name, width, format)
        for width in (3, 5)
        for name in ("digits", "image")
        for format in ("bundle", "onnx", "safetensors", "pt2")
    ]
    expected = [export(run_of(name), width, format) for name, width, format in jobs]
    graph._graphs.clear()
    with ThreadPoolExecutor(4) as pool:
        files = list(pool.map(lambda job: export(run_of(job[0]), job[1], job[2]), jobs))
    assert files == expected
    assert len(graph._graphs) == 1


@pytest.mark.slow
def test_threads_wait_for_one_graph(run_of, monkeypatch):
    made, empty_graph = [], graph._empty_graph
    monkeypatch.setattr(graph, "_empty_graph", lambda *given: made.append(1) or empty_graph(*given))
    graph._graphs.clear()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda width: export(run_of("digits"), width, "onnx"), (3, 4, 5, 6)))
    assert len(made) == 1


@pytest.mark.slow
def test_kept_graphs_hold_no_weights(run_of):
    graph._graphs.clear()
    export(run_of("digits"), 24, "onnx")
    (kept,) = graph._graphs.values()
    assert kept is not None
    assert len(kept) < 0.3 * run_of("digits").layout.file_bytes({"hidden": 24})
