"""Adam in few calls is torch's to the bit: whatever has a gradient, and through a state that was kept."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from core.train.optimizer import Adam

SHAPES = [(3, 4), (4,), (2, 4), (2,), ()]


def groups() -> list[dict]:
    torch.manual_seed(0)
    parameters = [nn.Parameter(torch.randn(shape)) for shape in SHAPES]
    return [{"params": parameters[:3], "weight_decay": 0.1}, {"params": parameters[3:], "weight_decay": 0.0}]


def pair() -> tuple[list[nn.Parameter], torch.optim.Optimizer, list[nn.Parameter], Adam]:
    theirs, ours = groups(), groups()
    return (
        [p for group in theirs for p in group["params"]], torch.optim.AdamW(theirs, lr=1e-2, fused=True),
        [p for group in ours for p in group["params"]], Adam(ours, lr=1e-2),
    )  # fmt: skip


def give(parameters: list[nn.Parameter], moved: list[bool], seed: int) -> None:
    """The same gradients for the same seed; None where a parameter isn't met."""
    generator = torch.Generator().manual_seed(seed)
    for parameter, has in zip(parameters, moved, strict=True):
        value = torch.randn(parameter.shape, generator=generator)
        parameter.grad = value if has else None


def same(theirs: list[nn.Parameter], first: torch.optim.Optimizer, ours: list[nn.Parameter], second: Adam) -> None:
    for one, other in zip(theirs, ours, strict=True):
        assert torch.equal(one, other)
        assert first.state[one].keys() == second.state[other].keys()
        for name, value in first.state[one].items():
            assert torch.equal(value, second.state[other][name]), name


@settings(deadline=None)  # the first example waits for torch
@given(st.lists(st.lists(st.booleans(), min_size=len(SHAPES), max_size=len(SHAPES)), min_size=1, max_size=12))
def test_any_parameters_in_any_steps(steps: list[list[bool]]) -> None:
    theirs, first, ours, second = pair()
    for seed, moved in enumerate(steps):
        for parameters, optimizer in ((theirs, first), (ours, second)):
            give(parameters, moved, seed)
            for group in optimizer.param_groups:
                group["lr"] = 1e-2 / (seed + 1)
            optimizer.step()
    same(theirs, first, ours, second)


@pytest.mark.parametrize("whole", [True, False])
def test_a_state_that_was_loaded_goes_on(whole: bool) -> None:
    theirs, first, ours, second = pair()
    moved = [True] * len(SHAPES) if whole else [True, False, True, True, True]
    for seed in range(6):
        for parameters, optimizer in ((theirs, first), (ours, second)):
            give(parameters, moved, seed)
            optimizer.step()
            if seed == 2:
                optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
            if seed == 3:  # one's state goes into the other's kind
                kept = copy.deepcopy((second if optimizer is first else first).state_dict())
                optimizer.load_state_dict(kept)
    same(theirs, first, ours, second)


def test_a_copy_goes_on_by_itself() -> None:
    theirs, first, ours, second = pair()
    for parameters, optimizer in ((theirs, first), (ours, second)):
        give(parameters, [True] * len(SHAPES), 0)
        optimizer.step()
    copied = copy.deepcopy(second)
    for optimizer in (first, copied):
        give([p for group in optimizer.param_groups for p in group["params"]], [True] * len(SHAPES), 1)
        optimizer.step()
    same(theirs, first, [p for group in copied.param_groups for p in group["params"]], copied)
    assert all(second.state[p]["step"] == 1 for p in ours), "the one it was made of stays where it was"


def test_steps_that_are_parts_of_something_else_leave_it_alone() -> None:
    """As tensors out of one file may be."""
    theirs, first, ours, second = pair()
    file = torch.zeros(100)
    for parameters, optimizer in ((theirs, first), (ours, second)):
        give(parameters, [True] * len(SHAPES), 0)
        optimizer.step()
    for place, parameter in enumerate(ours):
        file[place] = second.state[parameter]["step"]
        second.state[parameter]["step"] = file[place]
    for parameters, optimizer in ((theirs, first), (ours, second)):
        give(parameters, [True] * len(SHAPES), 1)
        optimizer.step()
    same(theirs, first, ours, second)
    assert not file[len(SHAPES) :].count_nonzero()
