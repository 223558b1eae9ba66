"""Calls of the user's factory: for real weights or for shapes alone, with its failures as one-sentence errors."""

from __future__ import annotations

import inspect
import itertools
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from core.elastic.layout import Width
from core.errors import LayoutError, UserError

if TYPE_CHECKING:
    import torch
    from torch import nn

# a sibling has no weights, but takes 3 to 4 kB for each module inside it
MODULES_KEPT, SIBLINGS_KEPT = 16_384, 64  # at most so many modules in all, but at least so many siblings


class Factory:
    """The user's function from widths to modules, and the range of each width."""

    def __init__(self, build: Callable[..., nn.Module], widths: Mapping[str, Width]) -> None:
        self._build, self._widths = build, widths

    def __call__(self, widths: Mapping[str, int]) -> nn.Module:
        """Build the module at `widths`. Raises UserError, with the factory's own message, where it fails."""
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
            every = ", ".join(f"{name} {w:from}" for name, w in self._widths.items())
            raise UserError(f"the factory fails at {at} ({last_line(error)}); it must build at {every}") from error
        if not isinstance(module, nn.Module):
            raise UserError(f"the factory gives a {type(module).__name__} at {at}; it must return an nn.Module")
        return module

    def real(self, widths: Mapping[str, int]) -> nn.Module:
        """A module with weights, on the CPU; the caller's random state stays untouched."""
        import torch

        with torch.random.fork_rng(devices=[]), torch.device("cpu"):
            return self(widths)

    def shapes(self, widths: Mapping[str, int]) -> nn.Module:
        """A module on the meta device; a factory that reads numbers as it builds is built for real and emptied."""
        import torch

        with torch.random.fork_rng(devices=[]):
            try:
                with torch.device("meta"):
                    return self(widths)
            except UserError:
                return _emptied(self.real(widths))

    def sibling(self, widths: Mapping[str, int]) -> nn.Module:
        """A module to run other weights through: the tensors of its state dict on the meta device, all others real."""
        module = self.shapes(widths)
        return _emptied(self.real(widths)) if _keeps_tensors_aside(module) else module


class SiblingCache:
    """The siblings used last; the least recently used goes first."""

    def __init__(self) -> None:
        self._siblings: OrderedDict[tuple[int, ...], nn.Module] = OrderedDict()
        self._most: int | None = None

    def get(self, key: tuple[int, ...], make: Callable[[], nn.Module]) -> nn.Module:
        """The sibling under `key`, made where it is missing."""
        if key not in self._siblings:
            sibling = self._siblings[key] = make()
            if self._most is None:
                self._most = max(SIBLINGS_KEPT, MODULES_KEPT // sum(1 for _ in sibling.modules()))
            while len(self._siblings) > self._most:
                self._siblings.popitem(last=False)
        self._siblings.move_to_end(key)
        return self._siblings[key]

    def __len__(self) -> int:
        return len(self._siblings)


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


def map_tensors(value: Any, change: Callable[[Any], Any]) -> Any:
    """A nest of tuples, lists and mappings with every tensor replaced by `change(tensor)`; other values stay."""
    import torch

    if isinstance(value, torch.Tensor):
        return change(value)
    if isinstance(value, dict):
        return {key: map_tensors(part, change) for key, part in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(map_tensors(part, change) for part in value))
    if isinstance(value, (tuple, list)):
        return type(value)(map_tensors(part, change) for part in value)
    return value


def first_line(error: Exception) -> str:
    """Type and first line of an error of the user's code."""
    return _line(error, 0)


def last_line(error: Exception) -> str:
    """Type and last line of an error of the user's code: the cause, where a library puts a headline above it."""
    return _line(error, -1)


def _line(error: Exception, which: int) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[which].strip()[:200]}" if lines else type(error).__name__


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
