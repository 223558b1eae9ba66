"""One pass over all widths gives what running every small model gives."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from core import Family, Width
from core.elastic.scale import Scale
from core.elastic.size_grid import path_range, path_widths
from core.sweep.evaluator import CHUNK_ROWS, Evaluator, evaluate
from tests.helpers.properties import tries

ACTIVATIONS = {
    "relu": lambda: [nn.ReLU()],
    "relu in place": lambda: [nn.ReLU(inplace=True)],
    "leaky in place": lambda: [nn.LeakyReLU(0.3, inplace=True)],
    "gelu": lambda: [nn.GELU(approximate="tanh")],
    "tanh": lambda: [nn.Tanh()],
    "none": list,
    "two": lambda: [nn.ELU(inplace=True), nn.Hardtanh(-0.5, 0.5, inplace=True)],
}


@st.composite
def chains(draw):
    """A fully-connected family: one width for all layers or one for each, with its full sizes and lower bounds."""
    depth = draw(st.integers(1, 4))
    shared = draw(st.booleans())
    sizes = [draw(st.integers(2, 12)) for _ in range(1 if shared else depth)]
    widths = {f"h{k}": Width(size, draw(st.integers(1, size))) for k, size in enumerate(sizes)}
    bias, activation = draw(st.booleans()), draw(st.sampled_from(sorted(ACTIVATIONS)))
    inputs, outputs, last = draw(st.integers(1, 5)), draw(st.integers(1, 5)), draw(st.booleans())

    def build(**given: int) -> nn.Module:
        sizes = list(given.values()) * (depth if shared else 1)
        layers: list[nn.Module] = [nn.Flatten()]
        before = inputs
        for size in sizes:
            layers += [nn.Linear(before, size, bias=bias), *ACTIVATIONS[activation]()]
            before = size
        layers += [nn.Linear(before, outputs, bias=bias), *([nn.Tanh()] if last else [])]
        return nn.Sequential(*layers)

    return Family(build, **widths), inputs, outputs


def random_weights(family: Family, seed: int, kind: str) -> dict[str, np.ndarray]:
    """Weights of a trained model's size; `ties` makes classes that are all but alike, `equal` that are alike."""
    rng = np.random.default_rng(seed)
    state = {}
    for name, tensor in family.layout.tensors.items():
        fan_in = tensor.shape[1] if len(tensor.shape) > 1 else 1
        state[name] = (rng.normal(0, 1, tensor.shape) / np.sqrt(fan_in)).astype(np.float32)
    last = [name for name, tensor in family.layout.tensors.items() if tensor.axes[0] is None]
    for name in last:
        if kind == "ties":
            state[name][:] = state[name][:1] * (1 + 2e-7 * rng.integers(-1, 2, state[name].shape)).astype(np.float32)
        elif kind == "equal":
            state[name][:] = state[name][:1]
    return state


@tries(60)
@given(
    chain=chains(), seed=st.integers(0, 10**6), alpha=st.sampled_from([0.0, 0.25, 1.0]),
    kind=st.sampled_from(["plain", "ties", "equal"]), data=st.data(),
)  # fmt: skip
def test_random_chains(chain, seed, alpha, kind, data):
    family, inputs, outputs = chain
    low, high = path_range(family.layout)
    widths = sorted(data.draw(st.sets(st.integers(low, high), min_size=1), label="widths"))
    weights = random_weights(family, seed, kind)
    rng = np.random.default_rng(seed)
    x, y = rng.normal(0, 1, (40, inputs)).astype(np.float32), rng.integers(0, outputs, 40)
    scale = Scale(alpha, tuple(n for n, t in family.layout.tensors.items() if len(t.axes) == 2 and t.axes[1]))
    before = {name: value.copy() for name, value in weights.items()}, x.copy()
    fast = Evaluator(family, scale, weights, widths)
    assert fast.chain is not None
    quick = evaluate(family, scale, weights, x, y, widths, classes=outputs)
    slow = evaluate(family, scale, weights, x, y, widths, classes=outputs, plain=True)
    assert np.array_equal(quick.predictions, slow.predictions)
    assert np.allclose(quick.loss, slow.loss, rtol=1e-4, atol=1e-4)
    assert all(np.array_equal(weights[name], before[0][name]) for name in weights)
    assert np.array_equal(x, before[1])
    for column, width in enumerate(widths):  # and the plain loop is what the user's own small model says
        sizes = path_widths(family.layout, width)
        small = family.build(**sizes).eval()
        tensors = {name: torch.from_numpy(value) for name, value in weights.items()}
        small.load_state_dict(scale.fold(family.slice(tensors, **sizes), family.layout, sizes))
        with torch.no_grad():
            wanted = small(torch.from_numpy(x)).argmax(-1).numpy()
        assert np.array_equal(slow.predictions[:, column], wanted)


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("activation", [nn.Tanh(), nn.ReLU(), nn.ReLU(inplace=True), nn.Softplus()])
def test_an_activation_behind_the_last_layer(layers, activation):
    def build(hidden: int) -> nn.Module:
        middle = [layer for _ in range(layers - 1) for layer in (nn.Linear(hidden, hidden), nn.ReLU())]
        return nn.Sequential(nn.Linear(3, hidden), nn.ReLU(), *middle, nn.Linear(hidden, 4), activation)

    family = Family(build, hidden=6)
    weights = random_weights(family, 5, "plain")
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(30, 3)).astype(np.float32), rng.integers(0, 4, 30)
    quick, slow = (evaluate(family, Scale(), weights, x, y, [1, 4, 6], classes=4, plain=p) for p in (False, True))
    assert np.array_equal(quick.predictions, slow.predictions)
    assert np.allclose(quick.loss, slow.loss, rtol=1e-5)


