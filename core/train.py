"""One training, every width: a family, data and a recipe become a run."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core import files
from core.checks import check_batch, check_family, check_outputs, check_recipe, checked_seed, device_of
from core.dropout import Recipe, decided
from core.dropout import recipe as recipe_named
from core.errors import RunError, UserError
from core.family import Family
from core.interrupt import Interrupted, stop_requests
from core.record import RunRecord
from core.runs import TABLES, Run, fingerprint
from core.steps import Diverged, Training, learning_rate, loss_function, make_optimizer, train_step
from core.store import RunStore, check_id, check_replaceable

if TYPE_CHECKING:
    import torch

    from core.checkpoint import Progress
    from core.data import Dataset
    from core.elastic import Elastic

__all__ = ["Interrupted", "learning_rate", "loss_function", "make_optimizer", "train", "train_step"]

EXAMPLES_KEPT = 300
ORDERED_BY = 500  # training examples whose loss orders the features of a trained model
PROBED = (2, 16)  # examples and scores by which a factory of one's own is known again


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
        What is trained. Its symmetry check runs first.
    data
        A `Dataset`, or `(x, y)` arrays, from which validation and test parts are split off (15 % each).
    out
        Folder of the new run; its parent is the store.
    recipe
        A recipe or its name: `stratified`, `paper` or `sandwich`. What it leaves open is decided by the data's size,
        and written down with the run.
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

    Raises LayoutError where features are not unordered, UserError for settings or data that don't fit, RunError
    where the run exists or can't be written, and Interrupted after Ctrl-C.
    """
    import torch

    from core import checkpoint
    from core.elastic import Elastic
    from core.models import fit_inputs

    chosen = recipe_named(recipe) if isinstance(recipe, str) else recipe
    check_recipe(chosen)
    seed = checked_seed(seed)
    dataset = as_dataset(data)
    chosen = chosen.for_rows(dataset.train.n)
    out = Path(out).absolute()
    _claim(out, resume=resume, overwrite=overwrite)
    where = device_of(device)
    example = torch.from_numpy(np.ascontiguousarray(dataset.train.x[:2])).float()
    check_family(family, example)
    begin = _beginning(family, dataset, start, order, seed)
    plan = _plan(family, dataset, chosen, seed, where, begin)
    if resume and out.exists() and not (overwrite and checkpoint.exists(out)):
        run = _finished(out, plan, family, dataset, chosen, seed, begin, overwrite=overwrite)
        if run is not None:
            return run
    lr = decided(chosen.lr)
    with torch.random.fork_rng(devices=[where] if where.type == "cuda" else []):
        torch.manual_seed(seed)
        model = Elastic(family, chosen.alpha, chosen.tables)
        fit_inputs(model.full, *dataset.statistics())
        if begin is not None:
            model.full.load_state_dict(begin.weights, strict=True)
        check_outputs(model, example, dataset)
        check_batch(model, chosen, dataset)
        model.to(where)
        optimizer = make_optimizer(model, chosen)
        state = checkpoint.restore(out, model, optimizer, plan, lr) if resume else None
        if state is None:
            state = checkpoint.Progress(lr=lr)
            checkpoint.save(out, model, optimizer, state, plan)
        save = partial(checkpoint.save, out, model, optimizer, state, plan)
        training = Training(model, optimizer, dataset, chosen, seed, state, save, progress)
        try:
            with stop_requests() as stopped:
                training.run(stopped)
        except Diverged:
            checkpoint.mark_diverged(out)
            raise
        run = _write(out, model, dataset, chosen, seed, where, state, plan, begin, overwrite)
    files.remove_folder(checkpoint.folder(out))
    run.family, run.dataset = family, dataset
    return run


def as_dataset(data: Any) -> Dataset:
    """A `Dataset` as it is, or one of `(x, y)` arrays. Raises UserError for anything else."""
    from core.data import Dataset, from_arrays

    if isinstance(data, Dataset):
        return data
    if not isinstance(data, (tuple, list)) or len(data) != 2:
        raise UserError(
            f"the data are a {type(data).__name__}; give a Dataset, as core.data.load does, or (x, y) arrays"
        )
    return from_arrays(*data)


@dataclass(frozen=True)
class Beginning:
    """The weights that a training starts from, and what its run says of where they are from."""

    weights: dict[str, torch.Tensor]  # of the full model, in order
    told: dict[str, Any]  # sha256 of the weights as they were given, and how they were ordered


def _beginning(
    family: Family, data: Dataset, start: Mapping[str, Any] | None, order: str | None, seed: int
) -> Beginning | None:
    """Weights of somebody's trained model, ordered. Raises UserError where they are not the full model's."""
    if start is None:
        if order is not None:
            raise UserError(f"order is {order!r}, but there are no weights to order; give start=<their state dict>")
        return None
    weights = family.full_state(start)
    told = {"sha256": fingerprint({name: value.numpy() for name, value in weights.items()}), "order": order}
    if order is not None:
        rows = np.sort(np.random.default_rng([seed, 6]).permutation(data.train.n)[:ORDERED_BY])
        batch = (data.train.x[rows].astype(np.float32), data.train.y[rows])
        weights = family.order(weights, order, batch=batch, task=data.task)
    return Beginning(weights, told)


