"""A small model as a program of its own: ONNX and .pt2, each run against the model in memory before it is handed over.

Imports torch when called.
"""

from __future__ import annotations

import io
import logging
import threading
import warnings
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from core.errors import RunError, UserError
from core.export.formats import small_state
from core.runs.run import Run

if TYPE_CHECKING:
    import onnx
    from torch import nn

    from core.elastic.family import Family

TOLERANCE = 1e-4  # of the scores' own spread
ROUNDING = 1e-6  # of the largest score: what float32 leaves open
TRACES = ("stack_trace", "nn_module_stack", "source_fn_stack", "from_node", "torch_fn")  # where the source lay
GRAPHS_KEPT = 16  # graphs without weights, a few kB each: cutting one takes milliseconds, exporting it a second
INPUT, OUTPUT = "input", "scores"

_graphs: OrderedDict[str, bytes | None] = OrderedDict()  # None: the graph can't be cut
_graphs_lock = threading.Lock()
_exporting = threading.Lock()  # torch's exporter and its random state are global


def onnx_bytes(run: Run, widths: Mapping[str, int], family: Family | None = None) -> bytes:
    """The small model as ONNX, batch size free. Raises RunError where onnxruntime does not agree with torch.

    One full-width graph is exported a run and its weights are cut for each width; where that does not give the same
    scores, as with a model that has its width written into its graph, the small model is exported itself. A run that
    was only read needs no torch where its model is written down in `core.export.onnx_builder` and the width was measured.
    """
    from core.export.onnx_builder import measured_onnx

    if family is None and run.family is None and (plain := measured_onnx(run, widths)) is not None:
        return plain
    module, x = small_module(run, widths, family), example_inputs(run)
    wanted = _run_module(module, x)
    cut = _cut_graph(run, widths, family)
    if cut is not None and _agrees(_try_onnx(cut, x), wanted):
        return cut
    data: bytes = _export_graph(module, run).SerializeToString()
    if not _agrees(_try_onnx(data, x), wanted):
        raise RunError(
            f"the ONNX file of run {run.id} at {dict(widths)} does not give the model's own scores; a forward that "
            "uses len(x) is fixed to one batch size there, x.shape[0] is not"
        )
    return data


def pt2_bytes(run: Run, widths: Mapping[str, int], family: Family | None = None) -> bytes:
    """The small model as an exported PyTorch program, batch size free. Raises RunError where it does not agree."""
    import torch

    module, x = small_module(run, widths, family), example_inputs(run)
    with _exporting, _quiet(), _refusals_told(run):
        program = torch.export.export(module, (_two(x),), dynamic_shapes=({0: torch.export.Dim("batch")},))
        for part in program.graph_module.modules():  # a branch or loop is a graph of its own
            for node in part.graph.nodes if isinstance(part, torch.fx.GraphModule) else ():
                for key in TRACES:
                    node.meta.pop(key, None)
        program.example_inputs = None  # would be pickled, and holds somebody's examples
        file = io.BytesIO()
        torch.export.save(program, file)
        data = file.getvalue()
        loaded = torch.export.load(io.BytesIO(data)).module()
    if not _agrees(_run_module(loaded, x), _run_module(module, x)):
        raise RunError(f"the .pt2 file of run {run.id} at {dict(widths)} does not give the model's own scores")
    return data


def small_module(run: Run, widths: Mapping[str, int], family: Family | None = None) -> nn.Module:
    """The plain small model in memory, ready to run. Raises UserError where its factory is not known."""
    import torch

    from core.sweep.sweep import family_of

    if family is None and run.family is None and run.record.family.get("name") is None:
        raise UserError(
            f"run {run.id} was trained from a factory of your own, which a program needs: from Python, "
            "export(run, width, format, family=Family(build, ...)); the format safetensors needs none"
        )
    with _exporting, torch.random.fork_rng(devices=[]):  # first weights are drawn, and then not used
        module = family_of(run, family).build(**widths)
    state = {name: torch.from_numpy(np.array(value)) for name, value in small_state(run, widths).items()}
    module.load_state_dict(state, strict=True)
    return module.eval()


def example_inputs(run: Run) -> np.ndarray:
    """The run's held-out examples as the model takes them: float32, raw values. Shape (n, ...)."""
    x: np.ndarray = run.examples()["x"].astype(np.float32)
    if x.shape[1:] != tuple(run.record.input.shape) or not len(x):
        raise RunError(f"examples of run {run.id} have shape {x.shape}; its input wants (n, *{run.record.input.shape})")
    return x


