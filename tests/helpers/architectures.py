"""One proof for every topology: its layout, its slices, and what a training of it leaves behind."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from core import Family, LayoutError, Run, sweep, train
from core.elastic.discovery.symmetry import TOLERANCE, Probe
from core.elastic.layout import Layout
from core.elastic.recipes.registry import recipe
from core.elastic.subnet import load
from core.export.formats import export
from core.export.program import run_onnx
from tests.helpers.family import randomise

N, CLASSES = 96, 3
FORMATS = ("safetensors", "onnx", "pt2")


def examples(*shape: int, tokens: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Inputs (96, *shape) around a point for each of three classes, or token numbers below `tokens`; and the class."""
    rng = np.random.default_rng(0)
    y = np.arange(N) % CLASSES
    if tokens:
        return rng.integers(0, tokens, (N, *shape)).astype(np.float32), y
    return (rng.normal(0, 1, (CLASSES, *shape))[y] + rng.normal(0, 1, (N, *shape))).astype(np.float32), y


def prove(
    folder: Path,
    family: Family,
    data: tuple[np.ndarray, np.ndarray],
    *,
    masked: bool | Mapping[str, tuple[int, str]] = True,
    open_axes: bool = False,
    **training: Any,
) -> Run:
    """Everything that is claimed of a topology, on `data`; the run that was trained.

    masked
        Whether a slice is the full model with the other features' weights at zero (not behind a norm over features).
        A mapping says too where the hidden states are, module name to (dimension, width), to mask them there.
    open_axes
        Whether shapes leave something open that a declaration can get wrong.
    **training
        What `train` is told besides.
    """
    x = torch.from_numpy(data[0][:5])
    assert family.check(x) < 1e-5
    forgetting_one_dimension_is_noticed(family, x)
    if open_axes:
        a_wrong_declaration_is_refused(family, x)
    if masked:
        a_slice_is_the_model_without_the_other_features(family, x)
    if isinstance(masked, Mapping):
        a_slice_is_the_model_with_its_features_masked(family, x, masked)
    return training_sweep_and_export(folder, family, data, **training)


def middle(layout: Layout) -> dict[str, int]:
    """A size between the smallest and the full one, of each width."""
    return {name: max(w.lower, (w.full + 1) // 2) for name, w in layout.widths.items()}


def forgetting_one_dimension_is_noticed(family: Family, x: torch.Tensor) -> None:
    """A layout that says of any one dimension of a matrix that no width owns it fails the check."""
    layout, state = family.layout, family.build().state_dict(keep_vars=True)
    probe = Probe(family._factory, layout, layout.full, (x,), seed=0)
    assert probe.error(layout) <= TOLERANCE
    for name, tensor in layout.tensors.items():
        for dim, axis in enumerate(tensor.axes):
            if axis is None or len(tensor.shape) < 2 or tensor.shape[dim] < 2:
                continue
            axes = (*tensor.axes[:dim], None, *tensor.axes[dim + 1 :])
            tied = {n: replace(layout.tensors[n], axes=axes) for n in state if state[n] is state[name]}
            assert probe.error(Layout(layout.widths, {**layout.tensors, **tied})) > TOLERANCE, (name, dim)


def a_wrong_declaration_is_refused(family: Family, x: torch.Tensor) -> None:
    """Every axis read as shapes suggest, which a person says against what was found."""
    wrong = Family(family._factory._build, **family.layout.widths).declare("*")
    with pytest.raises(LayoutError, match=r"\.declare\("):
        wrong.check(x)


def a_slice_is_the_model_without_the_other_features(family: Family, x: torch.Tensor) -> None:
    """All weights of features above the cutoff at zero, in the full model: the hidden state is masked for good."""
    full, layout = randomise(family.build()).double(), family.layout
    widths = middle(layout)
    state, zeroed = full.state_dict(), {}
    for name, value in state.items():
        place = torch.arange(value.numel()).view(value.shape)
        kept = torch.isin(place, layout.slice_tensor(name, place, widths).reshape(-1))
        is_statistic = name.endswith(("running_mean", "running_var", "num_batches_tracked"))
        zeroed[name] = value if is_statistic else value * kept
    small = family.build(**widths).double().eval()
    small.load_state_dict(layout.slice(state, widths))
    with torch.no_grad():
        wanted = torch.func.functional_call(full, zeroed, (x.double(),), tie_weights=False)
        torch.testing.assert_close(small(x.double()), wanted, rtol=1e-9, atol=1e-9)


def a_slice_is_the_model_with_its_features_masked(
    family: Family, x: torch.Tensor, places: Mapping[str, tuple[int, str]]
) -> None:
    """The full model as it is, but for a mask on each hidden state, as the paper defines it (section 3)."""
    full, layout = randomise(family.build()).double(), family.layout
    widths = middle(layout)

    def mask(dim: int, width: str) -> Callable[..., torch.Tensor]:
        def hook(module: nn.Module, inputs: Any, output: torch.Tensor) -> torch.Tensor:
            each = output.shape[dim] // layout.full[width]
            kept = (torch.arange(output.shape[dim]) < each * widths[width]).double()
            return output * kept.view([-1 if d == dim % output.dim() else 1 for d in range(output.dim())])

        return hook

    small = family.build(**widths).double().eval()
    small.load_state_dict(layout.slice(full.state_dict(), widths))
    for name, place in places.items():
        full.get_submodule(name).register_forward_hook(mask(*place))
    with torch.no_grad():
        torch.testing.assert_close(small(x.double()), full(x.double()), rtol=1e-9, atol=1e-9)


def training_sweep_and_export(folder: Path, family: Family, data: Any, **settings: Any) -> Run:
    """One epoch, every width validated, and a middle width in each format against the model in memory."""
    chosen = recipe("stratified", epochs=1, batch_size=32, lr=0.01)
    run = train(family, data, out=folder / "run", recipe=chosen, progress=False, **settings)
    frame = sweep(run, progress=False, latency=False)
    assert frame["width"].iloc[-1] == max(run.layout.full.values())
    width = int(frame["width"].iloc[(len(frame) - 1) // 2])
    widths = run.widths_at(width)
    scale = run.scale()
    model = load(family, scale, run.weights(), widths, run.statistics(widths))
    x = run.examples()["x"].astype(np.float32)
    with torch.no_grad():
        wanted = model(torch.from_numpy(x)).numpy()
        on_test = model(torch.from_numpy(run.dataset.test.x).float()).numpy()
    if run.task.classes:
        assert (run.predicted(width) == on_test.argmax(-1)).mean() > 0.9  # near ties may fall either way
    for format in FORMATS:
        found = scores_of(export(run, width, format, family=family).data, format, family, widths, x)
        assert found.shape == wanted.shape
        off = np.abs(found - wanted).max() / np.abs(wanted).max()
        assert off < 1e-5, (format, off)
    return run


def scores_of(data: bytes, format: str, family: Family, widths: Mapping[str, int], x: np.ndarray) -> np.ndarray:
    """What an exported file gives on `x`, each read by the library that its users have."""
    if format == "onnx":
        return run_onnx(data, x)
    if format == "pt2":
        module = torch.export.load(io.BytesIO(data)).module()
    else:
        from safetensors.torch import load as read

        module = family.build(**widths)
        module.load_state_dict(read(data))
        module.eval()
    with torch.no_grad():
        return module(torch.from_numpy(x)).numpy()
