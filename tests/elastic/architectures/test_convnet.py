"""The convolutional net's gradients, which oneDNN once computed past its memory where channels were few."""

import pytest
import torch
from torch.nn import functional as F

from core import models
from core.models.convnet.net import Block


@pytest.mark.parametrize("channels", [1, 2, 3, 5, 7, 12])
@pytest.mark.parametrize("pictures", [62, 63])
def test_gradients_are_those_of_twice_the_precision(channels, pictures):
    torch.manual_seed(0)
    module = models.family("convnet", classes=3, size=28, channels=12).build(channels=channels)
    x, y = torch.rand(pictures, 28, 28), torch.arange(pictures) % 3
    found = []
    for kind in (torch.float32, torch.float64):  # oneDNN has no part in the second
        own = models.family("convnet", classes=3, size=28, channels=12).build(channels=channels).to(kind)
        own.load_state_dict(module.state_dict())
        F.cross_entropy(own(x.to(kind)), y).backward()
        found.append({name: p.grad.double() for name, p in own.named_parameters()})
    assert any(bool(grad.any()) for grad in found[1].values())
    torch.testing.assert_close(found[0], found[1], rtol=1e-2, atol=1e-4)


def test_what_goes_around_a_block_is_a_convolution_with_its_stride():
    torch.manual_seed(0)
    block, x = Block(4, 6, stride=2, project=True).eval(), torch.randn(5, 4, 14, 14)
    with torch.no_grad():
        block.norm2.weight.zero_()
        around = F.conv2d(x, block.around.weight, stride=2)
        torch.testing.assert_close(block(x), torch.relu(around + block.norm2.bias[:, None, None]))
