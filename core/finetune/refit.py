"""Refit: solve the output layer of one width anew on frozen features, a convex problem of seconds.

Classes: multinomial logistic regression by L-BFGS. Numbers: ridge regression in closed form. Both are regularised
towards the layer's present weights, with a strength chosen by validation; where no strength is better, they stay.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.errors import UserError
from core.finetune.subnet_run import ROWS, SubnetRun, copied_state, open_subnet
from core.runs.run import Run
from core.utils.signals import Interrupted, stop_requests

if TYPE_CHECKING:
    import torch
    from torch import nn

    from core.data.dataset import Dataset
    from core.elastic.family import Family

    Layer = tuple[torch.Tensor, torch.Tensor | None]  # weight (outputs, features) and bias (outputs,)

STRENGTHS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5)  # of the regularisation, relative to the features' mean square
MOST_ITERATIONS = 25  # of L-BFGS for each strength, from the previous strength's solution
MOST_FEATURE_BYTES = 2**31  # the features of all training rows are held at once


def refit(
    run: Run | Path | str,
    width: int,
    *,
    data: Dataset | tuple[Any, Any] | None = None,
    family: Family | None = None,
    keep: bool = True,
    progress: bool = True,
) -> dict[str, Any]:
    """Solve the output layer of the model at `width` anew, never worse by validation, and keep it with the run.

    Parameters
    ----------
    run
        A run, or its folder. Its own files stay as they are.
    width
        Width of the sweep.
    data, family
        As in `sweep`: needed only where they can't be rebuilt from the run.
    keep
        Whether to store the point with the run, in place of an earlier one of that width.
    progress
        Whether to show a progress bar.

    Returns
    -------
    dict
        The point's row, as in `Run.polished`.

    Raises
    ------
    UserError
        For data that are not the run's, or a model whose output does not come from one linear layer.
    RunError
        Where the run can't be read or written.
    Interrupted
        After Ctrl-C; nothing is stored then.
    """
    run = run if isinstance(run, Run) else Run(Path(run))
    with stop_requests() as stopped:
        subnet = open_subnet(run, width, data, family)
        started = time.monotonic()
        layer = output_layer(subnet)
        state, strength = _solve(subnet, layer, progress=progress, stopped=stopped)
        made = {"method": "refit", "epochs": 0, "learning_rate": 0.0, "strength": strength}
        made |= {"seconds": round(time.monotonic() - started, 2)}
        return subnet.finish(state, made, keep=keep)


def output_layer(subnet: SubnetRun) -> nn.Linear:
    """Return the linear layer whose output is the model's own, found by a forward pass.

    Raises UserError where there is none, or it is used twice or shares its weights.
    """
    import torch
    from torch import nn

    calls: list[tuple[nn.Module, torch.Tensor]] = []
    linear = [part for part in subnet.module.modules() if isinstance(part, nn.Linear)]
    hooks = [part.register_forward_hook(lambda part, inputs, out: calls.append((part, out))) for part in linear]
    try:
        with torch.no_grad():
            output = subnet.module(torch.from_numpy(subnet.data.train.x[:2]).float())
    finally:
        for hook in hooks:
            hook.remove()
    used = [part for part, _ in calls]
    last = [part for part, out in calls if out is output and out.dim() == 2]
    layer = last[0] if len(last) == 1 and used.count(last[0]) == 1 else None
    if not isinstance(layer, nn.Linear) or _shares_weights(subnet.module, layer):
        raise UserError(
            f"the output of run {subnet.run.id} does not come from one linear layer of its own, so there is none to "
            f"refit; polish it: python -m core polish {subnet.run.path} --width {subnet.width}"
        )
    return layer


def _shares_weights(module: nn.Module, layer: nn.Linear) -> bool:
    """Whether another part of the model uses the layer's weights."""
    own = {id(p) for p in layer.parameters()}
    return sum(id(p) in own for _, p in module.named_parameters(remove_duplicate=False)) > len(own)


