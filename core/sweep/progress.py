"""Checkpoint of an interrupted sweep."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.utils import files
from core.utils.fingerprint import fingerprint

if TYPE_CHECKING:
    from core.sweep.evaluator import Scores

SAVE_SECONDS = 5.0  # at most so much work is lost to a kill


class Partial:
    """Scores so far, in one file that belongs to one set of weights, data and widths."""

    def __init__(self, path: Path, note: Mapping[str, Any]) -> None:
        self.path, self.key = path, json.dumps(note, sort_keys=True)
        self._kept: dict[str, Scores] = {}
        self._saved_at = time.monotonic()
        self._saved = self._read()

    def restore(self, name: str, empty: Scores) -> Scores:
        """Return the saved scores of a part of the data; `empty` where there are none."""
        rows = int(self._saved.get(f"{name}.rows", np.zeros(1))[0])
        if rows:
            empty.predictions[:rows] = self._saved[f"{name}.predictions"]
            empty.loss[:] = self._saved[f"{name}.loss"]
            empty.rows = rows
        self._kept[name] = empty
        return empty

    def keep(self, name: str, scores: Scores, *, at_once: bool = False) -> None:
        """Save all scores, every `SAVE_SECONDS` or with `at_once`. Raises RunError."""
        self._kept[name] = scores
        if time.monotonic() - self._saved_at < SAVE_SECONDS and not at_once:
            return
        from safetensors.numpy import save

        tensors = {}
        for part, state in self._kept.items():
            tensors[f"{part}.rows"] = np.array([state.rows], np.int64)
            tensors[f"{part}.predictions"] = state.predictions[: state.rows]
            tensors[f"{part}.loss"] = state.loss
        files.write_bytes(self.path, save(tensors, {"key": self.key, "sha256": fingerprint(tensors)}), parents=False)
        self._saved_at = time.monotonic()

    def _read(self) -> dict[str, np.ndarray]:
        from safetensors import safe_open

        if not self.path.exists():
            return {}
        try:
            with safe_open(self.path, framework="numpy") as file:
                note = file.metadata() or {}
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        except Exception:  # it only saves time: a part that can't be read is computed again
            return {}
        return arrays if note.get("key") == self.key and note.get("sha256") == fingerprint(arrays) else {}
