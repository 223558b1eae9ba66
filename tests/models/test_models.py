"""The plain models of the paper's experiments: every width of them is a smaller one of the same kind."""

import ast
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import core.models
from core.elastic.family import Family
from core.models.convnet.net import convnet
from core.models.coordinates.net import coordinates
from core.models.liif.net import liif
from core.models.mlp import net
from core.models.pointnet.net import pointnet
from core.models.vit.net import vit


@dataclass(frozen=True)
class Case:
    build: Callable[..., nn.Module]
    full: dict[str, int]
    smaller: list[dict[str, int]]
    inputs: Callable[[int], torch.Tensor]
    outputs: int


def uniform(*shape: int, high: float = 255.0) -> Callable[[int], torch.Tensor]:
    return lambda n: high * torch.rand(n, *shape, generator=torch.Generator().manual_seed(n))


def queries(n: int) -> torch.Tensor:
    """Patches of 5 x 5 pixels, then places from -1 to 1 and cells up to 2."""
    x = uniform(79)(n)
    x[:, -4:] = x[:, -4:] / 255 * torch.tensor([2.0, 2.0, 1.0, 1.0]) + torch.tensor([-1.0, -1.0, 0.5, 0.5])
    return x


def tapered(channels: int) -> nn.Module:
    return convnet([channels, 2 * channels, 3 * channels])


def staged(first: int, second: int, third: int) -> nn.Module:
    return convnet([first, second, third])


CASES = {
    "convnet": Case(tapered, {"channels": 6}, [{"channels": 1}, {"channels": 4}], uniform(28, 28), 10),
    "convnet of stages": Case(
        staged, {"first": 6, "second": 6, "third": 6}, [{"first": 1, "third": 2}, {"second": 3}], uniform(28, 28), 10
    ),
    "vit": Case(
        vit, {"heads": 4, "hidden": 24}, [{"heads": 1, "hidden": 1}, {"heads": 3, "hidden": 9}], uniform(28, 28), 10
    ),
    "pointnet": Case(
        pointnet, {"hidden": 24, "transform": 16}, [{"hidden": 1, "transform": 1}, {"hidden": 7}, {"transform": 5}],
        uniform(40, 3, high=2.0), 10,
    ),
    "coordinates": Case(coordinates, {"hidden": 24}, [{"hidden": 1}, {"hidden": 9}], uniform(2, high=100.0), 3),
    "liif": Case(liif, {"hidden": 24}, [{"hidden": 1}, {"hidden": 9}], queries, 3),
}  # fmt: skip
every_model = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def randomised(module: nn.Module) -> nn.Module:
    """Weights and buffers that are nothing special: a zero or a one could hide a wrong layout."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for value in module.state_dict().values():
            if value.is_floating_point():
                value.mul_(1 + 0.2 * torch.rand(value.shape, generator=generator))
                value.add_(0.1 * torch.rand(value.shape, generator=generator))
    return module.double().eval()


def fit_inputs(module: nn.Module, x: torch.Tensor) -> nn.Module:
    """As the trainer does, from what it trains on."""
    for part in module.modules():
        if type(part).__name__ == "Normalise":
            with torch.no_grad():
                part.scale.copy_(1 / x.std(0).flatten())
                part.shift.copy_(-(x.mean(0) / x.std(0)).flatten())
    return module


def state_of(case: Case) -> tuple[Family, dict[str, torch.Tensor]]:
    torch.manual_seed(0)
    family = Family(case.build, **case.full)
    return family, randomised(family.build()).state_dict()


@every_model
def test_features_are_unordered(case):
    family = Family(case.build, **case.full)
    assert family.check(case.inputs(4)) < 1e-5
    axes = [axis for tensor in family.layout.tensors.values() for axis in tensor.axes if axis]
    assert all(len(axis) == 1 for axis in axes)
    assert {axis[0].width for axis in axes} == set(case.full)


@every_model
def test_a_slice_is_the_full_model_with_the_rest_masked(case):
    """Where what comes out of a feature is cut off at its consumers, the narrow model is what remains."""
    family, state = state_of(case)
    x = case.inputs(5).double()
    for widths in case.smaller:
        narrow = family.build(**widths).double().eval()
        narrow.load_state_dict(family.slice(state, **widths), strict=True)
        masked = {name: value.clone() for name, value in state.items()}
        for name, tensor in family.layout.tensors.items():
            if len(tensor.axes) > 1 and (axis := tensor.axes[1]):
                masked[name][:, axis[0].size({**case.full, **widths}) :] = 0
        full = family.build().double().eval()
        full.load_state_dict(masked)
        with torch.no_grad():
            actual, expected = narrow(x), full(x)
        assert actual.shape == (5, case.outputs)
        torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-9)


@every_model
def test_a_few_steps_bring_the_loss_down(case):
    torch.manual_seed(0)
    x = case.inputs(24)
    model = fit_inputs(case.build(**case.full), x)
    classes, colours = torch.arange(24) % 2, torch.rand(24, 3)
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    losses = []
    for _ in range(12):
        optimizer.zero_grad()
        output = model(x)
        loss = F.cross_entropy(output, classes) if case.outputs == 10 else F.mse_loss(output, colours)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in model.parameters())
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize("name", ["convnet", "vit", "pointnet", "coordinates", "liif"])
def test_a_model_is_one_short_file_that_needs_torch_alone(name):
    """It goes into a download as the model's own code."""
    path = Path(core.models.__file__).parent / name / "net.py"
    text = path.read_text(encoding="utf-8")
    nodes = list(ast.walk(ast.parse(text)))
    modules = {a.name for n in nodes if isinstance(n, ast.Import) for a in n.names}
    modules |= {n.module for n in nodes if isinstance(n, ast.ImportFrom)}
    assert {m.partition(".")[0] for m in modules} <= {"torch", "math"}
    assert len(text.splitlines()) <= 100
    if "class Normalise" in text:
        assert inspect.getsource(net.Normalise) in text


