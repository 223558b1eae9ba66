"""Recurrent states, states side by side and shared weights."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from core import Family, LayoutError
from tests.helpers.architectures import examples, prove

SEQUENCES, VECTORS = examples(5, 4), examples(6)


class Recurrent(nn.Module):
    def __init__(self, kind: type[nn.RNNBase], hidden: int, **settings) -> None:
        super().__init__()
        self.cell = kind(4, hidden, batch_first=True, **settings)
        self.out = nn.Linear(hidden * (2 if self.cell.bidirectional else 1), 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.cell(x)[0].mean(1))


@pytest.mark.slow
def test_lstm(tmp_path):
    prove(tmp_path, Family(lambda hidden: Recurrent(nn.LSTM, hidden), hidden=6), SEQUENCES, open_axes=True)


@pytest.mark.slow
def test_gru(tmp_path):
    prove(tmp_path, Family(lambda hidden: Recurrent(nn.GRU, hidden), hidden=6), SEQUENCES, open_axes=True)


@pytest.mark.slow
def test_bidirectional_lstm_of_two_layers(tmp_path):
    """The second layer and the output read two directions side by side."""
    family = Family(lambda hidden: Recurrent(nn.LSTM, hidden, num_layers=2, bidirectional=True), hidden=4)
    prove(tmp_path, family, SEQUENCES, open_axes=True)


class Concat(nn.Module):
    """Branches `a` and `b` and the raw input `x` side by side in any order, each as often as it is named."""

    def __init__(self, order: str, a: int, b: int) -> None:
        super().__init__()
        self.order, self.a, self.b = order, nn.Linear(6, a), nn.Linear(6, b)
        self.out = nn.Linear(sum({"a": a, "b": b, "x": 6}[part] for part in order), 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        parts = {"a": F.relu(self.a(x)), "b": F.relu(self.b(x)), "x": x}
        return self.out(torch.cat([parts[part] for part in self.order], 1))


ORDERS = ["".join(order) for parts in ("ab", "abx") for order in itertools.permutations(parts)]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("sizes", [(5, 5), (4, 7)], ids=["equal", "unequal"])
def test_any_order_of_a_concat_is_found_and_a_wrong_one_refused(order, sizes):
    x = torch.from_numpy(VECTORS[0][:5])

    def family() -> Family:
        return Family(lambda a, b: Concat(order, a, b), a=sizes[0], b=sizes[1])

    assert family().check(x) < 1e-5
    for other in itertools.permutations(order):
        declared = family().declare("out.*", order=tuple(None if part == "x" else part for part in other))
        if "".join(other) == order:
            assert declared.check(x) < 1e-5
        else:
            with pytest.raises(LayoutError, match="declare it"):
                declared.check(x)


def test_concat_of_unequal_widths_with_the_raw_input(tmp_path):
    family = Family(lambda a, b: Concat("bxa", a, b), a=4, b=7)
    prove(tmp_path, family, VECTORS, masked={"a": (1, "a"), "b": (1, "b")}, open_axes=True)


@pytest.mark.slow
def test_concat_of_one_width_around_the_raw_input(tmp_path):
    """Two branches of one width with a constant part between them."""
    family = Family(lambda hidden: Concat("axb", hidden, hidden), hidden=6)
    prove(tmp_path, family, VECTORS, masked={"a": (1, "hidden"), "b": (1, "hidden")}, open_axes=True)


class Dense(nn.Module):
    """Every layer reads all before it, the raw input first, as in DenseNet."""

    def __init__(self, growth: int, depth: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(6 + k * growth, growth) for k in range(depth))
        self.out = nn.Linear(6 + depth * growth, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = torch.cat([x, F.relu(layer(x))], 1)
        return self.out(x)


def test_dense_connections(tmp_path):
    places = {"layers.0": (1, "growth"), "layers.1": (1, "growth")}
    prove(tmp_path, Family(lambda growth: Dense(growth, 2), growth=6), VECTORS, masked=places, open_axes=True)


@pytest.mark.parametrize("depth", [3, 6])
def test_deep_dense_connections_are_read_by_one_rule(depth):
    family = Family(lambda growth: Dense(growth, depth), growth=4)
    assert family.check(torch.from_numpy(VECTORS[0][:5])) < 1e-5


class Shared(nn.Module):
    """One layer used twice, under two names."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.stem, self.mix, self.out = nn.Linear(6, hidden), nn.Linear(hidden, hidden), nn.Linear(hidden, 3)
        self.again = self.mix

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(F.relu(self.again(F.relu(self.mix(F.relu(self.stem(x)))))))


@pytest.mark.slow
def test_weight_sharing(tmp_path):
    family = Family(Shared, hidden=8)
    run = prove(tmp_path, family, VECTORS, masked={"stem": (1, "hidden"), "mix": (1, "hidden")})
    weights = run.weights()
    assert (weights["mix.weight"] == weights["again.weight"]).all()
    assert family.params(hidden=2) == 6 * 2 + 2 + 2 * 2 + 2 + 2 * 3 + 3
