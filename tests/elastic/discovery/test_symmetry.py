"""The symmetry check: right layouts pass, features with a place and what can't be checked are refused."""

from dataclasses import dataclass

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from core.elastic.discovery.symmetry import TOLERANCE
from core.elastic.family import Family
from core.elastic.width import Width
from core.errors import LayoutError, UserError
from tests.helpers.family import (
    Gated,
    Residual,
    Tied,
    batch_normed,
    conv,
    mlp,
    normed,
)  # fmt: skip

VECTORS = torch.randn(3, 5)
RIGHT = {
    "mlp": (lambda: Family(lambda h: mlp([5, h, h, 3]), h=8), VECTORS),
    "no biases": (lambda: Family(lambda h: mlp([5, h, h, 3], nn.GELU, bias=False), h=8), VECTORS),
    "three widths": (lambda: Family(lambda a, b, c: mlp([5, a, b, c, 3]), a=4, b=4, c=2), VECTORS),
    "layer norm": (lambda: Family(normed, hidden=8), VECTORS),
    "residual": (lambda: Family(Residual, stream=6, inner=10), VECTORS),
    "conv": (lambda: Family(conv, channels=4), torch.randn(2, 1, 14, 14)),
    "batch norm": (lambda: Family(batch_normed, channels=4), torch.randn(2, 1, 9, 9)),
    "tied": (lambda: Family(Tied, hidden=6), torch.randint(0, 7, (2, 3))),
    "gated": (lambda: Family(Gated, hidden=6).declare("both.*", blocks=2), VECTORS),
    "half precision": (lambda: Family(lambda h: mlp([5, h, h, 3]).half(), h=8), VECTORS.half()),
    "bfloat16": (lambda: Family(lambda h: mlp([5, h, h, 3]).bfloat16(), h=8), VECTORS.bfloat16()),
    "in single only": (lambda: Family(Single, h=8), VECTORS),
    "roots of weights": (lambda: Family(Root, h=64), VECTORS),
    "dropout in eval": (lambda: Family(lambda h: nn.Sequential(mlp([5, h, 3]), nn.Dropout()), h=8), VECTORS),
    "masked scores": (lambda: Family(Masked, h=8), VECTORS),
    "noise beside the features": (lambda: Family(Noisy, h=8), VECTORS),
}


