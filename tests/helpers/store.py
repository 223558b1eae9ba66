"""Reading all of a run, and changing its run.json."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from core import Run


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change run.json in place."""
    plain = json.loads((path / "run.json").read_text())
    change(plain)
    (path / "run.json").write_text(json.dumps(plain))


def read_all(path: Path) -> Run:
    """Everything a run can be asked for."""
    run = Run(path)
    run.metrics()
    run.predictions()
    run.predictions(1, 8)
    run.latency()
    run.examples()
    run.weights()
    run.slice(first=3, second=2)
    run.slice()
    assert run.stamp
    return run
