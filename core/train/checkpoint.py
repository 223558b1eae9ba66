"""Checkpoint of an interrupted training: weights, optimiser and random state in one safetensors file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from core.elastic.module import Milestone
from core.errors import RunError
from core.runs.file_names import CHECKPOINT, DIVERGED, UNFINISHED
from core.utils import files

# DIVERGED marks a training whose loss left the numbers: only then may a smaller rate go on from it


@dataclass
class Progress:
    """Progress of a training: steps taken, time, loss and what was watched on the way."""

    lr: float  # peak learning rate of the steps to come
    step: int = 0
    seconds: float = 0.0
    loss: float | None = None  # running mean
    history: list[dict[str, Any]] = field(default_factory=list)
    rates: list[dict[str, Any]] = field(default_factory=list)  # peak rates given up: until which step, and which


def folder(out: Path) -> Path:
    """Folder of the unfinished training of run `out`."""
    return out.with_name(out.name + UNFINISHED)


def exists(out: Path) -> bool:
    """Whether there is an unfinished training to resume."""
    return (folder(out) / CHECKPOINT).exists()


def save(out: Path, model: nn.Module, optimizer: torch.optim.Optimizer, progress: Progress, plan: str) -> None:
    """Write the whole state, or leave the last one as it was. `plan` identifies the training it belongs to.

    Raises RunError where the disk refuses.
    """
    from safetensors.torch import save as to_bytes

    tensors = {f"model.{name}": _own(value) for name, value in _named(model)}
    for index, state in optimizer.state_dict()["state"].items():
        for name, value in state.items():
            tensors[f"adam.{index}.{name}"] = _own(torch.as_tensor(value))
    tensors["rng.cpu"] = torch.get_rng_state()
    if torch.cuda.is_available():
        tensors["rng.cuda"] = torch.cuda.get_rng_state()
    note = json.dumps({"plan": plan, **asdict(progress)})
    files.write_bytes(folder(out) / CHECKPOINT, to_bytes(tensors, {"training": note}))
    (folder(out) / DIVERGED).unlink(missing_ok=True)


def mark_diverged(out: Path) -> None:
    """Mark the training as diverged: from its last state only a smaller rate may go on."""
    files.write_bytes(folder(out) / DIVERGED, b"")


def restore(
    out: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    plan: str,
    lr: float,
    milestones: Sequence[Milestone] = (),
) -> Progress | None:
    """Restore a saved state and return its progress; None where none was saved.

    Milestones that were passed give the model its shapes again. `plan` and the peak rate `lr` must be those of the
    training; after its loss diverged, `lr` may be smaller. Raises RunError for a damaged state or another training's.
    """
    path = folder(out) / CHECKPOINT
    if not exists(out):
        return None
    note, tensors = _read(path)
    try:
        saved_plan, progress = note.pop("plan"), Progress(**note)
        slower = progress.lr > lr and (folder(out) / DIVERGED).exists()
        if saved_plan != plan or not (progress.lr == lr or slower):
            raise RunError(
                f"checkpoint {path} belongs to a training with other settings, data or seed; "
                "repeat the command it was started with, or start anew with --overwrite"
            )
        if slower:
            progress.rates.append({"until_step": progress.step, "lr": progress.lr})
            progress.lr = lr
        for milestone in milestones:
            if progress.step > milestone.step:
                milestone.again(optimizer)
        _put_back(model, optimizer, tensors)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, RuntimeError) as error:
        if isinstance(error, RunError):
            raise
        raise _unreadable(path, error) from None
    return progress


def _read(path: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    from safetensors import safe_open

    try:
        with safe_open(path, framework="pt") as file:
            note = json.loads((file.metadata() or {})["training"])
            return note, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except Exception as error:  # whatever a damaged file does
        raise _unreadable(path, error) from None


def _put_back(model: nn.Module, optimizer: torch.optim.Optimizer, tensors: dict[str, torch.Tensor]) -> None:
    with torch.no_grad():
        for name, value in _named(model):
            value.copy_(tensors[f"model.{name}"])
    device = next(model.parameters()).device
    saved = optimizer.state_dict()
    for key, value in tensors.items():
        if key.startswith("adam."):
            _, index, name = key.split(".", 2)
            saved["state"].setdefault(int(index), {})[name] = value.to(device) if value.dim() else value
    optimizer.load_state_dict(saved)
    torch.set_rng_state(tensors["rng.cpu"])
    if "rng.cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["rng.cuda"])


def _named(model: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Parameters and buffers by name, tied ones once, those outside the state dict too."""
    yield from model.named_parameters()
    yield from model.named_buffers()


def _own(value: torch.Tensor) -> torch.Tensor:
    """On the CPU and in memory of its own, since safetensors refuses tensors that share some."""
    value = value.detach().cpu().contiguous()
    return value if value.untyped_storage().nbytes() == value.nbytes else value.clone()


def _unreadable(path: Path, error: Exception) -> RunError:
    return RunError(f"checkpoint {path} can't be read ({files.first_line(error)}); start again with --overwrite")
