"""`train` and `sweep`: one training, then every width validated."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from core.cli.settings import family_asked, refuse_what_cannot_fit, start_asked, with_pairs
from core.cli.shared import DataDir, Quiet, RunFolder, open_run, stop_says
from core.cli.sizes import show
from core.data import SOURCES
from core.elastic.recipes.registry import RECIPES
from core.errors import UserError
from core.models import MODELS
from core.utils.formatting import printable


def train(
    out: Annotated[Path, typer.Option(help="Folder of the new run; its parent is the store.")],
    data: Annotated[str, typer.Option(help=f"What to learn: {', '.join(SOURCES)}.")] = "digits",
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
    start: Annotated[
        Path | None,
        typer.Option(metavar="FILE.safetensors", help="Weights of a trained full model of this shape to begin with."),
    ] = None,
    order: Annotated[
        str | None, typer.Option(help="Sort the features of --start by importance first: norm or gradient.")
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
      python -m core train --start trained.safetensors --order norm --out runs/ordered
    """
    from core import data as data_sets
    from core import models
    from core.elastic.recipes.registry import recipe as recipe_named
    from core.runs.file_names import UNFINISHED
    from core.sweep.sweep import sweep as sweep_run
    from core.train.training import train as train_family

    dataset = data_sets.load(data, data_dir=data_dir)
    name = model or models.suited(dataset)
    settings = {"epochs": epochs, "batch_size": batch_size, "lr": lr, "alpha": alpha, "weight_decay": weight_decay}
    given = with_pairs(settings, set_ or [], "--set", "recipe")
    chosen = recipe_named(recipe, **{**models.recipe_settings(name, recipe), **given})
    family = family_asked(dataset, name, hidden, layers, lower, model_set or [], each_layer=chosen.independent)
    refuse_what_cannot_fit(family)
    weights = start_asked(start, order, family)
    if resume and not out.exists() and not out.with_name(out.name + UNFINISHED).exists():
        typer.echo(f"no training of {printable(str(out))} was interrupted; this one starts at its beginning", err=True)
    run = train_family(
        family, dataset, out=out, recipe=chosen, seed=seed, device=device, resume=resume, overwrite=overwrite,
        progress=not quiet, start=weights, order=order,
    )  # fmt: skip
    with stop_says(f"the weights are saved; go on with: python -m core sweep {out}"):
        sweep_run(run, dataset, progress=not quiet)
    show(out)


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
    from core.data import load
    from core.data.sources.registry import loadable
    from core.sweep.sweep import sweep as sweep_run

    opened = open_run(run)
    name = str(opened.record.data.get("name"))
    if not loadable(name):
        raise UserError(f"run {opened.id} was trained on data of your own; validate it from Python: sweep(run, data)")
    dataset = load(name, data_dir=data_dir)
    with stop_says(f"what was validated is saved; go on with: python -m core sweep {run}"):
        table = sweep_run(opened, dataset, plain=plain, progress=not quiet)
    typer.echo(f"{len(table)} widths validated on {int(table['n'].iloc[0]):,} test examples: {run}")
