"""Output-layer refit: the last layer of one width solved anew on frozen features. Convex, so a matter of seconds.

Classes: multinomial logistic regression by L-BFGS. Numbers: ridge regression in closed form. Both are drawn towards
the layer that is there, and how strongly is chosen on validation rows; where nothing is better there, it stays.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.elastic.family import Family
from core.errors import UserError
from core.finetune.subnet_run import ROWS, Slice, slice_of
from core.runs.run import Run
from core.utils.signals import Interrupted, stop_requests

if TYPE_CHECKING:
    import torch
    from torch import nn

    from core.data import Dataset

STRENGTHS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5)  # of the pull towards the layer that is there, relative to the features
MOST_ITERATIONS = 25  # of L-BFGS for each strength, from the solution of the one before
MOST_FEATURES = 2**31  # bytes of the features of all training rows, which are held at once


def refit(
    run: Run | Path | str,
    width: int,
    *,
    data: Dataset | tuple[Any, Any] | None = None,
    family: Family | None = None,
    keep: bool = True,
    progress: bool = True,
) -> dict[str, Any]:
    """Solve the output layer anew for the model at `width`, and keep it with the run as a point of its own.

    Never worse on validation rows than the slice. Arguments, what comes back and what is raised are those of
    `core.finetune.polish.polish`; UserError too where no linear layer gives the model's output.
    """
    run = run if isinstance(run, Run) else Run(Path(run))
    with stop_requests() as stopped:
        begun = slice_of(run, width, data, family)
        started = time.monotonic()
        layer = output_layer(begun)
        state, strength = _solve(begun, layer, progress=progress, stopped=stopped)
        told = {"method": "refit", "epochs": 0, "learning_rate": 0.0, "strength": strength}
        told |= {"seconds": round(time.monotonic() - started, 2)}
        return begun.finish(state, told, keep=keep)


def output_layer(begun: Slice) -> nn.Linear:
    """The linear layer whose output is the model's own, found by running it. Raises UserError where there is none."""
    import torch
    from torch import nn

    seen: list[tuple[nn.Linear, torch.Tensor, int]] = []

    def note(part: nn.Module, inputs: Any, output: torch.Tensor) -> None:
        assert isinstance(part, nn.Linear)
        seen.append((part, output, output.dim()))

    linear = [part for part in begun.module.modules() if isinstance(part, nn.Linear)]
    hooks = [part.register_forward_hook(note) for part in linear]
    try:
        with torch.no_grad():
            output = begun.module(torch.from_numpy(begun.data.train.x[:2]).float())
    finally:
        for hook in hooks:
            hook.remove()
    calls = [part for part, _, _ in seen]
    found = [part for part, out, dims in seen if out is output and dims == 2]
    names = [name for name, _ in begun.module.named_parameters(remove_duplicate=False)]
    tied = len(names) != len(list(begun.module.parameters()))
    if len(found) != 1 or calls.count(found[0]) != 1 or (tied and _shared(begun.module, found[0])):
        raise UserError(
            f"the output of run {begun.run.id} does not come from one linear layer of its own, so there is none to "
            f"refit; polish it: python -m core polish {begun.run.path} --width {begun.width}"
        )
    return found[0]


def _shared(module: nn.Module, layer: nn.Linear) -> bool:
    """Whether another part of the model uses the layer's weights."""
    own = {id(p) for p in layer.parameters()}
    places = [p for _, p in module.named_parameters(remove_duplicate=False) if id(p) in own]
    return len(places) > len(own)


def _solve(
    begun: Slice, layer: nn.Linear, *, progress: bool, stopped: Callable[[], bool]
) -> tuple[dict[str, Any], float | None]:
    """The best state by validation, and the strength that gave it; None where the old layer stays."""
    import torch
    from tqdm import tqdm

    x, y = _features(begun, layer, stopped), torch.from_numpy(np.array(begun.data.train.y))
    old: Layer = layer.weight.detach().clone(), None if layer.bias is None else layer.bias.detach().clone()
    best, kept = begun.before["validation"], old
    chosen: float | None = None
    begin, fit = old, _logistic if begun.run.task.classes else _ridge
    shown = f"refitting width {begun.width}"
    for strength in tqdm(STRENGTHS, disable=not progress, unit="fit", desc=shown, dynamic_ncols=True):
        if stopped():
            raise Interrupted("stopped; the run is as it was: the same command refits from the start")
        found = fit(x, y, old, begin, strength * float(x.square().mean()))
        if not all(part is None or bool(torch.isfinite(part).all()) for part in found):
            continue
        begin = found
        _put(layer, found)
        judged = begun.judge("validation")
        if begun.better(judged, best):
            best, kept, chosen = judged, found, strength
    _put(layer, kept)
    return {name: value.clone() for name, value in begun.module.state_dict().items()}, chosen


Layer = tuple["torch.Tensor", "torch.Tensor | None"]  # weight and bias


def _put(layer: nn.Linear, found: Layer) -> None:
    import torch

    with torch.no_grad():
        layer.weight.copy_(found[0])
        if found[1] is not None:
            layer.bias.copy_(found[1])


def _features(begun: Slice, layer: nn.Linear, stopped: Callable[[], bool]) -> torch.Tensor:
    """What the layer is given for every training row: (n, features)."""
    import torch

    n = begun.data.train.n
    if n * layer.in_features * 4 > MOST_FEATURES:
        raise UserError(f"the features of {n:,} examples would not fit in memory; polish the model instead")
    found: list[torch.Tensor] = []
    hook = layer.register_forward_pre_hook(lambda part, inputs: found.append(inputs[0].clone()))
    try:
        with torch.no_grad():
            for first in range(0, n, ROWS):
                if stopped():
                    raise Interrupted("stopped; the run is as it was: the same command refits from the start")
                begun.module(torch.from_numpy(np.array(begun.data.train.x[first : first + ROWS])).float())
    finally:
        hook.remove()
    return torch.cat(found)


def _logistic(x: torch.Tensor, y: torch.Tensor, old: Layer, begin: Layer, pull: float) -> Layer:
    """Logistic regression from `begin`, drawn towards the layer that is there."""
    import torch
    from torch.nn import functional as F

    weight, bias = (None if part is None else part.clone().requires_grad_() for part in begin)
    assert weight is not None
    free = [weight] if bias is None else [weight, bias]
    optimizer = torch.optim.LBFGS(free, max_iter=MOST_ITERATIONS, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(F.linear(x, weight, bias), y) + pull * (weight - old[0]).square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return weight.detach(), None if bias is None else bias.detach()


def _ridge(x: torch.Tensor, y: torch.Tensor, old: Layer, begin: Layer, pull: float) -> Layer:
    """Ridge regression of what the old layer leaves unexplained, in closed form (`begin` is not needed), in double."""
    import torch

    rows = x.double()
    left = y.double() - torch.nn.functional.linear(rows, old[0].double(), None if old[1] is None else old[1].double())
    mean, offset = (rows.mean(0), left.mean(0)) if old[1] is not None else (rows.new_zeros(()), left.new_zeros(()))
    rows, left = rows - mean, left - offset
    gram = rows.T @ rows / len(rows) + pull * torch.eye(rows.shape[1], dtype=rows.dtype)
    change = torch.linalg.solve(gram, rows.T @ left / len(rows)).T  # (outputs, features)
    bias = None if old[1] is None else (old[1] + (offset - change @ mean)).float()
    return (old[0] + change).float(), bias
