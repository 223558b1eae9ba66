"""Calling a user's factory: for real, or for its shapes alone; and saying plainly what went wrong there."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from core.elastic.layout import Width
from core.errors import LayoutError, UserError

if TYPE_CHECKING:
    import torch
    from torch import nn


class Factory:
    """A function from widths to modules, and the widths that it is asked for."""

    def __init__(self, build: Callable[..., nn.Module], widths: Mapping[str, Width]) -> None:
        self._build, self._widths = build, widths

    def __call__(self, widths: Mapping[str, int]) -> nn.Module:
        """The module at `widths`; whatever goes wrong in the factory comes back as a UserError that names them."""
        from torch import nn

        at = ", ".join(f"{name}={size}" for name, size in widths.items())
        try:
            inspect.signature(self._build).bind(**widths)
        except TypeError as error:
            raise UserError(f"the factory can't be called with {at} by name ({error})") from error
        except ValueError:
            pass  # no signature to look at
        try:
            module = self._build(**widths)
        except UserError:
            raise
        except Exception as error:
            every = ", ".join(f"{name} from {w.lower} to {w.full}" for name, w in self._widths.items())
            raise UserError(f"the factory fails at {at} ({reason(error)}); it must build at {every}") from error
        if not isinstance(module, nn.Module):
            raise UserError(f"the factory gives a {type(module).__name__} at {at}; it must return an nn.Module")
        return module

    def aside(self, widths: Mapping[str, int]) -> nn.Module:
        """A real module on the CPU, built without touching the random numbers of whatever goes on around it."""
        import torch

        with torch.random.fork_rng(devices=[]), torch.device("cpu"):
            return self(widths)

    def shapes(self, widths: Mapping[str, int]) -> nn.Module:
        """The module on the meta device; a factory that looks at numbers as it builds is built and emptied."""
        import torch

        with torch.random.fork_rng(devices=[]):
            try:
                with torch.device("meta"):
                    return self(widths)
            except UserError:
                return _emptied(self.aside(widths))

    def sibling(self, widths: Mapping[str, int]) -> nn.Module:
        """A module to run other weights through: the tensors of its state dict on the meta device, the rest real."""
        module = self.shapes(widths)
        return _emptied(self.aside(widths)) if _keeps_tensors_aside(module) else module


def named_tensors(module: nn.Module) -> dict[str, torch.Tensor]:
    """Every tensor of the state dict by name, tied ones under each of their names."""
    import torch

    state = module.state_dict(keep_vars=True)
    for name, value in state.items():
        if not isinstance(value, torch.Tensor):
            raise LayoutError(f"{name!r} in the model's state dict is a {type(value).__name__}, not a tensor")
        if torch.nn.parameter.is_lazy(value):
            raise LayoutError(f"tensor {name!r} has no shape before a first batch; a factory must give every size")
    return dict(state)


def reason(error: Exception) -> str:
    """An error of somebody else's code in one line."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__


def _keeps_tensors_aside(module: nn.Module) -> bool:
    """Whether there are tensors without numbers that no state dict will fill: buffers not persistent, attributes."""
    import torch

    kept = {id(value) for value in module.state_dict(keep_vars=True).values()}
    places = itertools.chain(*((*vars(part).values(), *part._buffers.values()) for part in module.modules()))
    return any(isinstance(value, torch.Tensor) and value.is_meta and id(value) not in kept for value in places)


def _emptied(module: nn.Module) -> nn.Module:
    """The module with every tensor of its state dict on the meta device, tied ones still tied; the rest untouched."""
    from torch import nn

    kept = {id(value) for value in module.state_dict(keep_vars=True).values()}
    empty: dict[int, Any] = {}
    for part in module.modules():
        for tensors in (part._parameters, part._buffers):
            for name, value in tensors.items():
                if value is None or id(value) not in kept:
                    continue
                if id(value) not in empty:
                    meta = value.detach().to("meta")
                    is_parameter = isinstance(value, nn.Parameter)
                    empty[id(value)] = nn.Parameter(meta, value.requires_grad) if is_parameter else meta
                tensors[name] = empty[id(value)]
    return module