@pytest.mark.parametrize("rows", [1, CHUNK_ROWS - 1, CHUNK_ROWS, CHUNK_ROWS + 1, 2 * CHUNK_ROWS + 1])
def test_blocks_do_not_show(rows):
    """However many rows there are, and wherever the sweep was stopped between two blocks."""
    family = Family(lambda h: nn.Sequential(nn.Linear(3, h), nn.ReLU(), nn.Linear(h, 4)), h=9)
    weights = random_weights(family, 1, "plain")
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(rows, 3)).astype(np.float32), rng.integers(0, 4, rows)
    once = evaluate(family, Scale(), weights, x, y, range(1, 10), classes=4)
    evaluator = Evaluator(family, Scale(), weights, range(1, 10))
    scores = evaluator.start(rows, 4)
    blocks = 0
    while scores.rows < rows:
        next(evaluator.advance(scores, x, y))  # a new generator each time, as after a restart
        blocks += 1
    assert blocks == -(-rows // CHUNK_ROWS)
    assert np.array_equal(scores.predictions, once.predictions)
    assert np.array_equal(scores.loss, once.loss)


class Residual(nn.Module):
    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.first, self.middle, self.last = nn.Linear(3, hidden), nn.Linear(hidden, hidden), nn.Linear(hidden, 4)
        self.norm = nn.LayerNorm(hidden)

    def forward(self, x):
        h = self.first(x).relu()
        return self.last(self.norm(h + self.middle(h)))


class TwoBranches(nn.Module):
    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.left, self.right, self.last = nn.Linear(3, hidden), nn.Linear(3, hidden), nn.Linear(hidden, 4)

    def forward(self, x):
        return self.last(self.left(x).tanh() * self.right(x).sigmoid())


@pytest.mark.parametrize("kind", [Residual, TwoBranches])
def test_other_architectures_go_the_plain_way(kind):
    family = Family(kind, hidden=7)
    weights = random_weights(family, 2, "plain")
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(30, 3)).astype(np.float32), rng.integers(0, 4, 30)
    assert Evaluator(family, Scale(), weights, [2, 5]).chain is None
    found = evaluate(family, Scale(), weights, x, y, [2, 5], classes=4)
    for column, width in enumerate((2, 5)):
        small = kind(width).eval()
        small.load_state_dict({k: torch.from_numpy(v) for k, v in family.slice(weights, hidden=width).items()})
        with torch.no_grad():
            scores = small(torch.from_numpy(x))
        assert np.array_equal(found.predictions[:, column], scores.argmax(-1).numpy())
        loss = nn.functional.cross_entropy(scores, torch.from_numpy(y), reduction="sum")
        assert found.loss[column] == pytest.approx(float(loss), rel=1e-4)


@pytest.mark.parametrize("plain", [True, False])
def test_a_model_that_writes_over_its_input(plain):
    """Every width must see the examples as they are, and the examples must stay so."""

    def build(hidden: int) -> nn.Module:
        return nn.Sequential(nn.LeakyReLU(0.5, inplace=True), nn.Linear(3, hidden), nn.ReLU(), nn.Linear(hidden, 4))

    family = Family(build, hidden=5)
    weights = random_weights(family, 3, "plain")
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(30, 3)).astype(np.float32), rng.integers(0, 4, 30)
    before = x.copy()
    found = evaluate(family, Scale(), weights, x, y, [1, 3, 5], classes=4, plain=plain)
    assert np.array_equal(x, before)
    small = build(5).eval()
    small.load_state_dict({k: torch.from_numpy(v) for k, v in weights.items()})
    with torch.no_grad():
        wanted = small(torch.from_numpy(before.copy())).argmax(-1).numpy()
    assert np.array_equal(found.predictions[:, 2], wanted)
