"""Scores of all widths of a fully-connected chain in nearly one pass. Imports torch.

The first layer is computed once; from width to width the second layer's product only adds the new features' share.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from core.elastic.discovery.chain import Chain, Link
from core.elastic.layout import Layout
from core.elastic.scale import Scale


@dataclass(frozen=True)
class _Step:
    """One width of the incremental sweep: the second layer's new columns and rows, and what follows."""

    columns: int
    rows: int
    new_columns: torch.Tensor
    new_rows: torch.Tensor
    bias: torch.Tensor
    factor: float
    rest: list[tuple[torch.Tensor, torch.Tensor, float]]  # weight, bias, factor of each later layer


class Incremental:
    """Scores of some widths of one set of weights, ascending, each given as all named widths."""

    def __init__(
        self,
        chain: Chain,
        layout: Layout,
        scale: Scale,
        weights: Mapping[str, torch.Tensor],
        widths: Sequence[Mapping[str, int]],
    ) -> None:
        self._chain, self._layout, self._scale, self._weights = chain, layout, scale, weights
        self._links = [_in_place(link) for link in chain.links]
        self._classes = len(weights[chain.links[-1].weight])
        self._plan = self._make_plan(widths)

    def __call__(self, entered: torch.Tensor) -> torch.Tensor:
        """Scores of every width, (features, batch) to (widths, classes, batch).

        Features come first, so that a narrower layer is a leading run of memory.
        """
        first_link, second_link, *rest = self._links
        bias = self._weights[first_link.bias][:, None] if first_link.bias else torch.zeros(1)
        first = first_link.activate(torch.addmm(bias, self._weights[first_link.weight], entered))  # (hidden, batch)
        # unscaled and without bias; it holds `inside` features of the first layer and `outside` rows so far
        second = torch.empty(len(self._weights[second_link.weight]), entered.shape[1])  # (hidden2, batch)
        scratch = torch.empty_like(second)
        inside = outside = 0
        outputs = torch.empty(len(self._plan), self._classes, entered.shape[1])
        for output, step in zip(outputs, self._plan, strict=True):
            if step.columns > inside and outside:
                _grow(second[:outside], step.new_columns, first[inside : step.columns])
            if step.rows > outside:
                torch.mm(step.new_rows, first[: step.columns], out=second[outside : step.rows])
            inside, outside = step.columns, step.rows
            h = torch.add(step.bias, second[:outside], alpha=step.factor, out=scratch[:outside] if rest else output)
            h = second_link.activate(h)
            for link, (weight, bias, factor) in zip(rest[:-1], step.rest[:-1], strict=True):
                h = link.activate(torch.addmm(bias, weight, h, alpha=factor))
            if rest:
                torch.mm(step.rest[-1][0], h, out=output)
            else:
                output.copy_(h)  # the same memory, where the activation wrote over it
        if rest:  # scale and bias of the last layer, for all widths in one go
            outputs.mul_(torch.tensor([step.rest[-1][2] for step in self._plan])[:, None, None])
            biases = torch.stack([step.rest[-1][1].expand(self._classes, 1) for step in self._plan])
            outputs = rest[-1].activate(outputs.add_(biases))
        return outputs  # (widths, classes, batch)

    def _make_plan(self, sizes: Sequence[Mapping[str, int]]) -> list[_Step]:
        """Views of the weights that each width adds to the one before."""
        _, second, *rest = self._chain.links
        layout, zero = self._layout, torch.zeros(1, 1)

        def bias_of(name: str | None, rows: int) -> torch.Tensor:
            return zero if name is None else self._weights[name][:rows, None]

        plan = []
        inside = outside = 0
        for widths in sizes:
            factors = self._scale.factors(layout, widths)
            rows, columns = layout.tensors[second.weight].shape_at(widths)
            weight = self._weights[second.weight]
            later = []
            for link in rest:
                n, k = layout.tensors[link.weight].shape_at(widths)
                part = self._weights[link.weight][:n, :k]
                later.append((part, bias_of(link.bias, n), factors.get(link.weight, 1.0)))
            plan.append(
                _Step(
                    columns=columns,
                    rows=rows,
                    new_columns=weight[:outside, inside:columns],
                    new_rows=weight[outside:rows, :columns],
                    bias=bias_of(second.bias, rows),
                    factor=factors.get(second.weight, 1.0),
                    rest=later,
                )
            )
            inside, outside = columns, rows
        return plan


def _grow(total: torch.Tensor, weight: torch.Tensor, features: torch.Tensor) -> None:
    """Add the new features' share: (rows, batch) += (rows, k) @ (k, batch)."""
    if weight.shape[1] == 1:
        total.addr_(weight[:, 0], features[0])
    else:
        total.addmm_(weight, features)


def _in_place(link: Link) -> Link:
    """The link with activations that write over their input, which is always this file's own scratch."""

    def convert(op: Any) -> Any:
        if hasattr(op, "inplace"):
            op = copy.copy(op)
            op.inplace = True
        return op

    return replace(link, after=tuple(map(convert, link.after)))
