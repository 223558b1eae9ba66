"""Small runs of every kind for the tests of the explorer, trained for one pass where they are made."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

PICTURE = (12, 20)  # height and width


def trained(out: Path, data: Any, family: Any, **settings: Any) -> Path:
    """A swept run after a pass or a few over little data."""
    from core import sweep, train
    from core.elastic.recipes.registry import recipe

    how = recipe("stratified", **{"epochs": 1, "batch_size": 32, "lr": 0.02, **settings})
    run = train(family, data, out=out, recipe=how, progress=False)
    sweep(run, latency=False, progress=False)
    return out


def mlp(data: Any, hidden: int = 12) -> Any:
    from core import models

    return models.family("mlp", inputs=data.features, outputs=data.classes, hidden=hidden)


def numbers_run(out: Path, *, outputs: int = 1, size: float = 1.0, columns: bool = True, n: int = 240) -> Path:
    """Regression; what is predicted is of the order of `size`."""
    from core.data import from_arrays

    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 5)).astype(np.float32)
    y = size * (x @ rng.normal(size=(5, outputs)) + 0.1 * rng.normal(size=(n, outputs)))
    names = [f"column {k}" for k in range(5)] if columns else ()
    data = from_arrays(x, y, task="regression", labels=[f"<b>amount {k}" for k in range(outputs)], columns=names)
    return trained(out, data, mlp(data), epochs=6)


def picture_run(out: Path) -> Path:
    """A picture of `PICTURE` pixels: colours that change along rows and columns, with a dark square."""
    from core.data import from_arrays

    rows, columns = np.indices(PICTURE)
    colours = np.stack([rows / PICTURE[0], columns / PICTURE[1], 0.5 + 0 * rows], axis=-1).astype(np.float32)
    colours[3:7, 5:9] = 0.0
    x, y = np.stack([rows, columns], axis=-1).reshape(-1, 2).astype(np.float32), colours.reshape(-1, 3)
    data = from_arrays(x, y, task="image", test_arrays=(x, y), labels=["red", "green", "blue"], name="square")
    return trained(out, dataclasses.replace(data, picture=PICTURE), mlp(data), epochs=8)


def classes_run(out: Path, shape: tuple[int, ...], kind: str, family: Any = None, classes: int = 3) -> Path:
    """Classes of noisy examples of any shape."""
    from core.data import from_arrays

    rng = np.random.default_rng(0)
    y = np.arange(180) % classes
    x = (rng.normal(0, 1, (classes, *shape))[y] + rng.normal(0, 1, (180, *shape))).astype(np.float32)
    data = from_arrays(x, [f"kind {k}" for k in y], kind=kind)
    return trained(out, data, family or mlp(data))


def batch_norm_family() -> Any:
    """A convolutional net whose batch statistics differ from size to size; more sizes than are measured."""
    from torch import nn

    from core import Family

    def build(channels: int) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(1, channels, 3),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Linear(4 * channels, 3),
        )

    return Family(build, channels=80)
