"""An interrupted training on disk: weights, optimiser and random state in one safetensors file, and how far it was."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from core import files
from core.errors import RunError
from core.runs import UNFINISHED

STATE = "checkpoint.safetensors"


@dataclass
class Progress:
    """How far a training is, and what it has seen on the way."""

    step: int = 0
    seconds: float = 0.0
    history: list[dict[str, Any]] = field(default_factory=list)


def folder(out: Path) -> Path:
    """Where the training of run `out` is kept until it is finished."""
    return out.with_name(out.name + UNFINISHED)


def save(out: Path, model: nn.Module, optimizer: torch.optim.Optimizer, progress: Progress, plan: str) -> None:
    """Write the whole state, or leave the last one as it was. `plan` identifies the training it belongs to."""
    from safetensors.torch import save as to_bytes

    tensors = {f"model.{name}": value.detach().cpu().contiguous() for name, value in model.named_parameters()}
    tensors |= {f"model.{name}": value.detach().cpu().contiguous() for name, value in model.named_buffers()}
    for index, state in optimizer.state_dict()["state"].items():
        for name, value in state.items():
            tensors[f"adam.{index}.{name}"] = torch.as_tensor(value).detach().cpu().contiguous()
    tensors["rng.cpu"] = torch.get_rng_state()
    if torch.cuda.is_available():
        tensors["rng.cuda"] = torch.cuda.get_rng_state()
    note = {"plan": plan, "step": progress.step, "seconds": progress.seconds, "history": progress.history}
    files.write_bytes(folder(out) / STATE, to_bytes(tensors, {"training": json.dumps(note)}))


def restore(out: Path, model: nn.Module, optimizer: torch.optim.Optimizer, plan: str) -> Progress | None:
    """Put a saved state back; None where none was saved. Raises RunError for a damaged one or another training's."""
    from safetensors import SafetensorError, safe_open

    path = folder(out) / STATE
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            note = json.loads((file.metadata() or {})["training"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise RunError(f"checkpoint {path} can't be read ({error}); start again with --overwrite") from None
    if note["plan"] != plan:
        raise RunError(
            f"checkpoint {path} belongs to a training with other settings, data or seed; "
            "repeat the command it was started with, or start anew with --overwrite"
        )
    device = next(model.parameters()).device
    own = {name.removeprefix("model."): value for name, value in tensors.items() if name.startswith("model.")}
    model.load_state_dict(own, strict=False)
    saved = optimizer.state_dict()
    for key, value in tensors.items():
        if key.startswith("adam."):
            _, index, name = key.split(".", 2)
            saved["state"].setdefault(int(index), {})[name] = value.to(device) if value.dim() else value
    optimizer.load_state_dict(saved)
    torch.set_rng_state(tensors["rng.cpu"])
    if "rng.cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["rng.cuda"])
    return Progress(int(note["step"]), float(note["seconds"]), list(note["history"]))
