"""Small data, families and recipes for the tests of training, sweep and store."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np

from core import Family, Run, sweep, train
from core.data import Dataset, from_arrays
from core.elastic.recipes.base import Recipe
from core.elastic.recipes.registry import recipe

SETTINGS = {"epochs": 3, "batch_size": 24, "lr": 0.02}
RECIPES = {
    "paper": recipe("paper", **SETTINGS),
    # as on large data; of a width of 8, a half leaves three bands
    "stratified": recipe("stratified", whole_batch=False, own_below=0.5, **SETTINGS),
    "whole batch": recipe("stratified", whole_batch=True, **SETTINGS),
    "sandwich": recipe("sandwich", **SETTINGS),
    "distil": recipe("sandwich", distil=True, **SETTINGS),
}

LONG = recipe("stratified", whole_batch=False, own_below=0.5, **{**SETTINGS, "epochs": 12})


def clusters(
    shape: tuple[int, ...] = (6,), classes: int = 3, n: int = 160, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Examples around one point for each class: x (n, *shape) float32, y (n,)."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % classes
    return (rng.normal(0, 2, (classes, *shape))[y] + rng.normal(0, 1, (n, *shape))).astype(np.float32), y


def small_data(**settings: Any) -> Dataset:
    return from_arrays(*clusters(**settings))


def small_family(hidden: int = 8, inputs: int = 6, outputs: int = 3, dropout: bool = False) -> Family:
    """A person's own factory with a hidden layer for each of two widths, and dropout that draws random numbers."""

    def build(first: int, second: int) -> Any:
        from torch import nn

        last = [nn.Dropout(0.2)] if dropout else []
        return nn.Sequential(
            nn.Linear(inputs, first), nn.ReLU(), nn.Linear(first, second), nn.Tanh(), *last, nn.Linear(second, outputs)
        )

    return Family(build, first=hidden, second=hidden)


def small_run(out: Path, kind: str = "stratified", *, swept: bool = False, **settings: Any) -> Run:
    """A trained run, with metrics and predictions where `swept`."""
    run = train(small_family(), small_data(), out=out, recipe=RECIPES[kind], progress=False, **settings)
    if swept:
        sweep(run, latency=False, progress=False)
    return run


def weights_of(run: Run) -> bytes:
    """The weights' file, byte for byte."""
    return (run.path / "model.safetensors").read_bytes()


def told(run: Run) -> dict[str, Any]:
    """What run.json says, but for what differs between two equal trainings: seconds and the date."""
    plain = copy.deepcopy(run.record.to_json())
    del plain["created"], plain["training"]["seconds"]
    return plain


def left_in(folder: Path) -> list[str]:
    """Everything in a folder, hidden files included."""
    return sorted(path.name for path in folder.iterdir())


__all__ = [
    "LONG", "RECIPES", "SETTINGS", "Recipe", "clusters", "left_in", "small_data", "small_family", "small_run", "told",
    "weights_of",
]  # fmt: skip
