"""Predictions and losses of every width on the same rows. Imports torch.

A fully-connected chain gives all widths in nearly one pass (`core.elastic.fast_mlp.all_widths`); any other model runs
once a width.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from core.elastic.batch_norm import set_mode
from core.elastic.discovery.chain import Chain, find_chain
from core.elastic.family import Family
from core.elastic.fast_mlp.all_widths import Incremental
from core.elastic.scale import Scale
from core.elastic.size_grid import path_widths
from core.elastic.subnet import call, folded_state, with_tensors

CHUNK_ROWS = 512  # inputs of a block stay in the cache for every width, and scores of all widths fit in memory
MOST_HELD = (
    256 * 2**20
)  # bytes of small models' weights kept for the next block; those of a wide family would fill the memory
NEAR_TIE = 1e-5  # relative gap of the two best scores under which the small model itself decides


@dataclass
class Scores:
    """Predictions and losses on the first `rows` rows of one part of the data, as plain arrays that can be saved."""

    predictions: np.ndarray  # (n, widths) class, or (n, outputs, widths) numbers
    loss: np.ndarray  # (widths,) sum over rows, float64
    rows: int = 0


@dataclass
class Evaluator:
    """All widths of one set of weights; `advance` yields after each block of rows, where a sweep can stop."""

    family: Family
    scale: Scale
    weights: Mapping[str, Any]  # arrays or tensors, made tensors at the start
    widths: Sequence[int]
    plain: bool = False
    classes: bool = True  # whether a prediction is a class; else it is a number for each output
    deviation: np.ndarray | None = None  # (outputs,) units in which the errors of numbers are counted
    statistics: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)  # by width, of normalisation over batches
    chain: Chain | None = field(init=False)

    def __post_init__(self) -> None:
        self.weights = {name: torch.as_tensor(value) for name, value in self.weights.items()}
        self.scale = with_tensors(self.scale)
        self.chain = None if self.plain else find_chain(self.family.new_sibling(), self.family.layout)
        if any(b <= a for a, b in zip(self.widths, self.widths[1:], strict=False)):
            raise ValueError("widths must ascend")
        self._states: dict[int, dict[str, torch.Tensor]] = {}
        self._held = 0
        self._passes = self._plan(self.chain) if self.chain else []

    def _plan(self, chain: Chain) -> list[Incremental]:
        """A pass for the widths of each band, and one for those that share the full weights."""
        layout, passes = self.family.layout, []
        sizes = [path_widths(layout, width) for width in self.widths]
        for band, group in itertools.groupby(sizes, self.scale.band):
            source = (band.layout, band.scale, band.weights) if band else (layout, self.scale, self.weights)
            passes.append(Incremental(chain, *source, list(group)))
        return passes

    def start(self, n: int, outputs: int) -> Scores:
        """Empty scores of `n` rows; `outputs` is the number of classes, or of numbers that are predicted."""
        dtype = np.uint8 if outputs <= 256 else np.int32
        shape = (n, len(self.widths)) if self.classes else (n, outputs, len(self.widths))
        return Scores(np.zeros(shape, dtype if self.classes else np.float32), np.zeros(len(self.widths)))

    def advance(self, scores: Scores, x: np.ndarray, y: np.ndarray) -> Iterator[Scores]:
        """Score the remaining rows in place. x: (n, ...) raw values, y: (n,) classes or (n, outputs) numbers."""
        with torch.inference_mode():
            while scores.rows < len(x):
                rows = slice(scores.rows, min(len(x), scores.rows + CHUNK_ROWS))
                inputs = torch.from_numpy(np.array(x[rows])).float()
                targets = torch.from_numpy(np.array(y[rows]))
                outputs = self._in_one_pass(self.chain, inputs) if self.chain else self._each(inputs)
                if self.classes:
                    loss, predictions = _judge(outputs, targets)
                    if self.chain:
                        self._decide_ties(outputs, predictions, inputs)
                    scores.predictions[rows] = predictions.numpy().T
                else:
                    loss = self._error(outputs, targets.T)
                    scores.predictions[rows] = outputs.permute(2, 1, 0).numpy()
                scores.loss += loss.double().sum(1).numpy()
                scores.rows = rows.stop
                yield scores

    def model(self, width: int) -> Callable[[torch.Tensor], torch.Tensor]:
        """The small model at `width` as a function: (batch, ...) to (batch, classes)."""
        widths = path_widths(self.family.layout, width)
        if width not in self._states:
            state = folded_state(self.family, self.scale, self.weights, widths, self.statistics.get(width))
            self._held += sum(value.nbytes for value in state.values())
            if self._held > MOST_HELD:
                self._states.clear()
                self._held = 0
            self._states[width] = state
        state, sibling = self._states[width], set_mode(self.family.sibling(**widths), False, by_batch=False)
        return lambda x: call(sibling, state, x)

    def _each(self, x: torch.Tensor) -> torch.Tensor:
        """Scores of every width by running every small model: (widths, classes, batch)."""
        return torch.stack([self.model(width)(x).T for width in self.widths])

    def _in_one_pass(self, chain: Chain, x: torch.Tensor) -> torch.Tensor:
        """Scores of every width from nearly one pass for each set of weights: (widths, classes, batch)."""
        entered = chain.enter(x, self.weights).T
        outputs = [run(entered) for run in self._passes]
        return torch.cat(outputs) if len(outputs) > 1 else outputs[0]

    def _error(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Mean squared error over the outputs: (widths, outputs, batch) and (outputs, batch) to (widths, batch)."""
        error = outputs - targets
        if self.deviation is not None:
            error /= torch.from_numpy(self.deviation)[:, None]
        return error.square_().mean(1)

    def _decide_ties(self, logits: torch.Tensor, predictions: torch.Tensor, x: torch.Tensor) -> None:
        """Let the small model decide where rounding could, so that both paths predict the same class."""
        best = logits.amax(1)
        runner_up = logits.scatter(1, predictions[:, None], -torch.inf).amax(1)
        close = runner_up >= best - NEAR_TIE * best.abs().clamp(min=1.0)  # (widths, batch)
        for index in torch.nonzero(close.any(1)).flatten().tolist():
            # on the whole block, since a matrix product's rounding depends on how many rows it has
            chosen = self.model(self.widths[index])(x).argmax(-1)
            predictions[index] = torch.where(close[index], chosen, predictions[index])


def _judge(logits: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Cross-entropy and class of every width and row: (widths, classes, batch) to two of (widths, batch).

    The batch lies innermost, where every operation runs along it; torch's own cross-entropy is several times slower
    on ten classes.
    """
    best, predictions = logits.amax(1), torch.zeros(logits.shape[0], logits.shape[2], dtype=torch.int64)
    for k in range(logits.shape[1] - 1, -1, -1):  # the first of equals wins, as in argmax
        predictions.masked_fill_(logits[:, k] == best, k)
    total = (logits - best[:, None]).exp_().sum(1).log_()
    picked = logits.gather(1, labels.expand(len(logits), 1, -1))[:, 0]
    return total + best - picked, predictions


def evaluate(
    family: Family, scale: Scale, weights: dict[str, Any], x: np.ndarray, y: np.ndarray, widths: Sequence[int],
    *, classes: int, plain: bool = False,
) -> Scores:  # fmt: skip
    """Classes and summed loss of every width on all rows at once; `plain` forces the loop over small models."""
    evaluator = Evaluator(family, scale, weights, widths, plain)
    scores = evaluator.start(len(x), classes)
    for _ in evaluator.advance(scores, x, y):
        pass
    return scores
