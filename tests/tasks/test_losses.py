"""The losses of the tasks are torch's own, in units that don't matter."""

import pytest
import torch
from torch.nn import functional as F

from core.tasks.losses import FEW_CLASSES, loss_function, soft_targets


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_smoothing_is_of_labels_alone():
    output, target = random(6, 3), torch.arange(6) % 3
    smoothed = loss_function("classification")(output, target, 0.1)
    torch.testing.assert_close(smoothed, F.cross_entropy(output, target, label_smoothing=0.1))
    numbers, wanted = loss_function("regression"), random(6, 3, seed=1)
    torch.testing.assert_close(numbers(output, wanted, 0.1), F.mse_loss(output, wanted))


@pytest.mark.parametrize("classes", [3, FEW_CLASSES + 1])
@pytest.mark.parametrize("soft", [False, True], ids=["labels", "probabilities"])
def test_few_classes_have_the_same_loss_and_gradient(classes, soft):
    target = random(20, classes, seed=1).softmax(-1) if soft else torch.arange(20) % classes
    outputs = [random(20, classes).requires_grad_() for _ in range(2)]
    losses = [
        f(output, target) for f, output in zip((loss_function("classification"), F.cross_entropy), outputs, strict=True)
    ]
    torch.testing.assert_close(*losses)
    torch.testing.assert_close(*(torch.autograd.grad(*pair)[0] for pair in zip(losses, outputs, strict=True)))


@pytest.mark.parametrize("task", ["regression", "image"])
def test_numbers_are_compared_in_units_of_their_deviation(task):
    output, target, deviation = random(7, 3), random(7, 3, seed=1), torch.tensor([0.1, 20.0, 1.0])
    loss = loss_function(task, deviation)(output, target)
    torch.testing.assert_close(loss, ((output - target) / deviation).square().mean())


def test_targets_of_a_teacher():
    output = random(5, 4)
    torch.testing.assert_close(soft_targets("classification")(output).sum(-1), torch.ones(5))
    assert soft_targets("regression")(output) is output
