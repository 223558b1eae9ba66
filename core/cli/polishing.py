"""`polish` and `refit`: improve one width of a run by itself; the run stays as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from core.cli.shared import Quiet, RunFolder, open_run
from core.utils.formatting import printable

if TYPE_CHECKING:
    from core.runs.run import Run

WidthToPolish = Annotated[int, typer.Option(help="Units kept in each hidden layer.")]


def polish(
    run: RunFolder,
    width: WidthToPolish,
    epochs: Annotated[int, typer.Option(help="Passes through the training examples.")] = 3,
    lr: Annotated[float | None, typer.Option(help="Peak learning rate; by default from the run's own.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Examples a step; by default from the run's own.")] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same model.")] = 0,
    quiet: Quiet = False,
) -> None:
    """Train one width by itself for a few more epochs, and keep it beside the run.

    Export it with export --polished. The run stays as it is, also after Ctrl-C. Polishing a width again replaces it.

    \b
    Example:
      python -m core polish runs/digits --width 16 --epochs 3
    """
    from core.finetune.polish import polish as polish_width

    opened = open_run(run)
    _report(opened, polish_width(opened, width, epochs, lr=lr, batch_size=batch_size, seed=seed, progress=not quiet))


def refit(run: RunFolder, width: WidthToPolish, quiet: Quiet = False) -> None:
    """Fit the output layer of one width anew, in seconds; never worse on the validation examples.

    It is kept beside the run, and replaces a polished model of that width.

    \b
    Example:
      python -m core refit runs/digits --width 16
    """
    from core.finetune.refit import refit as refit_width

    opened = open_run(run)
    _report(opened, refit_width(opened, width, progress=not quiet))


def _report(run: Run, row: dict[str, Any]) -> None:
    """Print what was gained, and the command that exports it."""
    from core.runs.polished import sentence

    typer.echo(sentence(run.task, row))
    typer.echo(printable(f"take it with: python -m core export {run.path} --width {row['width']} --polished --out ."))
