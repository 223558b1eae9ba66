"""Outputs of several cutoffs that were computed together, so that the loss takes them together. Imports torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch

from core.elastic.fast_mlp.manual_backward import HandOn


class Joined(NamedTuple):
    """Outputs of some cutoffs on the same rows of a batch, or on parts of them one after the other."""

    rows: slice
    cutoffs: Sequence[int]  # their numbers in the step
    output: torch.Tensor  # (rows * times, ..., outputs); with `hand_on` (rows, times, outputs)
    lengths: Sequence[int] = ()  # of several, each one's outputs: of every example where `side_by_side`, else of all
    side_by_side: bool = False  # an example's outputs follow each other, else a cutoff's
    own: bool = False  # whether they are of a band, which has weights of its own
    hand_on: HandOn | None = None  # takes the output's gradient, where no graph of autograd is behind it

    def target(self, y: torch.Tensor) -> torch.Tensor:
        """What each row of the output should be, of what each example of the batch should: (batch, ...)."""
        wanted = y[self.rows]
        rows = wanted.shape[0]
        times = self.output.shape[0] // rows if rows else 1
        if times == 1:
            return wanted
        if self.side_by_side:
            return wanted.repeat_interleave(times, 0)
        return wanted.repeat(times, *[1] * (wanted.dim() - 1))

    def parted(self) -> list[torch.Tensor]:
        """The output of each cutoff."""
        if len(self.cutoffs) == 1:
            return [self.output]
        if not self.side_by_side:
            return list(self.output.split(list(self.lengths)))
        by_example = self.output.unflatten(0, (-1, sum(self.lengths)))
        return [part.flatten(0, 1) for part in by_example.split(list(self.lengths), dim=1)]