def _finished(
    out: Path,
    plan: str,
    family: Family,
    data: Dataset,
    recipe: Recipe,
    seed: int,
    begin: Beginning | None,
    *,
    overwrite: bool,
) -> Run | None:
    """The run at `out`, if it is what this training would give; so a command can be repeated until it is through.

    Raises RunError for another run, unless it may be overwritten.
    """
    from core import checkpoint

    run = Run(out)
    record, training = run.record, run.record.training
    same = {
        "model": (record.layout, record.family.get("name")) == (family.layout, (family.source or {}).get("name")),
        "data": record.data.get("fingerprint") == data.fingerprint,
        "recipe": record.recipe == recipe.to_json(),
        "seed": training.get("seed") == seed,
        "start": training.get("start") == (begin.told if begin else None),
    }
    other = [name for name in same if not same[name]]
    if not other and training.get("plan") != plan:
        other = ["model or device"]
    if other and overwrite:
        return None
    if other:
        raise RunError(
            f"{out.name} in {out.parent} is a finished run with another {' and '.join(other)}, so there is nothing to "
            "resume; choose another --out, or replace it with --overwrite"
        )
    files.remove_folder(checkpoint.folder(out))
    run.family, run.dataset = family, data
    return run


def _claim(out: Path, *, resume: bool, overwrite: bool) -> None:
    """Refuse what would lose a run, an unfinished training or anything else that lies there."""
    from core import checkpoint

    check_id(out.name)
    unfinished = checkpoint.folder(out)
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


def _plan(
    family: Family, data: Dataset, recipe: Recipe, seed: int, where: torch.device, begin: Beginning | None
) -> str:
    """Identifies a training: with the same plan and learning rate, the same result."""
    settings = {key: value for key, value in recipe.to_json().items() if key != "lr"}
    modules = str(family.sibling())  # what shapes don't show: activations and their settings
    parts = [family.layout.to_json(), family.source, modules, data.fingerprint, settings, seed, where.type]
    if begin is not None:
        parts.append(begin.told)
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def _write(
    out: Path,
    model: Elastic,
    data: Dataset,
    recipe: Recipe,
    seed: int,
    where: torch.device,
    state: Progress,
    plan: str,
    begin: Beginning | None,
    overwrite: bool,
) -> Run:
    import torch

    from core.batch_norm import buffers, estimate
    from core.width_statistics import batches

    if buffers(model.full):
        estimate(model.full, (x.to(where) for x in batches(data, seed)))
    weights = {name: value.detach().cpu().numpy() for name, value in model.full.state_dict().items()}
    tables = {TABLES + name: np.array(table.detach().cpu()) for name, table in model.scale.tables.items()}
    weights |= tables
    rows = np.sort(np.random.default_rng([seed, 3]).permutation(data.test.n)[:EXAMPLES_KEPT])
    examples = {"x": data.test.x[rows], "y": data.test.y[rows], "index": rows.astype(np.int64)}
    record = RunRecord(
        family={"name": None, "settings": {}, **(model.family.source or {})},
        layout=model.layout,
        task=data.task,
        labels=data.labels,
        input=data.input,
        data={
            "name": data.name,
            "source": data.source,
            "fingerprint": data.fingerprint,
            "validation_fingerprint": data.split_fingerprint("validation"),
            "test_fingerprint": data.split_fingerprint("test"),
            "train_n": data.train.n,
            "validation_n": data.validation.n,
            "test_n": data.test.n,
            **({"picture": list(data.picture)} if data.picture else {}),
        },
        recipe=recipe.to_json(),
        scale=model.scale.to_json(),
        training={
            "seed": seed,
            "plan": plan,
            "device": where.type,
            "threads": torch.get_num_threads(),
            "machine": platform.machine(),
            "seconds": round(state.seconds, 1),
            "history": state.history,
            "probe": _probe(model, examples["x"]),
            **({"rates": state.rates} if state.rates else {}),
            **({"start": begin.told} if begin else {}),
        },
        weights_sha256=fingerprint(weights),
        statistics=tuple(buffers(model.full)),
        versions={"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__},
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    return RunStore(out.parent).write(out.name, record, weights, examples, overwrite=overwrite)


def _probe(model: Elastic, x: np.ndarray) -> list[list[float]]:
    """Full-width scores of the first examples kept, by which `core.sweep.family_of` tells another factory's model."""
    import torch

    with torch.no_grad():
        inputs = torch.from_numpy(np.ascontiguousarray(x[: PROBED[0]])).float().to(next(model.parameters()).device)
        scores = model.full.eval()(inputs)[:, : PROBED[1]].cpu().double()
    found: list[list[float]] = scores.tolist() if bool(torch.isfinite(scores).all()) else []
    return found
