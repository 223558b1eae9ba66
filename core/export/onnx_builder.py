"""ONNX files of registry models without torch: each model's own graph, filled with the weights of one size."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.errors import UserError
from core.export.base import Widths
from core.export.program import run_onnx
from core.export.verify import verify_program
from core.export.weights import on_the_sweep, small_state
from core.models.onnx_graph import Graph
from core.models.registry import MODELS

if TYPE_CHECKING:
    from core.runs.run import Run


def plain_onnx(run: Run, widths: Widths) -> bytes | None:
    """Return the small model as ONNX from its model's graph, not yet run; None for a model without a graph.

    None too where settings and weights don't belong together: settings come from anybody's run.json. Raises RunError
    for a damaged run.
    """
    model = MODELS.get(run.record.family.get("name") or "")
    if model is None or model.graph is None:
        return None
    graph = Graph(small_state(run, widths))
    shape = [None if axis in model.free_axes else size for axis, size in enumerate(run.record.input.shape)]
    try:
        output = model.graph(graph, run.record.family.get("settings", {}))
        return graph.finished(output, tuple(shape), len(run.record.labels))
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, ArithmeticError):
        return None


def measured_onnx(run: Run, widths: Widths) -> bytes | None:
    """Return that file where it gives every stored example the prediction stored for this width; None otherwise.

    Raises RunError where the run's weights are damaged.
    """
    data = plain_onnx(run, widths)
    if data is None:
        return None
    try:
        width = on_the_sweep(run, widths)
        return data if verify_program(run, width, "ONNX", lambda x: run_onnx(data, x)) else None
    except (UserError, ImportError):
        return None
    except Exception:  # onnxruntime's own kinds, for a graph that is no program; torch's exporter then decides
        return None
