"""One training, every size: a family, data and a recipe become a run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.data.arrays import as_dataset
from core.elastic.family import Family
from core.elastic.recipes.base import Recipe, decided
from core.elastic.recipes.registry import recipe as recipe_named
from core.errors import RunError
from core.runs.run import Run
from core.runs.store import check_id, check_replaceable, under_way
from core.tasks.losses import loss_function
from core.train.checks import check_batch, check_family, check_outputs, check_recipe, checked_seed, device_of
from core.train.loop import Diverged, Training
from core.train.optimizer import learning_rate, make_optimizer
from core.train.result import finished, write
from core.train.step import train_step
from core.train.warm_start import WarmStart, warm_start
from core.utils import files
from core.utils.locks import check_free, held
from core.utils.signals import Interrupted, stop_requests

if TYPE_CHECKING:
    import torch

    from core.data import Dataset


__all__ = ["Interrupted", "learning_rate", "loss_function", "make_optimizer", "train", "train_step"]


def train(
    family: Family,
    data: Dataset | tuple[Any, Any],
    *,
    out: Path | str,
    recipe: Recipe | str = "stratified",
    seed: int = 0,
    device: str = "auto",
    resume: bool = False,
    overwrite: bool = False,
    progress: bool = True,
    start: Mapping[str, Any] | None = None,
    order: str | None = None,
) -> Run:
    """Train `family` once so that every width of it works, and write the run to folder `out`.

    Parameters
    ----------
    family
        Factory and layout of the model. Its symmetry check runs first.
    data
        A `Dataset`, or `(x, y)` arrays, from which validation and test parts are split off (15 % each).
    out
        Folder of the new run; its parent is the store.
    recipe
        A recipe or its name: `stratified`, `paper` or `sandwich`. Batch size, epochs and learning rate default to
        values chosen from the training-set size; `run.json` records the values used.
    seed
        Decides the initial weights, the order of the examples and the cutoffs.
    device
        `cpu`, `cuda`, or `auto`: CUDA where there is one.
    resume
        Continue an interrupted training of the same settings; the result is that of an uninterrupted one. A training
        that is finished is only opened. After one whose loss diverged, a smaller learning rate may go on.
    overwrite
        Replace a run of that name, once the new one is whole.
    start
        Weights of an already trained full model, names and tensors, to begin with.
    order
        Sort the features of `start` by importance first: `norm` or `gradient`, as `Family.order` says. The full
        model's output stays as it is.

    Raises
    ------
    LayoutError
        Where features are not unordered.
    UserError
        For settings or data that don't fit.
    RunError
        Where the run exists or can't be written.
    Interrupted
        After Ctrl-C; nothing is lost.
    """
    import torch

    from core.elastic.discovery.chain import find_chain
    from core.elastic.fast_mlp.elastic_mlp import ElasticMLP
    from core.elastic.module import Elastic
    from core.models import fit_inputs
    from core.train import checkpoint

    chosen = recipe_named(recipe) if isinstance(recipe, str) else recipe
    check_recipe(chosen)
    seed = checked_seed(seed)
    dataset = as_dataset(data)
    out = Path(out).absolute()
    _claim(out, resume=resume, overwrite=overwrite)
    where = device_of(device)
    example = torch.from_numpy(np.ascontiguousarray(dataset.train.x[:2])).float()
    check_family(family, example)
    chain = find_chain(family.new_sibling(), family.layout) is not None
    chosen = chosen.for_rows(dataset.train.n, chain=chain, layout=family.layout)
    warm = warm_start(family, dataset, start, order, seed)
    plan = _plan(family, dataset, chosen, seed, where, warm)
    if resume and out.exists() and not (overwrite and checkpoint.exists(out)):
        run = finished(out, plan, family, dataset, chosen, seed, warm, overwrite=overwrite)
        if run is not None:
            return run
    lr = decided(chosen.lr)
    busy = under_way(checkpoint.folder(out))
    with held(checkpoint.folder(out), busy), torch.random.fork_rng(devices=[where] if where.type == "cuda" else []):
        torch.manual_seed(seed)
        kind = ElasticMLP if ElasticMLP.suits(family) else Elastic
        model = kind(family, chosen.alpha, chosen.bands(family.layout.widths))
        mean, deviation = dataset.statistics()
        model.fit(lambda module: fit_inputs(module, mean, deviation))
        if warm is not None:
            model.start_from(warm.weights)
        check_outputs(model, example, dataset)
        check_batch(model, chosen, dataset)
        model.to(where)
        inputs = torch.from_numpy(np.ascontiguousarray(dataset.train.x))
        if chosen.whitens and dataset.augment is None:
            inputs = model.prepare(inputs, np.random.default_rng([seed, 7]))
        optimizer = make_optimizer(model, chosen)
        steps = decided(chosen.epochs) * (dataset.train.n // decided(chosen.batch_size))
        state = checkpoint.restore(out, model, optimizer, plan, lr, model.milestones(steps)) if resume else None
        if state is None:
            state = checkpoint.Progress(lr=lr)
            checkpoint.save(out, model, optimizer, state, plan)
        save = partial(checkpoint.save, out, model, optimizer, state, plan)
        training = Training(model, optimizer, inputs, dataset, chosen, seed, state, save, progress)
        try:
            with stop_requests() as stopped:
                training.run(stopped)
        except Diverged:
            checkpoint.mark_diverged(out)
            raise
        model.settle()
        run = write(out, model, dataset, chosen, seed, where, state, plan, warm, overwrite)
    files.remove_folder(checkpoint.folder(out))
    run.family, run.dataset = family, dataset
    return run


def _claim(out: Path, *, resume: bool, overwrite: bool) -> None:
    """Raise RunError where a run, an unfinished training or anything else at `out` would be lost."""
    from core.train import checkpoint

    check_id(out.name)
    unfinished = checkpoint.folder(out)
    check_free(unfinished, under_way(unfinished))
    files.clear_leftovers(out)
    if overwrite:
        check_replaceable(out)
    elif out.exists() and not resume:
        raise RunError(f"{out.name} exists in {out.parent}; choose another --out, or replace it with --overwrite")
    if unfinished.exists() and not resume:
        if checkpoint.exists(out) and not overwrite:
            raise RunError(
                f"an unfinished training of {out.name} is in {out.parent}; continue it with --resume, "
                "or start anew with --overwrite"
            )
        check_replaceable(unfinished)
        files.remove_folder(unfinished)


def _plan(family: Family, data: Dataset, recipe: Recipe, seed: int, where: torch.device, warm: WarmStart | None) -> str:
    """Fingerprint of a training: the same plan and learning rate give the same result."""
    settings = {key: value for key, value in recipe.to_json().items() if key != "lr"}
    modules = str(family.sibling())  # what shapes don't show: activations and their settings
    parts = [family.layout.to_json(), family.source, modules, data.fingerprint, settings, seed, where.type]
    if warm is not None:
        parts.append(warm.note)
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()
