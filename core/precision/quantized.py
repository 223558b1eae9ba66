"""One width of a run at a precision: rounded on its training examples, and measured. Imports torch when called."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from core.errors import UserError
from core.models.rebuild import family_of
from core.precision.base import Stored
from core.precision.schemes.registry import scheme
from core.runs.run_data import data_of

if TYPE_CHECKING:
    from torch import nn

    from core.data.dataset import Dataset
    from core.elastic.family import Family
    from core.runs.run import Run

CALIBRATION_ROWS = 2000  # of the training part
ROWS = 1000  # examples of a forward pass in evaluation


@dataclass(frozen=True, kw_only=True)
class Quantized:
    """A small model whose weights were rounded.

    `module` computes with the rounded weights; `stored` has each tensor that a file stores by a scheme, `plain` the
    others, as they are.
    """

    bits: int
    module: nn.Module
    stored: dict[str, Stored]
    plain: dict[str, np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The task's first metric on one part of the data, with its 95 % interval."""

    value: float
    low: float
    high: float
    n: int


def quantized(
    run: Run,
    widths: Mapping[str, int],
    bits: int,
    *,
    family: Family | None = None,
    data: Dataset | tuple[Any, Any] | None = None,
) -> Quantized:
    """Round the weights of one size of a run, with examples of its training part.

    Parameters
    ----------
    run
        The run; `with_polished` at this width its polished model counts.
    widths
        Size of each named width.
    bits
        Bits of a weight: a key of `SCHEMES`.
    family, data
        As in `sweep`: needed only where they can't be rebuilt from the run.

    Raises
    ------
    UserError
        For other bits, data that can't be loaded or are not the run's, or a weight that can't be stored so.
    """
    import torch

    from core.elastic.subnet import load
    from core.precision.calibration import round_module

    kind = scheme(bits)
    family = family_of(copy.copy(run), family)  # a run that keeps its family is exported by torch, and slower
    dataset = dataset_of(run, data)
    with torch.random.fork_rng(devices=[]):  # building draws initial weights, which are then replaced
        if run.polished_width is not None and run.widths_at(run.polished_width) == dict(widths):
            module = family.build(**widths).eval()
            state = run.polished_weights(run.polished_width)
            module.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in state.items()})
        else:
            module = load(family, run.scale(widths), run.weights(), widths, run.statistics(widths))
    order = np.random.default_rng([run.record.training.get("seed", 0), 11]).permutation(dataset.train.n)
    rows = torch.from_numpy(dataset.train.x[np.sort(order[:CALIBRATION_ROWS])]).float()
    stored = round_module(module, rows, kind)
    plain = {name: np.array(value) for name, value in module.state_dict().items() if name not in stored}
    return Quantized(bits=bits, module=module, stored=stored, plain=plain)


def dataset_of(run: Run, data: Dataset | tuple[Any, Any] | None = None) -> Dataset:
    """Return the run's data, checked in all three parts, and keep them with the run.

    Raises UserError where they can't be loaded, or differ.
    """
    try:
        dataset = data_of(run, data)
    except UserError as error:
        raise UserError(
            f"weights are rounded and measured on the run's data ({error}); from Python, give them: "
            'export(run, 16, "onnx", bits=4, data=data)'
        ) from None
    if dataset.fingerprint != run.record.data.get("fingerprint"):
        raise UserError(f"the training part is not what run {run.id} was trained on; give the data it was trained on")
    run.dataset = dataset
    return dataset


def evaluate_precision(
    run: Run,
    width: int | Mapping[str, int],
    bits: int,
    *,
    family: Family | None = None,
    data: Dataset | tuple[Any, Any] | None = None,
) -> dict[str, Measured]:
    """Measure one width of a run at a precision, with the weights that an exported file holds.

    Parameters
    ----------
    run
        The run.
    width
        Width of the sweep, or the size of each named width.
    bits, family, data
        As in `quantized`.

    Returns
    -------
    By part of the data, `validation` and `test`, the task's first metric.
    """
    widths = run.layout.check_widths(width) if isinstance(width, Mapping) else run.widths_at(width)
    return measure(run, quantized(run, widths, bits, family=family, data=data).module, dataset_of(run, data))


def measure(run: Run, module: nn.Module, data: Dataset) -> dict[str, Measured]:
    """Measure a small model on validation and test examples."""
    import torch

    measured, task = {}, run.task
    for name in ("validation", "test"):
        part, outputs = data.part(name), []
        with torch.inference_mode():
            for first in range(0, part.n, ROWS):
                output = module(torch.from_numpy(np.array(part.x[first : first + ROWS])).float())
                outputs.append((output.argmax(-1) if task.classes else output).numpy())
        scores = task.score(np.concatenate(outputs), part.y)
        value, low, high = task.metric.measure(scores, task.variance(part.y))
        measured[name] = Measured(value=value, low=low, high=high, n=part.n)
    return measured
