"""The loss of a step: a mean over rows, by one call where the task's loss is a mean, cutoff by cutoff elsewhere."""

import pytest
import torch
from torch.nn import functional as F

from core.elastic.recipes.base import Cuts
from core.tasks.losses import loss_function
from core.train.step import step_loss

Y = torch.tensor([0, 1, 2, 0, 1, 2])
SHARED = Cuts(({"h": 8}, {"h": 4}), spans=((0.0, 1 / 3), (1 / 3, 1.0)))


def test_it_is_the_mean_over_all_rows_with_each_cutoffs_smoothing():
    outputs = [torch.randn(2, 3), torch.randn(4, 3)]
    cuts = Cuts(SHARED.cutoffs, spans=SHARED.spans, smoothing=(0.3, 0.0))
    wide = F.cross_entropy(outputs[0], Y[:2], label_smoothing=0.3)
    narrow = F.cross_entropy(outputs[1], Y[2:])
    loss = step_loss(outputs, Y, cuts, loss_function("classification"))
    torch.testing.assert_close(loss, (2 * wide + 4 * narrow) / 6)


def test_several_starts_have_an_examples_target_each():
    outputs = [torch.randn(12, 3)]  # two starts, an example's side by side
    loss = step_loss(outputs, Y, Cuts(({"h": 1},), whole_batch=True), loss_function("classification"))
    torch.testing.assert_close(loss, F.cross_entropy(outputs[0], torch.tensor([0, 0, 1, 1, 2, 2, 0, 0, 1, 1, 2, 2])))


def test_a_loss_that_couples_a_batch_sees_one_size_at_a_time():
    """As contrastive losses do: rows of other sizes would be negatives that nobody meant."""
    seen = []

    def contrastive(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        seen.append(output)
        return F.cross_entropy(output @ output.T, torch.arange(len(output)))

    outputs = [torch.randn(2, 3), torch.randn(4, 3)]
    loss = step_loss(outputs, Y, SHARED, contrastive)
    assert [len(output) for output in seen] == [2, 4]
    torch.testing.assert_close(loss, (2 * contrastive(outputs[0], Y) + 4 * contrastive(outputs[1], Y)) / 6)


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_with_a_teacher_the_others_learn_its_output(task):
    outputs = [torch.randn(6, 3), torch.randn(6, 3)]
    y = Y if task == "classification" else torch.randn(6, 3)
    cuts = Cuts(SHARED.cutoffs, whole_batch=True, teacher=0)
    soften = (lambda o: o.softmax(-1)) if task == "classification" else (lambda o: o)
    loss = loss_function(task)
    wanted = (loss(outputs[0], y) + loss(outputs[1], soften(outputs[0]))) / 2
    torch.testing.assert_close(step_loss(outputs, y, cuts, loss, soften), wanted)
