"""Adam with decoupled weight decay, in as few calls as it takes. Imports torch.

Of a tiny network, what `torch.optim` does around a step costs several times its numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch


class Adam(torch.optim.AdamW):
    """`torch.optim.AdamW(fused=True)`: the same numbers and the same state. Hooks of a step are not called."""

    def __init__(self, groups: Sequence[dict[str, Any]], lr: float) -> None:
        super().__init__(groups, lr=lr, fused=True)
        self._counts: dict[int, torch.Tensor] = {}  # of each group, the steps of all its parameters

    def __setstate__(self, state: dict[str, Any]) -> None:
        """As torch does for a copy and for a state that is loaded."""
        super().__setstate__(state)
        self._counts = {}

    def step(self, closure: None = None) -> None:  # type: ignore[override]  # no loss is asked for
        """One step of all parameters that have a gradient."""
        with torch.no_grad():
            for number, group in enumerate(self.param_groups):
                moved = [p for p in group["params"] if p.grad is not None]
                if not moved:
                    continue
                states = [self.state[p] or self._begun(p) for p in moved]
                steps = [state["step"] for state in states]
                if len(moved) == len(group["params"]):
                    self._count(number, states, steps)
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
        state["step"] = torch.zeros((), device=parameter.device)
        state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
        return state

    def _count(self, group: int, states: Sequence[dict[str, torch.Tensor]], steps: list[torch.Tensor]) -> None:
        """Add 1 to all steps of a group: they are views of one tensor, since each call costs as much as the numbers."""
        known = self._counts.get(group)
        if known is None or steps[0]._base is not known:  # a state that was loaded has its own
            known = self._counts[group] = torch.stack(steps)
            steps[:] = known.unbind()
            for state, step in zip(states, steps, strict=True):
                state["step"] = step
        known.add_(1)
