"""Which weights of a module are rounded, and on what inputs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from core.errors import UserError
from core.precision.calibration import round_module
from core.precision.schemes.registry import SCHEMES


class Unreached(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.used, self.aside = nn.Linear(9, 12), nn.Linear(9, 12)
        self.norm, self.small = nn.LayerNorm(12), nn.Linear(12, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.small(self.norm(self.used(x) + F.linear(x, self.aside.weight)))


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words, self.out = nn.Embedding(12, 9), nn.Linear(9, 12)
        self.out.weight = self.words.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.words(x.long()))


@pytest.mark.parametrize("bits", sorted(SCHEMES))
def test_a_layer_that_the_rows_never_reach_is_rounded_too(bits):
    module = Unreached().eval()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    stored = round_module(module, torch.randn(30, 9), SCHEMES[bits])
    assert set(stored) == {"used.weight", "aside.weight"}
    for name, value in module.state_dict().items():
        if name in stored:
            assert np.array_equal(value.numpy(), stored[name].restored)
            assert np.array_equal(before[name].numpy(), stored[name].values)
        else:
            assert torch.equal(value, before[name])


@pytest.mark.parametrize("rows", [torch.zeros(5, 9), torch.ones(5, 9), torch.randn(1, 9)])
def test_constant_rows_calibrate(rows):
    module = Unreached().eval()
    assert round_module(module, rows, SCHEMES[2])
    assert torch.isfinite(module(rows)).all()


def test_shared_weights_stay_as_they_are():
    assert round_module(Tied().eval(), torch.zeros(4, 3), SCHEMES[4]) == {}


def test_a_tensor_of_one_value_becomes_that_value():
    module = Unreached().eval()
    nn.init.constant_(module.used.weight, 0.25)
    stored = round_module(module, torch.randn(30, 9), SCHEMES[3])
    assert stored["used.weight"].scheme.name == "constant"
    assert np.array_equal(stored["used.weight"].restored, np.full((12, 9), 0.25))


def test_numbers_that_are_not_finite_are_refused():
    module = Unreached().eval()
    with torch.no_grad():
        module.used.weight[0, 0] = torch.nan
    with pytest.raises(UserError, match=r"^the tensor used\.weight holds a number that is not finite"):
        round_module(module, torch.randn(30, 9), SCHEMES[8])
    with pytest.raises(UserError, match="the inputs of layer used are not finite"):
        round_module(Unreached().eval(), torch.full((3, 9), torch.inf), SCHEMES[4])


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv1d(4, 6, 3, padding=1, stride=2),
        nn.Conv2d(4, 6, (3, 2), padding="same", dilation=2),
        nn.Conv2d(4, 8, 3, groups=2),
        nn.Conv3d(2, 4, 3, padding=1),
    ],
    ids=repr,
)
def test_a_convolution_is_rounded_as_its_unfolded_matrix(layer):
    """Its output on the calibration rows changes less than with weights rounded to the nearest."""
    torch.manual_seed(0)
    x = torch.randn(40, layer.in_channels, *(7,) * len(layer.kernel_size))
    x = x + x.roll(1, -1)
    with torch.no_grad():
        weight, expected = layer.weight.clone(), layer(x)
        round_module(layer, x, SCHEMES[3])
        ours = (layer(x) - expected).square().mean()
        largest = weight.flatten(1).abs().amax(1).reshape(-1, *(1,) * (weight.dim() - 1)) / 3
        layer.weight.copy_((weight / largest).round().clamp(-4, 3) * largest)
        assert ours < (layer(x) - expected).square().mean()
