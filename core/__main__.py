"""The command line: `python -m core train | sweep | show | export | list`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from core.dropout import RECIPES
from core.errors import RunError, UserError

app = typer.Typer(
    name="core",
    help="One training, every size. Train a network once, then take any width of it as a plain, smaller model.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run, such as runs/digits.")]
DataDir = Annotated[Path | None, typer.Option(help="Folder with the data's IDX files, for mnist and fashion-mnist.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress bars.")]


@app.command()
def train(
    out: Annotated[Path, typer.Option(help="Folder of the new run; its parent is the store.")],
    data: Annotated[str, typer.Option(help="digits, fashion-mnist, mnist, or openml:<name or id>.")] = "digits",
    data_dir: DataDir = None,
    hidden: Annotated[int, typer.Option(help="Full width: units in each hidden layer.")] = 128,
    layers: Annotated[int, typer.Option(help="Number of hidden layers.")] = 2,
    lower: Annotated[int, typer.Option(help="Smallest width that is trained.")] = 1,
    recipe: Annotated[str, typer.Option(help=f"How cutoffs are drawn: {', '.join(RECIPES)}.")] = "stratified",
    epochs: Annotated[int | None, typer.Option(help="Passes over the training part; the recipe's if left out.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Examples a step; the recipe's if left out.")] = None,
    lr: Annotated[float | None, typer.Option(help="Peak learning rate; the recipe's if left out.")] = None,
    alpha: Annotated[float | None, typer.Option(help="Exponent of the scale; the recipe's if left out.")] = None,
    weight_decay: Annotated[float | None, typer.Option(help="Weight decay; the recipe's if left out.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="A setting of the recipe, as name=value; may be repeated.")
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same weights.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    resume: Annotated[bool, typer.Option("--resume", help="Continue an interrupted training.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a run of that name.")] = False,
    quiet: Quiet = False,
) -> None:
    """Train once, then validate every width.

    Example: python -m core train --data digits --hidden 128 --layers 2 --epochs 60 --out runs/digits
    """
    from core import data as data_sets
    from core import models
    from core.dropout import recipe as recipe_named
    from core.sweep import sweep as sweep_run
    from core.train import train as train_family

    settings = {"epochs": epochs, "batch_size": batch_size, "lr": lr, "alpha": alpha, "weight_decay": weight_decay}
    chosen = recipe_named(recipe, **settings, **_settings(set_ or []))
    dataset = data_sets.load(data, data_dir=data_dir)
    family = models.family(
        "mlp",
        inputs=dataset.features,
        outputs=dataset.classes,
        hidden=hidden,
        layers=layers,
        lower=lower,
        each_layer=chosen.independent and layers > 1,
    )
    run = train_family(
        family, dataset, out=out, recipe=chosen, seed=seed, device=device, resume=resume, overwrite=overwrite,
        progress=not quiet,
    )  # fmt: skip
    sweep_run(run, progress=not quiet)
    show(out)


@app.command()
def sweep(
    run: RunFolder,
    data_dir: DataDir = None,
    plain: Annotated[bool, typer.Option("--plain", help="Run every small model by itself.")] = False,
    quiet: Quiet = False,
) -> None:
    """Validate every width of a run. What is known already is not computed again; an interrupted sweep goes on."""
    from core import data as data_sets
    from core.runs import Run
    from core.sweep import sweep as sweep_run

    opened = Run(run)
    dataset = data_sets.load(str(opened.record.data.get("name")), data_dir=data_dir)
    table = sweep_run(opened, dataset, plain=plain, progress=not quiet)
    typer.echo(f"{len(table)} widths validated on {int(table['n'].iloc[0]):,} test examples: {run}")


@app.command()
def show(
    run: RunFolder,
    max_kb: Annotated[float | None, typer.Option(help="Stay under so many kB (1 kB is 1,000 bytes).")] = None,
    min_accuracy: Annotated[float | None, typer.Option(help="Keep at least this, as a fraction: 0.97 is 97 %.")] = None,
) -> None:
    """A table of sizes, and with a budget the size that answers it."""
    from core.report import reply, size_table
    from core.runs import Run

    opened = Run(run)
    metrics = opened.metrics()
    typer.echo(size_table(opened, metrics))
    if max_kb is not None or min_accuracy is not None:
        typer.echo("\n" + reply(opened, metrics, max_kb=max_kb, at_least=min_accuracy).sentence)


@app.command()
def export(
    run: RunFolder,
    width: Annotated[int, typer.Option(help="Units kept in each hidden layer.")],
    out: Annotated[Path, typer.Option(help="File to write.")],
    format: Annotated[str, typer.Option(help="bundle, safetensors, onnx or pt2.")] = "bundle",
) -> None:
    """Take one width out of a run as a file. It is checked against the model before it is written."""
    from core.export import export as export_width
    from core.files import write_bytes
    from core.runs import Run

    made = export_width(Run(run), width, format)
    write_bytes(out, made.data)
    typer.echo(f"{out}  {len(made.data):,} bytes  sha256 {made.sha256}")


@app.command("list")
def list_runs(store: Annotated[Path, typer.Argument(metavar="STORE", help="Folder that holds runs.")]) -> None:
    """The runs of a store, and why any of them can't be read."""
    from core.report import run_line
    from core.runs import RunStore

    found = list(RunStore(store).list())
    for run in found:
        typer.echo(run_line(run))
    if not found:
        typer.echo(f"no runs in {store} yet; make one with: python -m core train --out {store}/digits")


def _settings(pairs: list[str]) -> dict[str, Any]:
    """`name=value` texts as Python values: whole numbers, numbers, true/false, else text."""
    found: dict[str, Any] = {}
    for pair in pairs:
        name, sign, text = pair.partition("=")
        if not sign or not name:
            raise UserError(f"--set wants name=value, got {pair!r}")
        found[name] = _value(text)
    return found


def _value(text: str) -> Any:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; 0 if it went well, 2 with one line on standard error for a user's mistake."""
    try:
        app(arguments, standalone_mode=False)
    except (UserError, RunError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: {error.filename or ''} {error.strerror or error}".replace("  ", " "), file=sys.stderr)
        return 2
    except (KeyboardInterrupt, typer.Abort) as error:
        print(str(error) or "stopped; --resume continues where it was saved last", file=sys.stderr)
        return 130
    except typer.Exit as error:
        return error.exit_code
    except Exception as error:
        if not hasattr(error, "format_message"):  # only the command line's own usage errors are a user's mistake
            raise
        message = " ".join(error.format_message().split())
        print(f"error: {message.rstrip('.')}; see --help", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
