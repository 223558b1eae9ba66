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
from core.export import small_state
from core.runs import Run

if TYPE_CHECKING:
    import onnx
    from torch import nn

    from core.family import Family

TOLERANCE = 1e-4  # of the scores' own spread
FULL_GRAPHS_KEPT = 4  # one full-width ONNX graph a run: cutting it takes milliseconds, exporting it a second
INPUT, OUTPUT = "input", "scores"

_graphs: OrderedDict[str, bytes] = OrderedDict()
_exporting = threading.Lock()  # torch's exporter keeps global state


def onnx_bytes(run: Run, widths: Mapping[str, int], family: Family | None = None) -> bytes:
    """The small model as ONNX, batch size free. Raises RunError where onnxruntime does not agree with torch.

    One full-width graph is exported a run and its weights are cut for each width; where that does not give the same
    scores, as with a model that has its width written into its graph, the small model is exported itself.
    """
    module, x = small_module(run, widths, family), example_inputs(run)
    wanted = _run_module(module, x)
    cut = _cut_graph(run, widths, family)
    if cut is not None and _agrees(_try_onnx(cut, x), wanted):
        return cut
    data: bytes = _export_graph(module, run).SerializeToString()
    if not _agrees(run_onnx(data, x), wanted):
        raise RunError(f"the ONNX file of run {run.id} at {dict(widths)} does not give the model's own scores")
    return data


def pt2_bytes(run: Run, widths: Mapping[str, int], family: Family | None = None) -> bytes:
    """The small model as an exported PyTorch program, batch size free. Raises RunError where it does not agree."""
    import torch

    module, x = small_module(run, widths, family), example_inputs(run)
    with _exporting, _quiet():
        program = torch.export.export(module, (_two(x),), dynamic_shapes=({0: torch.export.Dim("batch")},))
        for node in program.graph.nodes:  # traces of where the source lay on this machine are nobody's business
            for key in ("stack_trace", "nn_module_stack", "source_fn_stack", "from_node"):
                node.meta.pop(key, None)
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

    from core.sweep import family_of

    module = family_of(run, family).build(**widths)
    state = {name: torch.from_numpy(np.array(value)) for name, value in small_state(run, widths).items()}
    module.load_state_dict(state, strict=True)
    return module.eval()


def example_inputs(run: Run) -> np.ndarray:
    """The run's held-out examples as the model takes them: float32, raw values. Shape (n, ...)."""
    x: np.ndarray = run.examples()["x"].astype(np.float32)
    if x.shape[1:] != tuple(run.record.input.shape) or not len(x):
        raise RunError(f"examples have shape {x.shape}, the run's input wants (n, {run.record.input.shape})")
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
    """The full-width graph with its weights replaced by the small ones; None where they are not all found in it."""
    import onnx

    key = run.record.weights_sha256
    if key not in _graphs:
        _graphs[key] = _export_graph(small_module(run, run.layout.full, family), run).SerializeToString()
        while len(_graphs) > FULL_GRAPHS_KEPT:
            _graphs.popitem(last=False)
    _graphs.move_to_end(key)
    model = onnx.load_model_from_string(_graphs[key])
    state = small_state(run, widths)
    found = {weight.name: weight for weight in model.graph.initializer}
    for name, value in state.items():
        if name not in found or tuple(found[name].dims) != run.layout.tensors[name].shape:
            return None
        found[name].CopyFrom(onnx.numpy_helper.from_array(np.ascontiguousarray(value), name))
    del model.graph.value_info[:]  # shapes between the layers are the full model's
    data: bytes = model.SerializeToString()
    return data


def _export_graph(module: nn.Module, run: Run) -> onnx.ModelProto:
    """An ONNX graph of the module without the exporter's notes on this machine's source files."""
    import torch

    with _exporting, _quiet():
        program = torch.onnx.export(
            module,
            (_two(example_inputs(run)),),
            dynamo=True,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            verbose=False,
        )
    if program is None:
        raise UserError("this version of torch gave no ONNX program; install the versions of requirements.txt")
    model: onnx.ModelProto = program.model_proto
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.initializer, *graph.input, *graph.output, *graph.value_info):
        del part.metadata_props[:]
        if hasattr(part, "doc_string"):
            part.doc_string = ""
    return model


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
    except Exception:  # a graph that can't be cut fails in ways of onnxruntime's own; the caller exports anew
        return None


def _agrees(scores: np.ndarray | None, wanted: np.ndarray) -> bool:
    """Whether two sets of scores are the same up to rounding."""
    if scores is None or scores.shape != wanted.shape or not np.isfinite(scores).all():
        return False
    return bool(np.abs(scores - wanted).max() <= TOLERANCE * max(1.0, float(np.abs(wanted).max())))


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