class Single(nn.Module):
    """Casts inside, so that it can't run in double precision."""

    def __init__(self, h: int) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(5, h), nn.Linear(h, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.linear(self.a(x).relu().float(), self.b.weight, self.b.bias)


class Root(Single):
    """Its gains must stay above zero, which random weights don't."""

    def __init__(self, h: int) -> None:
        super().__init__(h)
        self.gain = nn.Parameter(torch.rand(h))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.b(self.a(x) * self.gain.sqrt())


class Masked(Single):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.b(self.a(x).relu()).masked_fill(torch.tensor([False, True, False]), -torch.inf)


class Noisy(Single):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.b(self.a(x + torch.randn_like(x)).relu())


@pytest.mark.parametrize(("family", "x"), RIGHT.values(), ids=RIGHT)
def test_right_layouts_pass(family, x):
    assert family().check(x) < 1e-5 < TOLERANCE


@pytest.mark.parametrize("x", [torch.zeros(3, 5), torch.ones(3, 5), torch.full((1, 5), 7.0), VECTORS.double()])
def test_a_dull_example_hides_nothing(x):
    family = Family(lambda h: Gated(h, 5, 3), h=6).declare("*")
    with pytest.raises(LayoutError, match="declare it"):
        family.check(x)


class Positional(Single):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.a(x)
        return self.b(h * torch.arange(h.shape[-1], device=h.device))


class Reshaped(Single):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.a(x)
        return self.b(h.view(len(h), 2, -1).cumsum(1).flatten(1))


class Fixed(Single):
    """The numbers move with the features, since they are in the state dict."""

    def __init__(self, h: int) -> None:
        super().__init__(h)
        self.register_buffer("ramp", torch.arange(h).float())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.b(self.a(x) * self.ramp)


@pytest.mark.parametrize(("kind", "width"), [(Positional, Width(8)), (Reshaped, Width(8, step=2))])
def test_features_with_a_place_are_refused(kind, width):
    with pytest.raises(LayoutError, match="the features are not unordered: the output, or a reshape"):
        Family(kind, h=width).check(VECTORS)


def test_a_model_that_runs_at_some_sizes_alone_is_refused():
    with pytest.raises(
        UserError, match=r"at full size, but not at h=3 \(RuntimeError: shape .* at h from 1 to 8, or at"
    ):
        Family(Reshaped, h=8).check(VECTORS)


def test_fixed_numbers_that_the_state_dict_holds_are_features_like_others():
    assert Family(Fixed, h=8).check(VECTORS) < 1e-5


def test_an_output_that_is_the_features_is_refused():
    with pytest.raises(LayoutError, match="not unordered"):
        Family(lambda h: nn.Linear(5, h), h=8).check(VECTORS)


class Random(Single):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.b(F.dropout(self.a(x)))


class Blind(Single):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.b(self.a(x) * 0)


class NotANumber(Single):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.b(self.a(x)) * torch.nan


@pytest.mark.parametrize(
    ("kind", "error", "words"),
    [
        (Random, LayoutError, "gives another output each time, in eval mode too"),
        (Blind, LayoutError, "does not depend on the features at all"),
        (NotANumber, LayoutError, "is not a number"),
    ],
)
def test_what_can_not_be_checked_is_said_to_be_so(kind, error, words):
    with pytest.raises(error, match=words):
        Family(kind, h=8).check(VECTORS)


def test_an_output_without_numbers_is_refused():
    class Classes(Single):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.b(self.a(x)).argmax(-1)

    with pytest.raises(LayoutError, match="holds no floating-point tensor"):
        Family(Classes, h=8).check(VECTORS)


def test_tensors_that_come_and_go_are_refused():
    def build(h: int) -> nn.Module:
        module = mlp([5, h, 3])
        if not module[0].weight.is_meta:
            module.register_buffer("extra", torch.zeros(1))
        return module

    with pytest.raises(LayoutError, match="'extra' is not in every model that the factory builds"):
        Family(build, h=8).check(VECTORS)


@pytest.mark.parametrize("name", ["conv", "gated", "noise beside the features"])
def test_a_default_device_does_not_matter(name):
    family, x = RIGHT[name]
    with torch.device("meta"):
        assert family().check(x) < 1e-5


def test_an_example_that_does_not_fit_is_one_sentence():
    with pytest.raises(UserError, match=r"can't run on the example input \(RuntimeError: mat1 and mat2 shapes"):
        Family(lambda h: mlp([5, h, 3]), h=8).check(torch.randn(2, 6))


@dataclass
class Output:
    logits: torch.Tensor
    label: torch.Tensor


@pytest.mark.parametrize(
    "wrap",
    [
        lambda y: {"deep": [(y,)], "n": 3},
        lambda y: Output(y, y.argmax(-1)),
        lambda y: (y.argmax(-1), None, y),
        lambda y: y.to(torch.complex64),
    ],
)  # fmt: skip
def test_any_nest_of_outputs_is_looked_into(wrap):
    class Wrapped(Gated):
        def forward(self, x):
            return wrap(super().forward(x))

    with pytest.raises(LayoutError, match="declare it"):
        Family(Wrapped, hidden=6).declare("*").check(VECTORS)
    assert Family(Wrapped, hidden=6).declare("both.*", blocks=2).check(VECTORS) < 1e-5


def test_it_runs_once_for_each_kind_of_input():
    runs = []

    class Counted(Single):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            runs.append(x.shape)
            return self.b(self.a(x))

    family = Family(Counted, h=8)
    first = family.check(VECTORS)
    n = len(runs)
    assert n > 1
    assert family.check(torch.randn(3, 5)) == first
    assert len(runs) == n
    family.check(torch.randn(4, 5))
    assert len(runs) == 2 * n
    family.declare("a.*")
    family.check(VECTORS)
    assert len(runs) == 3 * n


def test_nothing_is_left_changed():
    class Writes(Single):
        def __init__(self, h: int) -> None:
            super().__init__(h)
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            return self.b(self.a(x.mul_(2)).relu_()) * self.calls

    x, before = torch.ones(3, 5) + torch.arange(5), torch.get_rng_state()
    kept = x.clone()
    assert Family(Writes, h=8).check(x) < 1e-5
    assert torch.equal(x, kept)
    assert torch.equal(torch.get_rng_state(), before)
