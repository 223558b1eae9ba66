"""One training, every width: a family, data and a recipe become a run."""

from __future__ import annotations

import hashlib
import json
import math
import platform
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core import files
from core.dropout import Cuts, Recipe
from core.dropout import recipe as recipe_named
from core.errors import RunError, UserError
from core.family import Family
from core.record import RunRecord
from core.runs import Run, RunStore, check_id, fingerprint
from core.tasks import task as task_named

if TYPE_CHECKING:
    import torch

    from core.checkpoint import Progress
    from core.data import Dataset
    from core.elastic import Elastic

CHECKPOINT_SECONDS = 10.0  # at most so much work is lost to a kill
EXAMPLES_KEPT = 300
WATCHED_ROWS = 2000  # validation rows behind the accuracies of the progress bar
CHECK_EVERY = {"cpu": 1, "cuda": 25}  # steps between looks at the loss; a look stalls a GPU


class Interrupted(KeyboardInterrupt):
    """A training or sweep that was stopped on request; its state is on disk."""


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
        A recipe or its name: `stratified`, `paper` or `sandwich`.
    seed
        Decides the initial weights, the order of the examples and the cutoffs.
    device
        `cpu`, `cuda`, or `auto`: CUDA where there is one.
    resume
        Continue an interrupted training of the same settings; the result is that of an uninterrupted one.
    overwrite
        Replace a run of that name.

    Raises LayoutError where features are not unordered, UserError for settings or data that don't fit, RunError
    where the run exists, and Interrupted after Ctrl-C.
    """
    import torch

    from core import checkpoint
    from core.data import Dataset, from_arrays
    from core.elastic import Elastic
    from core.models import fit_inputs

    chosen = recipe_named(recipe) if isinstance(recipe, str) else recipe
    dataset = data if isinstance(data, Dataset) else from_arrays(*data)
    out = Path(out).absolute()
    _claim(out, resume=resume, overwrite=overwrite)
    where = _device(device)
    example = torch.from_numpy(np.ascontiguousarray(dataset.train.x[:2])).float()
    family.check(example)
    _refuse_shared_statistics(family)
    with torch.random.fork_rng(devices=[where] if where.type == "cuda" else []):
        torch.manual_seed(seed)
        model = Elastic(family, chosen.alpha)
        fit_inputs(model.full, *dataset.statistics())
        _check_outputs(model, example, dataset)
        model.to(where)
        optimizer = _optimizer(model, chosen)
        plan = _plan(family, dataset, chosen, seed, where)
        state = checkpoint.restore(out, model, optimizer, plan) if resume else None
        if state is None:
            state = checkpoint.Progress()
            checkpoint.save(out, model, optimizer, state, plan)
        with _stop_requests() as stopped:
            save = partial(checkpoint.save, out, model, optimizer, state, plan)
            _run(model, optimizer, dataset, chosen, seed, state, stopped, progress, save)
    run = _write(out, model, dataset, chosen, seed, where, state, overwrite)
    files.remove_folder(checkpoint.folder(out))
    run.family, run.dataset = family, dataset
    return run


def _run(
    model: Elastic,
    optimizer: torch.optim.Optimizer,
    data: Dataset,
    recipe: Recipe,
    seed: int,
    state: Progress,
    stopped: Callable[[], bool],
    progress: bool,
    save: Callable[[], None],
) -> None:
    """All steps from `state` on, in place."""
    import torch
    from tqdm import tqdm

    where = next(model.parameters()).device
    n, batch = data.train.n, batch_rows(recipe, data.train.n)
    steps_an_epoch = n // batch
    total = recipe.epochs * steps_an_epoch
    x, y = torch.from_numpy(data.train.x), torch.from_numpy(data.train.y)
    if where.type == "cuda":  # whole on the GPU: picking a batch from the host would cost more than the step
        x, y = x.to(where), y.to(where)
    loss_of = loss_function(data.task)
    started, seconds_before, saved_at = time.monotonic(), state.seconds, time.monotonic()
    running: torch.Tensor | None = None
    watch = ""
    bar = tqdm(total=total, initial=state.step, disable=not progress, unit="step", dynamic_ncols=True, desc="training")
    with bar:
        while state.step < total:
            epoch, first = divmod(state.step, steps_an_epoch)
            # drawn from seed and epoch alone, so that a resumed training needs no memory of earlier draws
            order = torch.from_numpy(np.random.default_rng([seed, 1, epoch]).permutation(n)).to(where)
            drawing = np.random.default_rng([seed, 2, epoch])
            draws = [recipe.draw(drawing, model.layout.widths) for _ in range(steps_an_epoch)]
            model.train()
            for index in range(first, steps_an_epoch):
                rows = order[index * batch : (index + 1) * batch]
                for group in optimizer.param_groups:
                    group["lr"] = learning_rate(recipe, state.step, total)
                loss = train_step(model, optimizer, x[rows].float(), y[rows], draws[index], loss_of)
                state.step += 1
                running = loss if running is None else 0.95 * running + 0.05 * loss
                state.seconds = seconds_before + time.monotonic() - started
                bar.update()
                if state.step % CHECK_EVERY.get(where.type, 1) == 0 or state.step == total:
                    _check_loss(running, state, recipe, steps_an_epoch)
                    bar.set_postfix_str(f"loss {float(running):.3f}{watch}", refresh=False)
                asked = stopped()
                if asked or time.monotonic() - saved_at > CHECKPOINT_SECONDS:
                    _check_loss(running, state, recipe, steps_an_epoch)
                    save()
                    saved_at = time.monotonic()
                if asked and state.step < total:
                    done = f"stopped after {state.step} of {total} steps; nothing is lost"
                    raise Interrupted(f"{done}: the same command with --resume continues")
            watched = _watch(model, data)
            metric = task_named(data.task).metric
            watch = "".join(f" · {label} {metric.format(value)}" for label, value in watched.items())
            state.history.append(
                {"epoch": epoch + 1, "loss": round(float(running), 6) if running is not None else None, **watched}
            )


def train_step(
    model: Elastic,
    optimizer: torch.optim.Optimizer,
    x: torch.Tensor,
    y: torch.Tensor,
    cuts: Cuts,
    loss_of: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
) -> torch.Tensor:
    """One step of the optimiser on a batch; returns the loss, detached. x: (batch, ...), y: (batch,)."""
    import torch

    optimizer.zero_grad(set_to_none=True)
    outputs = model(x, cuts)
    if cuts.teacher is not None:
        taught = outputs[cuts.teacher].detach().softmax(-1)
        losses = [loss_of(o, y if k == cuts.teacher else taught) for k, o in enumerate(outputs)]
        loss = torch.stack(losses).mean()
    else:
        loss = loss_of(torch.cat(outputs), y.repeat(len(outputs)) if cuts.whole_batch else y)
    loss.backward()
    optimizer.step()
    return loss.detach()


def learning_rate(recipe: Recipe, step: int, total: int) -> float:
    """Linear warm-up, then a cosine to zero (Loshchilov & Hutter, 2017)."""
    warm = max(1, round(recipe.warmup * total))
    if step < warm:
        return recipe.lr * (step + 1) / warm
    return recipe.lr * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, total - warm)))


def batch_rows(recipe: Recipe, n: int) -> int:
    """Rows of a batch: the recipe's, and on small data few enough for at least sixteen steps an epoch."""
    return min(n, recipe.batch_size or min(500, max(32, n // 16)))


def loss_function(task: str) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """The task's loss, as torch.nn.functional names it."""
    from torch.nn import functional as F

    found: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] = getattr(F, task_named(task).loss)
    return found


def _optimizer(model: Elastic, recipe: Recipe) -> torch.optim.Optimizer:
    """Adam with decoupled weight decay on matrices alone: shrinking a bias or a gain only shifts a feature."""
    import torch

    matrices = [p for p in model.parameters() if p.dim() > 1]
    vectors = [p for p in model.parameters() if p.dim() <= 1]
    groups = [{"params": matrices, "weight_decay": recipe.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=recipe.lr, fused=True)


def _watch(model: Elastic, data: Dataset) -> dict[str, float]:
    """The metric on validation rows at three widths, for the progress bar."""
    import torch

    model.eval()
    where = next(model.parameters()).device
    x = torch.from_numpy(data.validation.x[:WATCHED_ROWS]).float().to(where)
    y = torch.from_numpy(data.validation.y[:WATCHED_ROWS]).to(where)
    full = model.layout.widths
    found = {}
    with torch.no_grad():
        for share in (1, 4, 16):
            cutoff = {name: max(w.lower, w.full // share) for name, w in full.items()}
            right = (model(x, Cuts((cutoff,), whole_batch=True))[0].argmax(-1) == y).float().mean()
            label = "full" if share == 1 else f"1/{share}"
            found[label] = round(float(right), 6)
    return found


def _check_loss(loss: torch.Tensor | None, state: Progress, recipe: Recipe, steps_an_epoch: int) -> None:
    if loss is not None and not math.isfinite(float(loss)):
        raise UserError(
            f"the loss is {float(loss)} at step {state.step} (epoch {(state.step - 1) // steps_an_epoch + 1}) with "
            f"learning rate {recipe.lr:g}; the last good checkpoint is kept; start again with --overwrite and a "
            f"smaller rate, such as --lr {recipe.lr / 4:.2g}"
        )


def _check_outputs(model: Elastic, example: torch.Tensor, data: Dataset) -> None:
    """The model's scores against the labels, before anything is trained."""
    import torch

    model.eval()
    with torch.no_grad():
        scores = model(example, Cuts((model.layout.full,), whole_batch=True))[0]
    if scores.dim() != 2 or scores.shape[1] != len(data.labels):
        raise UserError(
            f"the model's output has shape {tuple(scores.shape)} for {len(example)} examples; "
            f"{len(data.labels)} labels want ({len(example)}, {len(data.labels)})"
        )


def _refuse_shared_statistics(family: Family) -> None:
    """Batch statistics differ from width to width, so one running average would be wrong for all but one."""
    for name, tensor in family.layout.tensors.items():
        if tensor.kind == "buffer" and name.endswith(("running_mean", "running_var")) and tensor.widths():
            raise UserError(
                f"{name!r} is a running statistic of batch normalisation, which differs from width to width and is "
                "not supported; use LayerNorm, GroupNorm or RMSNorm in its place"
            )


def _device(name: str) -> torch.device:
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name not in ("cpu", "cuda"):
        raise UserError(f"device {name!r} is not known; choose auto, cpu or cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("device 'cuda' is not there: torch sees no GPU; choose auto or cpu")
    return torch.device(name)


def _claim(out: Path, *, resume: bool, overwrite: bool) -> None:
    """Refuse what would lose a run or an unfinished training."""
    from core import checkpoint

    check_id(out.name)
    if out.exists() and not overwrite:
        raise RunError(f"{out.name} exists in {out.parent}; choose another --out, or replace it with --overwrite")
    if checkpoint.folder(out).exists() and not resume:
        if not overwrite:
            raise RunError(
                f"an unfinished training of {out.name} is in {out.parent}; continue it with --resume, "
                "or start anew with --overwrite"
            )
        files.remove_folder(checkpoint.folder(out))


def _plan(family: Family, data: Dataset, recipe: Recipe, seed: int, where: torch.device) -> str:
    """Identifies a training: with the same plan, the same result."""
    parts = [family.layout.to_json(), family.source, data.fingerprint, recipe.to_json(), seed, where.type]
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


@contextmanager
def _stop_requests() -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C (or a polite kill) was asked for, so that a step is never cut in half; a second one insists."""
    asked = threading.Event()

    def note(number: int, frame: Any) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set  # signals reach the main thread alone
        return
    before = {s: signal.signal(s, note) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _write(
    out: Path,
    model: Elastic,
    data: Dataset,
    recipe: Recipe,
    seed: int,
    where: torch.device,
    state: Progress,
    overwrite: bool,
) -> Run:
    import torch

    weights = {name: value.detach().cpu().numpy() for name, value in model.full.state_dict().items()}
    rows = np.sort(np.random.default_rng([seed, 3]).permutation(data.test.n)[:EXAMPLES_KEPT])
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
        },
        recipe={**recipe.to_json(), "batch_size": batch_rows(recipe, data.train.n)},
        scale=model.scale.to_json(),
        training={
            "seed": seed,
            "device": where.type,
            "threads": torch.get_num_threads(),
            "machine": platform.machine(),
            "seconds": round(state.seconds, 1),
            "history": state.history,
        },
        weights_sha256=fingerprint(weights),
        versions={"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__},
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    examples = {"x": data.test.x[rows], "y": data.test.y[rows], "index": rows.astype(np.int64)}
    return RunStore(out.parent).write(out.name, record, weights, examples, overwrite=overwrite)
