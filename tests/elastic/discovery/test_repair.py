"""A wrong layout: the message names the place, and the line that it tells a person to write mends it."""

import ast
import re

import pytest
import torch
from torch import nn

from core.elastic.family import Family
from core.errors import LayoutError
from tests.helpers.family import Attention, Concat, Gated, Recurrent, transformer

VECTORS, SEQUENCES = torch.randn(3, 5), torch.randn(2, 3, 5)
# what is wrong, and the declarations of which the message must name one that works
AMBIGUOUS = {
    "gate": (lambda: Family(Gated, hidden=6), VECTORS, "dimension 0 of 'both.weight' (2 for each 'hidden')"),
    "fused q, k, v": (lambda: Family(Attention, heads=3), torch.randn(2, 4, 8), "dimension 0 of 'qkv.weight' (12 for"),
    "in every block": (lambda: Family(transformer, heads=3), torch.randn(2, 4, 8), "dimension 0 of '0.qkv.weight'"),
    "gates of an lstm": (lambda: Family(Recurrent, hidden=6), SEQUENCES, "dimension 0 of 'lstm.weight_ih_l0' (4 for"),
    "concat": (lambda: Family(Concat, a=5, b=4), VECTORS, "dimension 1 of 'out.weight' (1 for each 'a' then 1 for"),
    "concat, equal sizes": (lambda: Family(Concat, a=2, b=2), VECTORS, "dimension 1 of 'out.weight'"),
    "concat with inputs": (lambda: Family(lambda a, b: Concat(a, b, raw=True), a=3, b=4), VECTORS, "then 2 constant)"),
    "channels last": (lambda: Family(lambda h: ChannelsLast(h), h=4), torch.randn(2, 1, 3, 3), "(9 for each 'h')"),
    "two kinds at once": (lambda: Family(Both, a=4, b=5), VECTORS, "and 1 more"),
    "names without a module": (lambda: Family(Bare, h=6), VECTORS, "dimension 0 of 'up' (2 for each 'h')"),
}


class ChannelsLast(nn.Module):
    def __init__(self, h: int) -> None:
        super().__init__()
        self.conv, self.out = nn.Conv2d(1, h, 3, padding=1), nn.Linear(9 * h, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.conv(x).permute(0, 2, 3, 1).flatten(1))


class Both(nn.Module):
    def __init__(self, a: int, b: int) -> None:
        super().__init__()
        self.gated, self.concat = Gated(a, 5, 5), Concat(a, b)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.concat(self.gated(x))


class Bare(nn.Module):
    def __init__(self, h: int) -> None:
        super().__init__()
        self.up, self.down = nn.Parameter(torch.randn(2 * h, 5)), nn.Parameter(torch.randn(3, h))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        value, gate = (x @ self.up.T).chunk(2, -1)
        return (value * gate.sigmoid()) @ self.down.T


def declarations(message):
    """The calls that a message tells a person to write, as (positional, keyword) arguments."""
    text = re.search(r"Family\(\.\.\.\)(\.declare\(.*\))$", message)[1]
    call, found = ast.parse(f"family{text}", mode="eval").body, []
    while isinstance(call, ast.Call):
        keywords = {k.arg: ast.literal_eval(k.value) for k in call.keywords}
        found.insert(0, ([ast.literal_eval(a) for a in call.args], keywords))
        call = call.func.value
    return found


@pytest.mark.parametrize(("family", "x", "words"), AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_what_shapes_leave_open_is_found_by_trying(family, x, words):
    made = family()
    before = made.layout
    for seed in range(3):
        assert made.check(x, seed=seed) < 1e-5
    assert made.layout.shapes(made.layout.full) == before.shapes(before.full)
    half = {name: max(1, size // 2) for name, size in made.layout.full.items()}
    state = made.build().state_dict()
    made.build(**half).load_state_dict(made.slice(state, **half), strict=True)


@pytest.mark.parametrize(("family", "x", "words"), AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_a_wrong_declaration_is_an_error_and_following_its_message_mends_it(family, x, words):
    with pytest.raises(LayoutError) as error:
        family().declare("*").check(x)  # everything in runs, as shapes suggest
    message = str(error.value)
    assert words in message
    assert "than declared" in message
    assert "\n" not in message
    mended = family().declare("*")
    for pattern, how in declarations(message):
        mended.declare(*pattern, **how)
    for seed in range(3):
        assert mended.check(x, seed=seed) < 1e-5


@pytest.mark.parametrize("seed", range(6))
def test_two_features_are_enough_to_notice(seed):
    """Half of all random orders of two features are no change at all."""
    with pytest.raises(LayoutError, match="declare it"):
        Family(Gated, hidden=2).declare("*").check(VECTORS, seed=seed)
