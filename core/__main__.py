"""The command line: `python -m core train | sweep | show | export | list`."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from core.data import NAMES
from core.dropout import RECIPES
from core.errors import UserError
from core.models import MODELS
from core.report import printable

if TYPE_CHECKING:
    from core.data import Dataset
    from core.family import Family
    from core.runs import Run

app = typer.Typer(
    name="core",
    help="One training, every size. Train a network once, then take any width of it as a plain, smaller model.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Start with: python -m core train --out runs/digits",
)

RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run, such as runs/digits.")]
DataDir = Annotated[Path | None, typer.Option(help="Folder of the data's files; for solids, where they are made.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress bars.")]
BYTES_TRAINED = 16  # a parameter with its gradient and Adam's two moments, float32


@app.command()
def train(
    out: Annotated[Path, typer.Option(help="Folder of the new run; its parent is the store.")],
    data: Annotated[str, typer.Option(help=f"What to learn: {', '.join(NAMES)}.")] = "digits",
    data_dir: DataDir = None,
    model: Annotated[str | None, typer.Option(help=f"{', '.join(MODELS)}; what suits the data if left out.")] = None,
    hidden: Annotated[
        int | None, typer.Option(help="Full width: units in each hidden layer; of a convnet, channels at first.")
    ] = None,
    layers: Annotated[int | None, typer.Option(help="Number of hidden layers.")] = None,
    lower: Annotated[int | None, typer.Option(help="Smallest width that is trained; 1 if left out.")] = None,
    model_set: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="A setting of the model, such as depth=4; may be repeated."),
    ] = None,
    recipe: Annotated[str, typer.Option(help=f"How cutoffs are drawn: {', '.join(RECIPES)}.")] = "stratified",
    epochs: Annotated[
        int | None, typer.Option(help="Passes over the training part; the model's or recipe's if left out.")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Examples a step; the model's or recipe's if left out.")
    ] = None,
    lr: Annotated[float | None, typer.Option(help="Peak learning rate; the model's or recipe's if left out.")] = None,
    alpha: Annotated[
        float | None, typer.Option(help="Exponent of the scale; the model's or recipe's if left out.")
    ] = None,
    weight_decay: Annotated[
        float | None, typer.Option(help="Weight decay; the model's or recipe's if left out.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A setting of the recipe, such as strata=6; may be repeated."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="The same seed gives the same weights.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    resume: Annotated[bool, typer.Option("--resume", help="Bring an interrupted training to its end.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a run of that name.")] = False,
    quiet: Quiet = False,
) -> None:
    """Train once, then validate every width.

    \b
    Examples:
      python -m core train --data digits --out runs/digits
      python -m core train --data fashion-mnist --hidden 256 --out runs/fashion
      python -m core train --data mnist --data-dir ~/mnist --recipe paper --out runs/mnist
      python -m core train --data fashion-mnist --model vit --model-set depth=3 --out runs/vit
      python -m core train --data photo:flower --out runs/flower
    """
    from core import data as data_sets
    from core import models
    from core.dropout import recipe as recipe_named
    from core.runs import UNFINISHED
    from core.sweep import sweep as sweep_run
    from core.train import train as train_family

    dataset = data_sets.load(data, data_dir=data_dir)
    name = model or models.suited(dataset)
    settings = {"epochs": epochs, "batch_size": batch_size, "lr": lr, "alpha": alpha, "weight_decay": weight_decay}
    given = _with_pairs(settings, set_ or [], "--set", "recipe")
    chosen = recipe_named(recipe, **{**models.recipe_settings(name, recipe), **given})
    family = _family(dataset, name, hidden, layers, lower, model_set or [], each_layer=chosen.independent)
    _refuse_what_cannot_fit(family)
    if resume and not out.exists() and not out.with_name(out.name + UNFINISHED).exists():
        typer.echo(f"no training of {printable(str(out))} was interrupted; this one starts at its beginning", err=True)
    run = train_family(
        family, dataset, out=out, recipe=chosen, seed=seed, device=device, resume=resume, overwrite=overwrite,
        progress=not quiet,
    )  # fmt: skip
    with _stop_says(f"the weights are saved; go on with: python -m core sweep {out}"):
        sweep_run(run, dataset, progress=not quiet)
    show(out)


@app.command()
def sweep(
    run: RunFolder,
    data_dir: DataDir = None,
    plain: Annotated[bool, typer.Option("--plain", help="Run every small model by itself.")] = False,
    quiet: Quiet = False,
) -> None:
    """Validate every width of a run. What is known already is not computed again; an interrupted sweep goes on.

    \b
    Example:
      python -m core sweep runs/digits
    """
    from core import data as data_sets
    from core.sweep import sweep as sweep_run

    opened = _open(run)
    name = str(opened.record.data.get("name"))
    if not data_sets.known(name):
        raise UserError(f"run {opened.id} was trained on data of your own; validate it from Python: sweep(run, data)")
    dataset = data_sets.load(name, data_dir=data_dir)
    with _stop_says(f"what was validated is saved; go on with: python -m core sweep {run}"):
        table = sweep_run(opened, dataset, plain=plain, progress=not quiet)
    typer.echo(f"{len(table)} widths validated on {int(table['n'].iloc[0]):,} test examples: {run}")


@app.command()
def show(
    run: RunFolder,
    max_kb: Annotated[float | None, typer.Option(help="Stay under so many kB (1 kB is 1,000 bytes).")] = None,
    at_least: Annotated[
        float | None,
        typer.Option(
            "--at-least",
            "--min-accuracy",
            help="Be so good or better, in the run's own unit; a share is a fraction: 0.97 is 97 %.",
        ),
    ] = None,
) -> None:
    """A table of sizes, and with a budget the size that answers it.

    \b
    Examples:
      python -m core show runs/digits
      python -m core show runs/digits --max-kb 50
      python -m core show runs/digits --max-kb 50 --at-least 0.97
      python -m core show runs/flower --at-least 25
    """
    from core.report import reply, size_table

    opened = _open(run)
    metrics = opened.metrics()
    lines = [size_table(opened, metrics)]
    if max_kb is not None or at_least is not None:
        lines += ["", reply(opened, metrics, max_kb=max_kb, at_least=at_least).sentence]
    typer.echo("\n".join(lines))


@app.command()
def export(
    run: RunFolder,
    width: Annotated[int, typer.Option(help="Units kept in each hidden layer.")],
    out: Annotated[str, typer.Option(metavar="PATH", help="File to write, or a folder to write it into.")],
    format: Annotated[str, typer.Option(help="bundle, safetensors, onnx or pt2.")] = "bundle",
) -> None:
    """Take one width out of a run as a file. A program is run against the model before it is written.

    A file that is there already is replaced, whole or not at all.

    \b
    Examples:
      python -m core export runs/digits --width 16 --out small.zip
      python -m core export runs/digits --width 16 --format onnx --out small.onnx
    """
    from core import files
    from core.export import export as export_width

    opened = _open(run)
    made = export_width(opened, width, format)
    target = _target(out, made.name)
    if target is None:  # a device or a pipe is written to, never replaced
        with open(out, "wb") as device:
            device.write(made.data)
        return
    files.write_bytes(target, made.data)
    typer.echo(f"{printable(str(target))}  {len(made.data):,} bytes  sha256 {made.sha256}")


@app.command("list")
def list_runs(store: Annotated[Path, typer.Argument(metavar="STORE", help="Folder that holds runs.")]) -> None:
    """The runs of a store, and why any of them can't be read.

    \b
    Example:
      python -m core list runs
    """
    from core.report import run_line
    from core.runs import RECORD
    from core.store import RunStore

    if (store / RECORD).is_file():
        raise UserError(f"{store} is a run, not a folder of runs; see it with: python -m core show {store}")
    found = list(RunStore(store).list())
    for run in found:
        typer.echo(run_line(run))
    if not found:
        typer.echo(printable(f"no runs in {store} yet; make one with: python -m core train --out {store}/digits"))


def _open(path: Path) -> Run:
    from core.runs import Run

    return Run(path if path.name not in ("", "..") else path.resolve())  # `.` is a run with a name too


def _family(
    data: Dataset,
    name: str,
    hidden: int | None,
    layers: int | None,
    lower: int | None,
    pairs: Sequence[str],
    *,
    each_layer: bool,
) -> Family:
    """The family that the options of `train` ask for. Raises UserError."""
    from core import models

    width = models.MODELS[name].width if name in models.MODELS else "hidden"
    settings = _with_pairs({width: hidden, "layers": layers, "lower": lower}, pairs, "--model-set", "model")
    if name == "mlp":  # the recipe decides whether each layer draws for itself
        settings["each_layer"] = each_layer and settings.get("layers", 2) != 1
    return models.family_for(data, name, **settings)


def _refuse_what_cannot_fit(family: Family) -> None:
    """A sentence before the machine grinds to a halt, where it tells how much memory it has."""
    try:
        there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return
    wanted = BYTES_TRAINED * family.params()
    if wanted > there > 0:
        raise UserError(
            f"{family.params():,} parameters want {wanted / 1e9:,.0f} GB to be trained, this machine has "
            f"{there / 1e9:,.0f} GB; choose a smaller --hidden or fewer --layers"
        )


def _target(out: str, name: str) -> Path | None:
    """The file that `--out` means, as `cp` understands it; None for what is no file. Raises UserError."""
    from core.runs import FILES, RECORD

    path = Path(os.path.realpath(out))  # through a link, which stays one
    if path.is_dir() or out.endswith(("/", os.sep)):
        path /= name
    elif (path.exists() and not path.is_file()) or out.startswith(("/dev/", "/proc/")):
        return None
    if path.name in FILES and (path.parent / RECORD).exists():
        raise UserError(f"{out} is a file of a run, which the export would destroy; choose another --out")
    return path


def _with_pairs(settings: dict[str, Any], pairs: Sequence[str], option: str, owner: str) -> dict[str, Any]:
    """The settings that were given as options, and `name=value` texts as Python values."""
    found = {name: value for name, value in settings.items() if value is not None}
    for pair in pairs:
        name, sign, text = pair.partition("=")
        if not sign or not name.isidentifier() or name == "name":
            raise UserError(f"{option} wants a setting of the {owner} as name=value, got {pair!r}")
        if name in found:
            raise UserError(f"{name} is set twice; give it once")
        found[name] = _value(text)
    return found


def _value(text: str) -> Any:
    """A whole number, a number, true/false, else the text."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