@pytest.mark.parametrize("name", ["convnet", "vit", "coordinates"])
def test_raw_inputs_are_normalised_inside(name):
    """Other units, with the statistics that go with them, give the same answers."""
    case = CASES[name]
    model, x = case.build(**case.full).double().eval(), case.inputs(6).double()
    with torch.no_grad():
        answers = [fit_inputs(model, part)(part) for part in (x, 1000 * x + 50)]
    torch.testing.assert_close(*answers)


def test_a_cloud_may_lie_anywhere_in_any_unit_and_order():
    model, x = pointnet(hidden=8, transform=8).double().eval(), CASES["pointnet"].inputs(3).double()
    with torch.no_grad():
        expected = model(x)
        assert float(expected.std(0).min()) > 0  # clouds are told apart
        for same in (x[:, torch.randperm(x.shape[1])], 40 * x + 7, torch.cat([x, x], dim=1)):
            torch.testing.assert_close(model(same), expected)
        assert bool(model(torch.ones(2, 5, 3).double()).isfinite().all())


def test_transforms_start_as_the_identity_and_are_held_near_a_rotation():
    torch.manual_seed(0)
    model, x = pointnet(hidden=8, transform=8), CASES["pointnet"].inputs(3)
    torch.testing.assert_close(model.turn(x), torch.eye(3).expand(3, 3, 3))
    assert model.eval()(x) is not None
    assert model.penalty is None  # there in training alone
    model.train()(x)
    assert model.penalty.item() == 0
    torch.nn.init.normal_(model.align.matrix.weight, std=0.1)
    model(x)
    a = model.align(model.low(model.normalise(x) @ model.turn(model.normalise(x))))
    expected = 0.001 * torch.stack([torch.linalg.matrix_norm(torch.eye(64) - m @ m.T) ** 2 for m in a]).mean()
    torch.testing.assert_close(model.penalty, expected)
    model.penalty.backward()
    assert all(float(p.grad.abs().max()) > 0 for p in model.align.parameters())


@pytest.mark.parametrize("patch", [3, 5, 7, 11])
def test_an_untaught_decoder_leaves_the_nearest_pixel(patch):
    model = liif(hidden=6, patch=patch)
    seen = uniform(3, patch, patch)(4)
    x = torch.cat([seen.flatten(1), torch.rand(4, 4)], dim=1)
    nn.init.zeros_(model.decode[-1].weight)
    nn.init.zeros_(model.decode[-1].bias)
    torch.testing.assert_close(model(x), seen[:, :, patch // 2, patch // 2] / 255)


def test_each_network_draws_waves_of_its_own_and_saves_them():
    first, other = coordinates(hidden=8), coordinates(hidden=8)
    x = CASES["coordinates"].inputs(3)
    assert not torch.equal(first[1](x), other[1](x))
    other.load_state_dict(first.state_dict())
    torch.testing.assert_close(first[1](x), other[1](x))
