"""Adam with decoupled weight decay, in as few calls as it takes. Imports torch.

Of a tiny network, what `torch.optim` does around a step costs several times its numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch


class Adam(torch.optim.AdamW):
    """`torch.optim.AdamW(fused=True)`: the same numbers and the same state. Hooks of a step are not called."""

    def __init__(self, groups: Sequence[dict[str, Any]], lr: float) -> None:
        super().__init__(groups, lr=lr, fused=True)

    def step(self, closure: None = None) -> None:  # type: ignore[override]  # no loss is asked for
        """One step of all parameters that have a gradient."""
        with torch.no_grad():
            for group in self.param_groups:
                moved = [p for p in group["params"] if p.grad is not None]
                if not moved:
                    continue
                states = [self.state[p] or self._begun(p) for p in moved]
                steps = [state["step"] for state in states]
                if len(moved) == len(group["params"]):
                    _count(states, steps)
                else:
                    torch._foreach_add_(steps, 1)
                beta1, beta2 = group["betas"]
                torch._fused_adamw_(
                    moved,
                    [p.grad for p in moved],
                    [state["exp_avg"] for state in states],
                    [state["exp_avg_sq"] for state in states],
                    [],
                    steps,
                    lr=group["lr"],
                    beta1=beta1,
                    beta2=beta2,
                    weight_decay=group["weight_decay"],
                    eps=group["eps"],
                    amsgrad=False,
                    maximize=False,
                )

    # `torch.optim` puts a profiler's note and its hooks around a `step` that says nothing of the kind
    step.hooked = True  # type: ignore[attr-defined]

    def _begun(self, parameter: torch.Tensor) -> dict[str, torch.Tensor]:
        """The state of a parameter that has seen no gradient yet."""
        state: dict[str, torch.Tensor] = self.state[parameter]
        state["step"] = torch.zeros((), dtype=torch.float32, device=parameter.device)
        state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
        return state


def groups(
    parameters: Iterable[torch.nn.Parameter], weight_decay: float, spared: torch.nn.Parameter | None = None
) -> list[dict[str, Any]]:
    """An optimiser's groups: matrices alone decay, since to shrink a bias or a gain only shifts a feature.

    `spared` is a matrix that does not.
    """
    found: dict[bool, list[torch.nn.Parameter]] = {True: [], False: []}
    for parameter in parameters:
        found[parameter.dim() > 1 and parameter is not spared].append(parameter)
    return [{"params": part, "weight_decay": weight_decay if decays else 0.0} for decays, part in found.items() if part]


def _count(states: Sequence[dict[str, torch.Tensor]], steps: list[torch.Tensor]) -> None:
    """Add 1 to all steps of a group: they are views of one tensor, since each call costs as much as the numbers."""
    whole = steps[0]._base
    # at first, and in a state that was loaded, which may be parts of anything
    if whole is None or whole.shape != (len(steps),) or any(step._base is not whole for step in steps):
        whole = torch.stack(steps)
        steps[:] = whole.unbind()
        for state, step in zip(states, steps, strict=True):
            state["step"] = step
    whole.add_(1)