@contextmanager
def _stop_says(hint: str) -> Iterator[None]:
    """What Ctrl-C leaves, and how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"stopped; {hint}") from None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line: 0 if it went well, 2 with one line on standard error for a user's mistake, 130 stopped."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        # not app(): it turns Ctrl-C into a result
        _run(given)
        sys.stdout.flush()
    except typer.Exit as done:
        return done.exit_code
    except KeyboardInterrupt as stop:
        return _say(str(stop) or "stopped", 130)
    except BrokenPipeError:
        # whoever read has what they wanted, as `head` has; Python's own flush at exit must not complain
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        told = _user_mistake(error)
        if told is None:
            raise
        return _say(f"error: {told}", 2)
    return 0


def _run(arguments: list[str]) -> None:
    command = typer.main.get_group(app)
    if not arguments:
        raise UserError(f"no command; choose one of {', '.join(command.commands)}, or see --help")
    if any("\0" in argument for argument in arguments):
        raise UserError("an argument holds a NUL character, which no name of a file can; leave it out")
    with command.make_context("python -m core", arguments) as context:
        command.invoke(context)


def _user_mistake(error: Exception) -> str | None:
    """What to tell of a mistake in what was asked, given or installed; None for one of this program's own."""
    if isinstance(error, UserError):
        return str(error)
    if hasattr(error, "format_message"):  # the command line's own usage errors
        context = getattr(error, "ctx", None)
        return f"{error.format_message().rstrip('.')}; see {context.command_path if context else ''} --help"
    if isinstance(error, OSError):
        reason = error.strerror or str(error) or type(error).__name__
        return f"{error.filename}: {reason}" if error.filename else reason
    if isinstance(error, MemoryError) or "out of memory" in str(error) or "can't allocate memory" in str(error):
        return "this machine has too little memory for it; choose a smaller width or batch size"
    if isinstance(error, ModuleNotFoundError) and not str(error.name).startswith("core"):
        return f"the package {error.name} is not installed; install what requirements.txt names"
    return None


def _say(text: str, status: int) -> int:
    print(printable(text), file=sys.stderr)
    return status


if __name__ == "__main__":
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal that lacks a letter still gets the rest
    sys.exit(main())
