"""A loss whose gradient is known gives what autograd finds, and leaves to autograd what it can't be sure of."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from core.tasks.losses import FEW_CLASSES, loss_function, soft_targets


def through_autograd(loss_of, output: torch.Tensor, *target) -> tuple[torch.Tensor, torch.Tensor]:
    output = output.clone().requires_grad_()
    loss = loss_of(output, *target)
    return loss.detach(), torch.autograd.grad(loss, output)[0]


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@settings(deadline=None)
@given(st.integers(1, 30), st.integers(1, 4), st.integers(2, 40), st.sampled_from([0.0, 1.0, 10.0]), st.integers(0, 99))
def test_cross_entropy(examples, times, classes, large, seed):
    output = large * random(examples, times, classes, seed=seed)
    target = torch.randint(classes, (examples,), generator=torch.Generator().manual_seed(seed))
    assert loss_function("classification").is_derived_for(target)
    check("classification", None, output, target)
    check("classification", None, output, target, smoothing=0.2)


def test_cross_entropy_of_outputs_that_are_far_apart():
    """One class has all of the probability: the gradient is as autograd's, the loss finite, and large where wrong."""
    output, target = 1e4 * random(9, 2, 3), torch.arange(9) % 3
    loss_of = loss_function("classification")
    loss, gradient = loss_of.derived(output, target, 18)
    right = through_autograd(loss_of, output.flatten(0, 1), target.repeat_interleave(2))[1]
    torch.testing.assert_close(gradient, right.view(9, 2, 3))
    assert 20 < float(loss) < 90
    output[0, 0, 0] = float("nan")
    assert not loss_of.derived(output, target, 18)[0].isfinite()


@pytest.mark.parametrize("task", ["regression", "image"])
@pytest.mark.parametrize("shape", [(7, 1, 3), (4, 5, 3), (1, 2, 3)])
@pytest.mark.parametrize("deviation", [None, torch.tensor([0.1, 20.0, 1.0])], ids=["plain", "in deviations"])
def test_squared_error(task, shape, deviation):
    output, target = random(*shape), random(shape[0], 3, seed=1)
    assert loss_function(task, deviation).is_derived_for(target)
    check(task, deviation, output, target)


def check(task: str, deviation, output: torch.Tensor, target: torch.Tensor, smoothing: float = 0.0) -> None:
    """Of all rows at once, and of two parts of them; what is given stays as it is."""
    loss_of, kept = loss_function(task, deviation), (output.clone(), target.clone())
    loss, gradient = loss_of.derived(output, target, output.shape[0] * output.shape[1], smoothing)
    assert all(map(torch.equal, (output, target), kept))
    wanted = target.repeat_interleave(output.shape[1], 0)
    right = through_autograd(loss_of, output.flatten(0, 1), wanted, smoothing)
    torch.testing.assert_close((loss, gradient), (right[0], right[1].view(output.shape)), rtol=1e-4, atol=1e-6)
    half = len(output) // 2
    parts = [
        loss_of.derived(output[rows], target[rows], output.shape[0] * output.shape[1], smoothing)
        for rows in (slice(half), slice(half, None))
    ]
    torch.testing.assert_close(parts[0][0] + parts[1][0], loss, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(torch.cat([parts[0][1], parts[1][1]]), gradient)


def test_what_only_autograd_knows():
    classes, numbers = loss_function("classification"), loss_function("regression")
    assert not classes.is_derived_for(random(5, 4).softmax(-1))  # soft targets
    assert not classes.is_derived_for(torch.zeros(5, 2, dtype=torch.long))
    assert not numbers.is_derived_for(random(5))
    assert not numbers.is_derived_for(random(5, 2, 2))


def test_smoothing_is_of_labels_alone():
    output, target = random(6, 3), torch.arange(6) % 3
    smoothed = loss_function("classification")(output, target, 0.1)
    torch.testing.assert_close(smoothed, F.cross_entropy(output, target, label_smoothing=0.1))
    numbers, wanted = loss_function("regression"), random(6, 3, seed=1)
    torch.testing.assert_close(numbers(output, wanted, 0.1), F.mse_loss(output, wanted))


@pytest.mark.parametrize("classes", [3, FEW_CLASSES + 1])
def test_few_classes_have_the_same_loss(classes):
    output, target = random(20, classes), torch.arange(20) % classes
    loss_of = loss_function("classification")
    for found in (through_autograd(loss_of, output, target), loss_of.derived(output[:, None], target, 20)):
        right = through_autograd(F.cross_entropy, output, target)
        torch.testing.assert_close((found[0], found[1].view(20, classes)), right)


def test_targets_of_a_teacher():
    output = random(5, 4)
    torch.testing.assert_close(soft_targets("classification")(output).sum(-1), torch.ones(5))
    assert soft_targets("regression")(output) is output
