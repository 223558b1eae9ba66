"""One module that runs at any width: each output is the plain small model's, each gradient reaches the full weights."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from core.elastic.family import Family
from core.elastic.layout import Width
from core.elastic.module import Elastic
from core.elastic.recipes.base import Cuts
from core.elastic.scale import Scale
from core.elastic.subnet import folded_state, load
from tests.helpers.family import (
    Attention,
    Concat,
    Gated,
    Recurrent,
    Residual,
    Tied,
    batch_normed,
    conv,
    mlp,
    normed,
)  # fmt: skip
from tests.helpers.properties import tries


class Penalised(nn.Module):
    """Adds a term of its own to the loss, in training."""

    def __init__(self, h: int) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(5, h), nn.Linear(h, 3)
        self.penalty: torch.Tensor | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.a(x).tanh()
        if self.training:
            self.penalty = h.square().mean()
        return self.b(h)


class Aside(nn.Module):
    """Holds numbers that no state dict brings, one for each feature."""

    def __init__(self, h: int) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(5, h), nn.Linear(h, 3)
        self.register_buffer("shift", torch.full((h,), 0.5), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.b((self.a(x) + self.shift).relu())


VECTORS = torch.randn(6, 5)
FAMILIES = {
    "chain": (Family(lambda a, b: mlp([5, a, b, 3]), a=8, b=Width(6, lower=2)), VECTORS),
    "in place": (
        Family(lambda h: nn.Sequential(nn.Linear(5, h), nn.LeakyReLU(0.5, inplace=True), nn.Linear(h, 3)), h=8),
        VECTORS,
    ),
    "chain on sequences": (Family(lambda h: mlp([5, h, h, 3]), h=8), torch.randn(6, 4, 5)),
    "norm": (Family(normed, hidden=8), VECTORS),
    "residual": (Family(Residual, stream=6, inner=10), VECTORS),
    "conv": (Family(conv, channels=4), torch.randn(6, 1, 14, 14)),
    "concat": (Family(Concat, a=4, b=5).declare("out.*", order=("b", "a")), VECTORS),
    "gate": (Family(Gated, hidden=6).declare("both.*", blocks=2), VECTORS),
    "attention": (Family(Attention, heads=3).declare("qkv.*", blocks=3), torch.randn(6, 3, 8)),
    "recurrent": (Family(Recurrent, hidden=6).declare("lstm.*", blocks=4), torch.randn(6, 3, 5)),
    "tied": (Family(Tied, hidden=6), torch.randint(0, 7, (6, 4))),
    "numbers aside": (Family(Aside, h=8), VECTORS),
}
each = pytest.mark.parametrize(("family", "x"), FAMILIES.values(), ids=FAMILIES)


def cuts_of(family: Family, shares: list[float], whole_batch: bool) -> Cuts:
    widths = family.layout.widths.items()
    cutoffs = tuple({n: w.lower + round(share * (w.full - w.lower)) for n, w in widths} for share in shares)
    return Cuts(cutoffs, whole_batch)


@each
@pytest.mark.parametrize("whole_batch", [True, False])
@pytest.mark.parametrize("shares", [[1.0, 0.6, 0.0], [0.5], [0.0, 1.0, 0.5]], ids=["nested", "one", "not nested"])
def test_each_output_is_the_plain_small_models(family, x, whole_batch, shares):
    elastic = Elastic(family, alpha=0.5).eval()
    cuts = cuts_of(family, shares, whole_batch)
    outputs = elastic(x, cuts)
    assert len(outputs) == len(shares)
    for cutoff, rows, output in zip(cuts.cutoffs, cuts.rows(len(x)), outputs, strict=True):
        small = load(family, elastic.scale, elastic.full.state_dict(), cutoff)
        torch.testing.assert_close(output, small(x[rows].clone()), rtol=1e-4, atol=1e-5)


@each
def test_gradients_are_those_of_the_slices_added_up(family, x):
    elastic = Elastic(family, alpha=0.5).eval()
    cuts = cuts_of(family, [1.0, 0.6, 0.0], whole_batch=True)
    sum((output**2).sum() for output in elastic(x, cuts)).backward()
    fast = {name: p.grad.clone() for name, p in elastic.full.named_parameters()}
    elastic.zero_grad()
    for cutoff in cuts.cutoffs:
        state = family.slice(elastic.full.state_dict(keep_vars=True), **cutoff)
        folded = elastic.scale.fold(state, family.layout, cutoff)
        output = torch.func.functional_call(family.sibling(**cutoff), folded, (x,), tie_weights=False)
        (output**2).sum().backward()
    for name, p in elastic.full.named_parameters():
        torch.testing.assert_close(fast[name], p.grad, rtol=1e-3, atol=1e-4)


@tries(25)
@given(
    st.lists(st.tuples(st.integers(1, 8), st.integers(2, 6)), min_size=1, max_size=5), st.booleans(), st.floats(0, 1)
)
def test_any_cutoffs_in_any_order(pairs, whole_batch, alpha):
    family = FAMILIES["chain"][0]
    elastic = Elastic(family, alpha).eval()
    cuts = Cuts(tuple({"a": a, "b": b} for a, b in pairs), whole_batch)
    for cutoff, rows, output in zip(cuts.cutoffs, cuts.rows(6), elastic(VECTORS, cuts), strict=True):
        small = load(family, elastic.scale, elastic.full.state_dict(), cutoff)
        torch.testing.assert_close(output, small(VECTORS[rows]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("n", [1, 3, 6, 7, 500])
@pytest.mark.parametrize("k", [1, 2, 4])
def test_parts_share_the_rows_evenly(n, k):
    rows = [range(n)[part] for part in Cuts(({},) * k).rows(n)]
    assert [i for part in rows for i in part] == list(range(n))
    assert max(map(len, rows)) - min(map(len, rows)) <= 1
    assert Cuts(({},) * k, whole_batch=True).rows(n) == [slice(0, n)] * k


def test_only_a_chain_is_scaled():
    assert Elastic(FAMILIES["chain"][0], 0.5).scale == Scale(0.5, ("2.weight", "4.weight"))
    for name in ("norm", "residual", "conv", "attention"):
        assert Elastic(FAMILIES[name][0], 0.5).scale == Scale()


def test_training_mode_reaches_the_small_models():
    family = Family(lambda h: nn.Sequential(nn.Linear(5, h), nn.Dropout(0.5), nn.Linear(h, 3)), h=8)
    elastic, cuts = Elastic(family, 0.5), Cuts(({"h": 8}, {"h": 4}))
    torch.manual_seed(0)
    first, again = elastic(VECTORS, cuts), elastic(VECTORS, cuts)
    assert not torch.equal(first[1], again[1])
    elastic.eval()
    assert torch.equal(elastic(VECTORS, cuts)[1], elastic(VECTORS, cuts)[1])


def test_the_parameters_are_the_full_models_own():
    elastic = Elastic(FAMILIES["tied"][0], 0.5)
    assert sum(p.numel() for p in elastic.parameters()) == FAMILIES["tied"][0].params()
    names = set(elastic.state_dict())
    assert names == {f"full.{name}" for name in FAMILIES["tied"][0].layout.tensors}


def test_what_is_loaded_shares_no_memory_with_the_run():
    family = Family(batch_normed, channels=4)
    state = family.build().state_dict()
    small = load(family, Scale(), state, {"channels": 2})
    assert not small.training
    for name, value in small.state_dict().items():
        assert value.untyped_storage().data_ptr() != state[name].untyped_storage().data_ptr()
    arrays = {name: value.numpy() for name, value in state.items()}
    for name, value in folded_state(family, Scale(), arrays, {"channels": 2}).items():
        assert torch.equal(value, small.state_dict()[name])


def test_a_penalty_is_the_mean_over_the_cutoffs():
    family = Family(Penalised, h=8)
    elastic, cuts = Elastic(family, 0.5), Cuts(({"h": 8}, {"h": 3}), whole_batch=True)
    elastic(VECTORS, cuts)
    wanted = torch.stack([elastic.full.a(VECTORS)[:, :h].tanh().square().mean() for h in (8, 3)]).mean()
    torch.testing.assert_close(elastic.penalty, wanted)
    elastic.penalty.backward()
    assert elastic.full.a.weight.grad.abs().sum() > 0
    elastic.eval()(VECTORS, cuts)
    assert elastic.penalty is None


def test_a_sibling_that_is_kept_holds_no_graph():
    """Else every width drawn would keep the activations of its last step."""
    family = Family(Penalised, h=8)
    elastic = Elastic(family, 0.5)
    for h in range(1, 9):
        elastic(VECTORS, Cuts(({"h": h},)))
    assert all(family.sibling(h=h).penalty is None for h in range(1, 9))
    tensors = [t for h in range(1, 9) for part in family.sibling(h=h).modules() for t in vars(part).values()]
    assert not any(isinstance(t, torch.Tensor) and t.grad_fn is not None for t in tensors)


def test_a_parameter_called_penalty_is_no_penalty():
    class Named(nn.Module):
        def __init__(self, h: int) -> None:
            super().__init__()
            self.a, self.penalty = nn.Linear(5, h), nn.Parameter(torch.randn(3, h))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.a(x).relu() @ self.penalty.T

    elastic = Elastic(Family(Named, h=8), 0.5)
    for _ in range(2):
        assert elastic(VECTORS, Cuts(({"h": 5},)))[0].shape == (6, 3)
        assert elastic.penalty is None


def test_siblings_are_kept_within_a_bound(monkeypatch):
    """The one not asked for longest goes first; a deep model, whose sibling costs more, keeps fewer."""
    import core.elastic.discovery.factory as module

    monkeypatch.setattr(module, "SIBLINGS_KEPT", 2)
    monkeypatch.setattr(module, "MODULES_KEPT", 16)
    family = Family(lambda h: mlp([5, h, 3]), h=8)  # four modules
    first, second = family.sibling(h=1), family.sibling(h=2)
    family.sibling(h=3), family.sibling(h=4)
    assert family.sibling(h=1) is first
    family.sibling(h=5)
    assert family.sibling(h=1) is first
    assert family.sibling(h=2) is not second
    deep = Family(lambda h: mlp([5, *[h] * 12, 3]), h=8)
    for h in range(1, 9):
        deep.sibling(h=h)
    assert len(deep._siblings) == 2
