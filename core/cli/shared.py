"""Arguments and helpers that several commands share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from core.runs.run import Run

RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run, such as runs/digits.")]
DataDir = Annotated[Path | None, typer.Option(help="Folder of the data's files; where solids and openml keep theirs.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress bars.")]


def open_run(path: Path) -> Run:
    """Open the run that an argument names. Raises RunError."""
    from core.runs.run import Run

    return Run(path if path.name not in ("", "..") else path.resolve())  # `.` is a run with a name too


@contextmanager
def hint_on_stop(hint: str) -> Iterator[None]:
    """Tell after Ctrl-C how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"stopped; {hint}") from None
