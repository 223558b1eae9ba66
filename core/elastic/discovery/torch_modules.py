"""What is known of PyTorch's own modules: which of their tensors hold several parts, each with every feature once."""

from __future__ import annotations

import glob
from collections.abc import Iterator
from typing import TYPE_CHECKING

from core.elastic.discovery.axis_rules import Declaration

if TYPE_CHECKING:
    from torch import nn

GATES = {"LSTM": 4, "LSTMCell": 4, "GRU": 3, "GRUCell": 3}  # rows of weight_ih and weight_hh (documentation of each)


def known(module: nn.Module) -> tuple[Declaration, ...]:
    """Declarations for every recurrent and attention module inside `module`.

    An LSTM's weights hold four gates, a GRU's three; `nn.MultiheadAttention` fuses q, k and v; a layer above a
    bidirectional one reads both directions.
    """
    return tuple(_declarations(module))


def _declarations(module: nn.Module) -> Iterator[Declaration]:
    from torch import nn

    for name, part in module.named_modules(remove_duplicate=False):
        place = glob.escape(f"{name}." if name else "")
        if isinstance(part, nn.MultiheadAttention):
            yield Declaration(f"{place}in_proj_*", blocks=3, dim=0)
        if isinstance(part, nn.RNNBase) and part.bidirectional:
            for layer in range(1, part.num_layers):
                yield Declaration(f"{place}weight_ih_l{layer}*", blocks=2, dim=1)
        gates = next((count for kind, count in GATES.items() if isinstance(part, getattr(nn, kind))), 1)
        if gates > 1:
            for tensor in ("weight_ih*", "weight_hh*", "bias_ih*", "bias_hh*"):
                yield Declaration(f"{place}{tensor}", blocks=gates, dim=0)
