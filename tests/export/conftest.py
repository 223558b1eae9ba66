"""Small runs of several shapes, trained once a session, and the models that they must leave as."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import load_file

from core import Family, Run, sweep, train
from core.data import from_arrays, load
from core.elastic.recipes.registry import recipe
from core.models import family as named_family


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Small models are faster so, and processes beside each other much faster."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


SAMPLES = Path(__file__).parents[2] / "sample_checkpoints"
HOSTILE = ("a|b", "line\nbreak", "`code`", "<script>alert(1)</script>", "\x1b[31mred", "[x](http://evil.example)")


def mlp(data, **settings) -> Family:
    return named_family("mlp", inputs=data.features, outputs=data.classes, **settings)


def trained(folder: Path, family: Family, data, name: str, **settings) -> Run:
    run = train(family, data, out=folder / name, recipe=recipe(name, epochs=3, **settings), progress=False)
    sweep(run, latency=False, progress=False)
    return run


def clusters(shape: tuple[int, ...], classes: int = 4, n: int = 240) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(7)
    middles = rng.normal(0, 3, (classes, *shape))
    y = rng.integers(0, classes, n)
    return (middles[y] + rng.normal(0, 1, (n, *shape))).astype(np.float32), y


def _digits(folder: Path) -> Run:
    data = load("digits")
    # a width of 24 leaves bands of 9 to 11, 6 to 8, 5, 4, 3, 2 and 1
    return trained(folder, mlp(data, hidden=24, layers=2), data, "stratified", alpha=0.5, own_below=0.5)


def _image(folder: Path) -> Run:
    data = from_arrays(*clusters((3, 5, 4), classes=len(HOSTILE)), labels=HOSTILE, kind="image")
    return trained(folder, mlp(data, hidden=9, layers=1, lower=2), data, "sandwich", alpha=0.7)


def _table(folder: Path) -> Run:
    x, y = clusters((5,))
    data = from_arrays(x, [f"kind {k}" for k in y], columns=[f"column {k}" for k in range(5)])
    return trained(folder, mlp(data, hidden=12, layers=3, each_layer=True), data, "paper")


MAKERS: dict[str, Callable[[Path], Run]] = {"digits": _digits, "image": _image, "table": _table}


@pytest.fixture(scope="session")
def run_of(tmp_path_factory):
    """A trained run by name; made when it is first asked for."""
    made: dict[str, Run] = {}

    def get(name: str) -> Run:
        if name not in made:
            made[name] = MAKERS[name](tmp_path_factory.mktemp(name))
        return made[name]

    return get


@pytest.fixture(scope="session")
def own_run(tmp_path_factory):
    """A run of a person's own factory: no chain, a scalar parameter, a norm. Opened again, so its factory is gone."""
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self, hidden: int) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(6, hidden), nn.Linear(hidden, 4)
            self.second = nn.Linear(hidden, hidden)
            self.heat = nn.Parameter(torch.tensor(1.5))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            h = torch.relu(self.first(x))
            return self.last(h + torch.tanh(self.second(h))) * self.heat

    family = Family(Net, hidden=10)
    run = train(family, clusters((6,)), out=tmp_path_factory.mktemp("own") / "own", progress=False)
    sweep(run, latency=False, progress=False)
    return SimpleNamespace(run=Run(run.path), family=family, data=run.dataset)


def reference(run: Run, widths: dict[str, int], x: np.ndarray) -> np.ndarray:
    """Scores of an MLP's width from the numbers in its file by the formulas; nothing of core's slicing."""
    file, alpha = load_file(run.path / "model.safetensors"), run.record.scale["alpha"]
    sizes = [*widths.values()] * (run.record.family["settings"]["layers"] // len(widths))
    full, prefix = run.record.family["settings"]["hidden"], ""
    for _, top in run.record.scale.get("bands", []):  # from wide to narrow
        if max(sizes) <= top:
            full, prefix = top, f"bands/{top}/"
    weights = {name.removeprefix(prefix): value for name, value in file.items() if name.startswith(prefix)}
    h = x.reshape(len(x), -1).astype(np.float64) * weights["1.scale"] + weights["1.shift"]
    rows = [*sizes, len(run.record.labels)]
    for k, size in enumerate(rows):
        weight = weights[f"{2 + 2 * k}.weight"][:size, : h.shape[1]].astype(np.float64)
        factor = (full / sizes[k - 1]) ** alpha if k else 1.0
        h = factor * h @ weight.T + weights[f"{2 + 2 * k}.bias"][:size]
        if k < len(sizes):
            h = np.where(h > 0, h, 0.01 * h)
    return h


def off(actual: np.ndarray, expected: np.ndarray) -> float:
    """Largest difference, relative to the largest score."""
    assert actual.shape == expected.shape
    return float(np.abs(actual - expected).max() / np.abs(expected).max())


@pytest.fixture(scope="session")
def measure():
    """`reference` and `off`, which test files can't import from here."""
    return SimpleNamespace(reference=reference, off=off)
