"""What a model does in training mode, or keeps between calls, either works or is refused before any training."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from core import Family, UserError
from core.elastic.discovery.training_forward import check_training_forward
from tests.helpers.family import Attention, Recurrent, Tied, batch_normed, mlp, normed

VECTORS = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))


class Net(nn.Module):
    def __init__(self, h: int) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(6, h), nn.Linear(h, h), nn.Linear(h, 3)

    def hidden(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.second(torch.relu(self.first(x))))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.hidden(x))


class Auxiliary(Net):
    """A second output in training mode alone, as in GoogLeNet."""

    def forward(self, x: torch.Tensor):
        hidden = self.hidden(x)
        return (self.last(hidden), self.last(hidden / 2)) if self.training else self.last(hidden)


class Recomputed(Net):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = torch.relu(self.first(x))
        return self.last(hidden + checkpoint(self.second, hidden, use_reentrant=False))


class SpectralNorm(Net):
    def __init__(self, h: int) -> None:
        super().__init__(h)
        self.second = nn.utils.parametrizations.spectral_norm(self.second)


class RunningMean(Net):
    """A running average of its own, assigned anew."""

    def __init__(self, h: int) -> None:
        super().__init__(h)
        self.register_buffer("mean", torch.zeros(h))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = self.hidden(x)
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * hidden.detach().mean(0)
        return self.last(hidden - self.mean)


class MaxNorm(Net):
    """Writes a weight in its forward."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            self.second.weight.clamp_(-0.01, 0.01)
        return super().forward(x)


class KeptProduct(Net):
    """Keeps numbers that depend on its weights."""

    kept: torch.Tensor | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.kept is None:
            self.kept = self.second.weight.detach().sum()
        return super().forward(x) * self.kept


class Elsewhere(Net):
    """Reaches a weight by a reference that no slice replaces."""

    def __init__(self, h: int) -> None:
        super().__init__(h)
        self.beside = [self.second.weight]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(F.linear(torch.relu(self.first(x)), self.beside[0]))


class RandomFeatures(Net):
    """Random numbers of the factory's, outside of the state dict."""

    def __init__(self, h: int) -> None:
        super().__init__(h)
        self.directions = torch.randn(6, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(torch.sin(x @ self.directions))


class TrainingFails(Net):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            raise NotImplementedError("no training here")
        return super().forward(x)


class Half(Net):
    def __init__(self, h: int) -> None:
        super().__init__(h)
        self.second.half()


class Complex(nn.Module):
    def __init__(self, h: int) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(6, h, dtype=torch.complex64), nn.Linear(h, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.first(x.to(torch.complex64)).abs().to(self.last.weight.dtype))


REFUSED = {
    "auxiliary output": (Auxiliary, r"gives a tuple of 2 in training mode and a tensor of shape \(4, 3\) in eval"),
    "recomputed block": (Recomputed, r"recomputes a block in the backward pass \(torch\.utils\.checkpoint\)"),
    "spectral norm": (SpectralNorm, r"writes buffer 'second\.parametrizations\.weight\.0\._[uv]'"),
    "running mean": (RunningMean, "writes buffer 'mean', of which every width would need its own"),
    "written weight": (MaxNorm, r"writes parameter 'second\.weight'"),
    "kept product": (KeptProduct, "keeps 'kept' from one forward pass to the next, and its output depends on it"),
    "reference kept elsewhere": (Elsewhere, "runs by itself, but not through a slice of its weights"),
    "random features": (RandomFeatures, "random numbers that the factory draws must be parameters or buffers"),
    "training fails": (TrainingFails, r"can't run .* in training mode \(NotImplementedError: no training here\)"),
    "half precision": (Half, r"tensor 'second\.weight' is of float16; training needs weights of float32"),
    "bfloat16": (lambda h: Net(h).bfloat16(), r"tensor 'first\.weight' is of bfloat16"),
    "complex": (Complex, r"tensor 'first\.weight' is of complex64; training needs weights of float32"),
}


@pytest.mark.parametrize(("build", "words"), REFUSED.values(), ids=REFUSED)
def test_what_no_slice_can_train_is_refused_with_its_cause(build, words):
    with pytest.raises(UserError, match=words) as error:
        check_training_forward(Family(build, h=8), VECTORS)
    assert "\n" not in str(error.value)


class Positions(Net):
    """A table made in the first forward, from no weight, as rotary embeddings keep it."""

    table: torch.Tensor | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.table is None:
            self.table = torch.linspace(0, 1, x.shape[1])
        return super().forward(x * self.table)


class Frozen(Net):
    def __init__(self, h: int) -> None:
        super().__init__(h)
        self.norm = nn.BatchNorm1d(6)
        for value in (*self.first.parameters(), *self.norm.parameters()):
            value.requires_grad_(False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(self.norm(x))


FINE = {
    "mlp": (lambda: Family(lambda h: mlp([6, h, h, 3]), h=8), VECTORS),
    "one example": (lambda: Family(normed, hidden=8), VECTORS[:1, :5]),
    "batch norm": (lambda: Family(batch_normed, channels=4), torch.randn(2, 1, 9, 9)),
    "tied": (lambda: Family(Tied, hidden=6), torch.randint(0, 7, (2, 3))),
    "recurrent": (lambda: Family(Recurrent, hidden=6), torch.randn(2, 3, 5)),
    "attention": (lambda: Family(Attention, heads=4), torch.randn(2, 4, 8)),
    "dropout": (lambda: Family(lambda h: nn.Sequential(mlp([6, h, 3]), nn.Dropout()), h=8), VECTORS),
    "table of positions": (lambda: Family(Positions, h=8), VECTORS),
    "frozen parts": (lambda: Family(Frozen, h=8), VECTORS),
}


@pytest.mark.parametrize(("family", "x"), FINE.values(), ids=FINE)
def test_what_a_slice_can_train_passes_and_leaves_random_numbers_alone(family, x):
    before = torch.get_rng_state()
    check_training_forward(family(), x)
    assert torch.equal(before, torch.get_rng_state())


def test_a_tracer_does_not_touch_the_shared_sibling():
    """The search for a chain traces a module of its own: a table kept by the first forward stays a tensor."""
    from core.elastic.module import Elastic
    from core.elastic.recipes.base import Cuts

    family = Family(Positions, h=8)
    outputs = Elastic(family, 0.5)(VECTORS, Cuts(({"h": 8}, {"h": 3}), whole_batch=True))
    assert [tuple(y.shape) for y in outputs] == [(4, 3), (4, 3)]