def _solve(
    subnet: SubnetRun, layer: nn.Linear, *, progress: bool, stopped: Callable[[], bool]
) -> tuple[dict[str, Any], float | None]:
    """Return the best state by validation, and its strength; None where the present layer stays."""
    import torch
    from tqdm import tqdm

    x, y = _features(subnet, layer, stopped), torch.from_numpy(np.array(subnet.data.train.y))
    present: Layer = layer.weight.detach().clone(), None if layer.bias is None else layer.bias.detach().clone()
    best, best_layer = subnet.before["validation"], present
    best_strength: float | None = None
    start, fit = present, _logistic if subnet.run.task.classes else _ridge
    title = f"refitting width {subnet.width}"
    for strength in tqdm(STRENGTHS, disable=not progress, unit="fit", desc=title, dynamic_ncols=True):
        if stopped():
            raise Interrupted("stopped; the run is as it was: the same command refits from the start")
        solution = fit(x, y, present, start, strength * float(x.square().mean()))
        if not all(part is None or bool(torch.isfinite(part).all()) for part in solution):
            continue
        start = solution
        _set(layer, solution)
        evaluation = subnet.evaluate("validation")
        if subnet.is_better(evaluation, best):
            best, best_layer, best_strength = evaluation, solution, strength
    _set(layer, best_layer)
    return copied_state(subnet.module), best_strength


def _set(layer: nn.Linear, weights: Layer) -> None:
    import torch

    with torch.no_grad():
        layer.weight.copy_(weights[0])
        if weights[1] is not None:
            layer.bias.copy_(weights[1])


def _features(subnet: SubnetRun, layer: nn.Linear, stopped: Callable[[], bool]) -> torch.Tensor:
    """Return the layer's inputs for every training row, (n, features)."""
    import torch

    n = subnet.data.train.n
    if n * layer.in_features * 4 > MOST_FEATURE_BYTES:
        raise UserError(f"the features of {n:,} examples would not fit in memory; polish the model instead")
    blocks: list[torch.Tensor] = []
    hook = layer.register_forward_pre_hook(lambda part, inputs: blocks.append(inputs[0].clone()))
    try:
        with torch.no_grad():
            for first in range(0, n, ROWS):
                if stopped():
                    raise Interrupted("stopped; the run is as it was: the same command refits from the start")
                subnet.module(torch.from_numpy(np.array(subnet.data.train.x[first : first + ROWS])).float())
    finally:
        hook.remove()
    return torch.cat(blocks)


def _logistic(x: torch.Tensor, y: torch.Tensor, present: Layer, start: Layer, strength: float) -> Layer:
    """Return a logistic regression of y (n,) on x (n, features) from `start`, regularised towards `present`."""
    import torch
    from torch.nn import functional as F

    weight, bias = (None if part is None else part.clone().requires_grad_() for part in start)
    assert weight is not None
    free = [weight] if bias is None else [weight, bias]
    optimizer = torch.optim.LBFGS(free, max_iter=MOST_ITERATIONS, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(F.linear(x, weight, bias), y) + strength * (weight - present[0]).square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return weight.detach(), None if bias is None else bias.detach()


def _ridge(x: torch.Tensor, y: torch.Tensor, present: Layer, start: Layer, strength: float) -> Layer:
    """Return the present layer plus a ridge regression of its residuals (n, outputs), in closed form and float64."""
    import torch

    weight, bias = present
    rows = x.double()
    residual = y.double() - torch.nn.functional.linear(rows, weight.double(), None if bias is None else bias.double())
    mean, offset = (rows.mean(0), residual.mean(0)) if bias is not None else (rows.new_zeros(()), rows.new_zeros(()))
    rows, residual = rows - mean, residual - offset
    gram = rows.T @ rows / len(rows) + strength * torch.eye(rows.shape[1], dtype=rows.dtype)
    change = torch.linalg.solve(gram, rows.T @ residual / len(rows)).T  # (outputs, features)
    return (weight + change).float(), None if bias is None else (bias + (offset - change @ mean)).float()
