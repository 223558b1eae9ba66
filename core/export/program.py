"""A small model as a program: building it in memory, running it, and judging whether two programs agree.

Imports torch when called.
"""

from __future__ import annotations

import logging
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from core.errors import RunError, UserError
from core.export.base import Widths
from core.export.weights import small_state
from core.models.rebuild import family_of
from core.utils.formatting import printable
from core.utils.onnx_runtime import import_onnxruntime

if TYPE_CHECKING:
    from torch import nn

    from core.elastic.family import Family
    from core.runs.run import Run

TOLERANCE = 1e-4  # of the scores' own spread
ROUNDING = 1e-6  # of the largest score: float32 leaves that open

_exporting = threading.Lock()  # torch's exporter and its random state are global


def small_module(run: Run, widths: Widths, family: Family | None = None) -> nn.Module:
    """Return the plain small model in evaluation mode. Raises UserError for a run of an unknown factory."""
    import torch

    if family is None and run.family is None and run.record.family.get("name") is None:
        raise UserError(
            f"run {run.id} was trained from a factory of your own, which a program needs: from Python, "
            "export(run, width, format, family=Family(build, ...)); the format safetensors needs none"
        )
    with _exporting, torch.random.fork_rng(devices=[]):  # building draws initial weights, which are then replaced
        module = family_of(run, family).build(**widths)
    state = {name: torch.from_numpy(np.array(value)) for name, value in small_state(run, widths).items()}
    module.load_state_dict(state, strict=True)
    return module.eval()


def example_inputs(run: Run) -> np.ndarray:
    """Return the run's held-out examples as float32 raw values, (n, ...). Raises RunError for another shape."""
    x: np.ndarray = run.examples()["x"].astype(np.float32)
    if x.shape[1:] != tuple(run.record.input.shape) or not len(x):
        raise RunError(f"examples of run {run.id} have shape {x.shape}; its input needs (n, *{run.record.input.shape})")
    return x


def two_examples(run: Run) -> Any:
    """Return two of the run's examples as a tensor: tracing takes a batch of one for a constant."""
    import torch

    x = example_inputs(run)
    return torch.from_numpy(np.resize(x, (2, *x.shape[1:])))


def run_module(module: Any, x: np.ndarray) -> np.ndarray:
    """Return a torch module's scores, (n, outputs), of float32 examples (n, ...)."""
    import torch

    with torch.inference_mode():
        scores: np.ndarray = module(torch.from_numpy(x)).numpy()
    return scores


def run_onnx(data: bytes, x: np.ndarray) -> np.ndarray:
    """Return an ONNX file's scores, (n, outputs), of float32 examples (n, ...), through onnxruntime on the CPU."""
    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    scores: np.ndarray = session.run(None, {session.get_inputs()[0].name: x})[0]
    return scores


def agrees(scores: np.ndarray | None, reference: np.ndarray) -> bool:
    """Whether two sets of scores (n, outputs) are equal up to rounding, whatever their magnitude."""
    if scores is None or scores.shape != reference.shape or not np.isfinite(scores).all():
        return False
    return bool(np.abs(scores - reference).max() <= rounding_allowed(reference))


def rounding_allowed(scores: np.ndarray) -> float:
    """Return the largest difference from these scores that counts as rounding."""
    return TOLERANCE * float(np.ptp(scores)) + ROUNDING * float(np.abs(scores).max())


@contextmanager
def tracing(run: Run) -> Iterator[None]:
    """Run torch's exporters alone and without their warnings; raise UserError with their cause in one sentence."""
    logger = logging.getLogger("torch.onnx")
    with _exporting, warnings.catch_warnings():
        before = logger.level
        logger.setLevel(logging.ERROR)
        warnings.simplefilter("ignore")
        try:
            yield
        except (ImportError, MemoryError):  # these say nothing about the model
            raise
        except Exception as error:  # dynamo's, the exporter's and protobuf's own kinds
            raise UserError(
                f"torch can't make a program of the model of run {run.id} ({_cause(error)}); take its weights as "
                "safetensors"
            ) from error
        finally:
            logger.setLevel(before)


def _cause(error: BaseException) -> str:
    """Return the first paragraph of the error that all others were raised from, on one line and without colours.

    The exporter wraps each error in a banner of general advice, which would take up the whole sentence.
    """
    while error.__cause__ is not None:
        error = error.__cause__
    text = re.sub(r"\x1b\[[\d;]*[A-Za-z]", "", str(error)).strip()
    return printable(text.partition("\n\n")[0])[:200] or type(error).__name__
