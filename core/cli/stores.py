"""`list`, `import`, `pack`, `rename`, `archive` and `restore`: the runs of a store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from core.cli.shared import RunFolder, open_run
from core.cli.sizes import file_to_write
from core.errors import UserError
from core.utils.formatting import printable

if TYPE_CHECKING:
    from core.runs.store import RunStore

Store = Annotated[Path, typer.Argument(metavar="STORE", help="Folder that holds runs.")]
NewName = Annotated[str | None, typer.Option(metavar="NAME", help="Name in the store; the run's own by default.")]


def list_runs(store: Store) -> None:
    """List the runs of a store, and why any of them can't be read.

    \b
    Example:
      python -m core list runs
    """
    from core.sweep.report import run_line

    runs = list(_store(store).list())
    for run in runs:
        typer.echo(run_line(run))
    if not runs:
        typer.echo(printable(f"no runs in {store} yet; make one with: python -m core train --out {store}/digits"))


def import_run(
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="Folder of a run, or a zip that `pack` has made.")],
    store: Store,
    name: NewName = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a run of that name.")] = False,
) -> None:
    """Copy a run from elsewhere into a store.

    It is read and checked first; nothing is kept of a damaged one.

    \b
    Examples:
      python -m core import ~/digits.zip runs
      python -m core import ~/other/digits runs --name digits-2
    """
    from core.runs.archive_zip import import_zip
    from core.sweep.report import run_line

    target = _store(store)
    if source.is_file():
        with open(source, "rb") as zipped:
            run = import_zip(target, zipped, source.name, name, overwrite=overwrite)
    else:
        run = target.import_run(source, name, overwrite=overwrite)
    typer.echo(run_line(run))


def pack(
    run: RunFolder,
    out: Annotated[str, typer.Option(metavar="PATH", help="The zip to write, or a folder to write it into.")],
) -> None:
    """Pack a run into one zip, to keep or hand on.

    The same run gives the same bytes. A file that exists is replaced, whole or not at all.

    \b
    Example:
      python -m core pack runs/digits --out digits.zip
    """
    from core.runs.archive_zip import pack as pack_run
    from core.utils import files

    opened = open_run(run)
    target = file_to_write(out, f"{opened.id}.zip")
    if target is None:
        raise UserError(f"{out} is no file; name the zip to write, such as {opened.id}.zip")
    with files.replacing(target) as temporary, open(temporary, "wb") as writer:
        pack_run(opened, writer)
    typer.echo(f"{printable(str(target))}  {target.stat().st_size:,} bytes")


def rename(run: RunFolder, name: Annotated[str, typer.Argument(metavar="NAME", help="New name.")]) -> None:
    """Rename a run. Links to its old name stop working.

    \b
    Example:
      python -m core rename runs/digits first-try
    """
    from core.runs import archive as archives

    path = _named(run)
    archives.rename(_store(path.parent), path.name, name)
    typer.echo(f"{printable(path.name)} is now called {name}")


def archive(run: RunFolder) -> None:
    """Move a run to the archive of its store, from which `restore` brings it back.

    It may be broken, or an unfinished training.

    \b
    Example:
      python -m core archive runs/digits
    """
    from core.runs import archive as archives

    path = _named(run)
    name = archives.archive(_store(path.parent), path.name)
    typer.echo(printable(f"archived; bring it back with: python -m core restore {path.parent} {name}"))


def restore(
    store: Store,
    run: Annotated[str | None, typer.Argument(metavar="NAME", help="Run to bring back; lists all by default.")] = None,
    name: NewName = None,
) -> None:
    """Bring an archived run back, or list them.

    \b
    Examples:
      python -m core restore runs
      python -m core restore runs digits
      python -m core restore runs digits --name digits-old
    """
    from core.runs import archive as archives

    if run is not None:
        typer.echo(printable(f"{archives.restore(_store(store), run, name)} is back in {store}"))
        return
    if name is not None:
        raise UserError(f"--name needs the run that gets it: python -m core restore {store} RUN --name {name}")
    names = archives.archived(_store(store))
    typer.echo("\n".join(map(printable, names)) if names else printable(f"nothing is archived in {store}"))


def _named(path: Path) -> Path:
    """Resolve a run's folder where the argument is `.` or `..`, so that it has a name and a parent."""
    return path if path.name not in ("", "..") else path.resolve()


def _store(folder: Path) -> RunStore:
    """Open the store in a folder. Raises UserError where the folder is a run."""
    from core.runs.file_names import RECORD
    from core.runs.store import RunStore

    if (folder / RECORD).is_file():
        raise UserError(f"{folder} is a run, not a folder of runs; see it with: python -m core show {folder}")
    return RunStore(folder)