def run_onnx(data: bytes, x: np.ndarray) -> np.ndarray:
    """Scores of an ONNX file through onnxruntime on the CPU. x: (n, ...) float32; result (n, classes)."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    result: np.ndarray = session.run(None, {session.get_inputs()[0].name: x})[0]
    return result


def _cut_graph(run: Run, widths: Mapping[str, int], family: Family | None) -> bytes | None:
    """The full-width graph with the small model's weights; None where they are not all found in it."""
    import onnx

    key = run.record.weights_sha256
    with _graphs_lock:
        if key not in _graphs:
            _graphs[key] = _empty_graph(run, family)
            while len(_graphs) > GRAPHS_KEPT:
                _graphs.popitem(last=False)
        _graphs.move_to_end(key)
        graph = _graphs[key]
    if graph is None:
        return None
    model = onnx.load_model_from_string(graph)
    found = {weight.name: weight for weight in model.graph.initializer}
    for name, value in small_state(run, widths).items():
        if name not in found:
            return None
        found[name].CopyFrom(onnx.numpy_helper.from_array(value, name))
    data: bytes = model.SerializeToString()
    return data


def _empty_graph(run: Run, family: Family | None) -> bytes | None:
    """The full-width graph without the run's weights; None where it does not hold each of them under its name."""
    try:
        model = _export_graph(small_module(run, run.layout.full, family), run)
    except UserError:  # too large for an ONNX file, perhaps; the small model may still fit
        return None
    found = {weight.name: weight for weight in model.graph.initializer}
    for name, tensor in run.layout.tensors.items():
        if name not in found or tuple(found[name].dims) != tensor.shape:
            return None
        found[name].Clear()
        found[name].name = name
    del model.graph.value_info[:]  # shapes between the layers are the full model's
    data: bytes = model.SerializeToString()
    return data


def _export_graph(module: nn.Module, run: Run) -> onnx.ModelProto:
    """An ONNX graph of the module without the exporter's notes on this machine's source files."""
    import torch

    inputs = (_two(example_inputs(run)),)
    with _exporting, _quiet(), _refusals_told(run):
        program = torch.onnx.export(
            module,
            inputs,
            dynamo=True,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            verbose=False,
        )
    if program is None:
        raise UserError("this version of torch gave no ONNX program; install the versions of requirements.txt")
    model: onnx.ModelProto = program.model_proto
    _forget_origin(model)
    return model


def _forget_origin(part: Any) -> None:
    """Clear every note on where a message was made, in the graphs inside it too."""
    for field, value in part.ListFields():
        if field.name in ("metadata_props", "doc_string"):
            part.ClearField(field.name)
        elif field.message_type is not None:
            for message in [value] if hasattr(value, "ListFields") else value:
                _forget_origin(message)


def _two(x: np.ndarray) -> Any:
    """Two examples as a tensor: tracing takes a batch of one for a constant."""
    import torch

    return torch.from_numpy(np.resize(x, (2, *x.shape[1:])))


def _run_module(module: Any, x: np.ndarray) -> np.ndarray:
    import torch

    with torch.inference_mode():
        result: np.ndarray = module(torch.from_numpy(x)).numpy()
    return result


def _try_onnx(data: bytes, x: np.ndarray) -> np.ndarray | None:
    try:
        return run_onnx(data, x)
    except ImportError:  # says nothing about the file
        raise
    except Exception:  # a graph that can't be cut fails in ways of onnxruntime's own; the caller exports anew
        return None


def _agrees(scores: np.ndarray | None, wanted: np.ndarray) -> bool:
    """Whether two sets of scores (n, classes) are the same up to rounding, however large or small they are."""
    if scores is None or scores.shape != wanted.shape or not np.isfinite(scores).all():
        return False
    allowed = TOLERANCE * float(np.ptp(wanted)) + ROUNDING * float(np.abs(wanted).max())
    return bool(np.abs(scores - wanted).max() <= allowed)


@contextmanager
def _refusals_told(run: Run) -> Iterator[None]:
    """What torch's exporter can't do is one sentence; its own text is pages long."""
    try:
        yield
    except (ImportError, MemoryError):  # say nothing about the model
        raise
    except Exception as error:  # dynamo's, the exporter's and protobuf's own kinds
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise UserError(
            f"torch can't make a program of the model of run {run.id} ({reason}); take its weights as safetensors"
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter warns about packages that are not wanted here; errors still come through."""
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)
