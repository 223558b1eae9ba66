"""`train` and `sweep`: train once, then validate every width."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from core.cli.settings import family_of, refuse_each_layer, refuse_what_cannot_fit, start_weights, with_pairs
from core.cli.shared import DataDir, Quiet, RunFolder, hint_on_stop, open_run
from core.cli.sizes import show
from core.data import SOURCES
from core.elastic.recipes.registry import RECIPES
from core.errors import UserError
from core.models import MODELS
from core.utils.formatting import printable


def train(
    out: Annotated[Path, typer.Option(help="Folder of the new run; its parent is the store.")],
    data: Annotated[str, typer.Option(help=f"Data set: {', '.join(SOURCES)}.")] = "digits",
    data_dir: DataDir = None,
    model: Annotated[str | None, typer.Option(help=f"{', '.join(MODELS)}; by default as suits the data.")] = None,
    hidden: Annotated[
        int | None,
        typer.Option(help="Full width: units in each hidden layer; of a convnet, channels at first."),
    ] = None,
    layers: Annotated[int | None, typer.Option(help="Number of hidden layers.")] = None,
    lower: Annotated[int | None, typer.Option(help="Smallest width that is trained; 1 by default.")] = None,
    model_set: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="A setting of the model, such as depth=4; may be repeated."),
    ] = None,
    recipe: Annotated[str, typer.Option(help=f"How widths are drawn: {', '.join(RECIPES)}.")] = "stratified",
    epochs: Annotated[
        int | None, typer.Option(help="Passes over the training part; by default the model's or recipe's.")
    ] = None,
    batch_size: Annotated[int | None, typer.Option(help="Examples a step; by default the model's or recipe's.")] = None,
    lr: Annotated[float | None, typer.Option(help="Peak learning rate; by default the model's or recipe's.")] = None,
    alpha: Annotated[
        float | None,
        typer.Option(help="Exponent of the scale of narrow widths; by default the model's or recipe's."),
    ] = None,
    weight_decay: Annotated[
        float | None, typer.Option(help="Weight decay; by default the model's or recipe's.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A setting of the recipe, such as strata=6; may be repeated."),
    ] = None,
    start: Annotated[
        Path | None,
        typer.Option(metavar="FILE.safetensors", help="Begin with the weights of a trained full model of this shape."),
    ] = None,
    order: Annotated[
        str | None, typer.Option(help="Sort the features of --start by importance first: norm or gradient.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="The same seed gives the same weights.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    resume: Annotated[bool, typer.Option("--resume", help="Continue an interrupted training.")] = False,
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
      python -m core train --start trained.safetensors --order norm --out runs/ordered
    """
    from core import models
    from core.data import load
    from core.elastic.recipes.registry import recipe as recipe_named
    from core.runs.file_names import UNFINISHED
    from core.sweep.sweep import sweep as sweep_run
    from core.train.training import train as train_family

    dataset = load(data, data_dir=data_dir)
    for sentence in dataset.warnings:
        typer.echo(printable(f"warning: {sentence}"), err=True)
    name = model or models.suited(dataset)
    settings = {"epochs": epochs, "batch_size": batch_size, "lr": lr, "alpha": alpha, "weight_decay": weight_decay}
    given = with_pairs(settings, set_ or [], "--set", "recipe")
    chosen = recipe_named(recipe, **{**models.recipe_settings(name, recipe), **given})
    family = family_of(dataset, name, hidden, layers, lower, model_set or [], each_layer=chosen.independent)
    refuse_each_layer(family, given)
    refuse_what_cannot_fit(family)
    weights = start_weights(start, order, family)
    if resume and not out.exists() and not out.with_name(out.name + UNFINISHED).exists():
        typer.echo(f"no training of {printable(str(out))} was interrupted; this one starts at its beginning", err=True)
    run = train_family(
        family, dataset, out=out, recipe=chosen, seed=seed, device=device, resume=resume, overwrite=overwrite,
        progress=not quiet, start=weights, order=order,
    )  # fmt: skip
    with hint_on_stop(f"the weights are saved; go on with: python -m core sweep {out}"):
        sweep_run(run, dataset, progress=not quiet)
    show(out)


def sweep(
    run: RunFolder,
    data_dir: DataDir = None,
    plain: Annotated[
        bool, typer.Option("--plain", help="Run every small model by itself, not all in one pass.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Validate every width of a run. Widths validated before are kept; an interrupted sweep continues.

    \b
    Example:
      python -m core sweep runs/digits
    """
    from core.data import load
    from core.data.sources.registry import loadable
    from core.sweep.sweep import sweep as sweep_run

    opened = open_run(run)
    name = str(opened.record.data.get("name"))
    if not loadable(name):
        raise UserError(f"run {opened.id} was trained on data of your own; validate it from Python: sweep(run, data)")
    dataset = load(name, data_dir=data_dir)
    before = len(opened.metrics()) if plain and opened.has_metrics else 0
    with hint_on_stop(f"what was validated is saved; go on with: python -m core sweep {run}"):
        table = sweep_run(opened, dataset, plain=plain, progress=not quiet)
    if before == len(table):
        typer.echo("every width was validated before, so --plain changed nothing", err=True)
    typer.echo(f"{len(table)} widths validated on {int(table['n'].iloc[0]):,} test examples: {run}")
