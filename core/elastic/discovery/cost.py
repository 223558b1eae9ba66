"""Multiply-accumulates of a model at given widths. Imports torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from core.elastic.discovery.factory import Factory, first_line, map_tensors
from core.errors import UserError


def count_macs(factory: Factory, widths: Mapping[str, int], inputs: tuple[Any, ...]) -> int:
    """Count the multiply-accumulates of one forward pass at `widths`.

    Matrix products, convolutions and attention count, elementwise work does not
    (`torch.utils.flop_counter` counts two operations for each). The pass runs on the meta device, without weights;
    a model whose control flow depends on its numbers runs for real.

    Parameters
    ----------
    factory
        Builds the model.
    widths
        Size of every width.
    inputs
        Positional arguments of the forward; left unchanged.

    Raises
    ------
    UserError
        Where the factory fails, or the model can't run on `inputs`.
    """
    try:
        return _count(factory.shapes(widths), inputs, "meta")
    except UserError:
        raise
    except Exception:  # control flow on data, or an operator without a meta kernel
        model = factory.real(widths)
    try:
        return _count(model, inputs, "cpu")
    except Exception as error:
        raise UserError(
            f"the model can't run on the example input ({first_line(error)}); give one that fits"
        ) from error


def _count(model: nn.Module, inputs: tuple[Any, ...], device: str) -> int:
    inputs = map_tensors(inputs, lambda x: x.detach().to(device, copy=True))
    with torch.random.fork_rng(devices=[]), torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.eval()(*inputs)
    return int(counter.get_total_flops()) // 2
