"""The run that a training ends with: written, or opened where the same training was finished before."""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from core.elastic.family import Family
from core.elastic.recipes.base import Recipe
from core.errors import RunError
from core.runs.record import RunRecord
from core.runs.run import Run
from core.runs.store import RunStore
from core.runs.tensors import stored
from core.train.warm_start import WarmStart
from core.utils import files
from core.utils.fingerprint import fingerprint

if TYPE_CHECKING:
    import torch

    from core.data import Dataset
    from core.elastic.module import Elastic
    from core.train.checkpoint import Progress

EXAMPLES_KEPT = 300
PROBED = (2, 16)  # examples and scores by which a factory of one's own is known again


def finished(
    out: Path,
    plan: str,
    family: Family,
    data: Dataset,
    recipe: Recipe,
    seed: int,
    start: WarmStart | None,
    *,
    overwrite: bool,
) -> Run | None:
    """Open the run at `out` if it is the one that this training gives, so that a command can be repeated.

    Returns None where another run is to be overwritten. Raises RunError where one is in the way.
    """
    from core.train import checkpoint

    run = Run(out)
    record, training = run.record, run.record.training
    same = {
        "model": (record.layout, record.family.get("name")) == (family.layout, (family.source or {}).get("name")),
        "data": record.data.get("fingerprint") == data.fingerprint,
        "recipe": record.recipe == recipe.to_json(),
        "seed": training.get("seed") == seed,
        "start": training.get("start") == (start.note if start else None),
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


def write(
    out: Path,
    model: Elastic,
    data: Dataset,
    recipe: Recipe,
    seed: int,
    where: torch.device,
    state: Progress,
    plan: str,
    start: WarmStart | None,
    overwrite: bool,
) -> Run:
    """Write a finished training as a run in folder `out`, whole or not at all. Raises RunError."""
    import torch

    from core.data.dataset import batches
    from core.elastic.batch_norm import buffers, estimate
    from core.elastic.subnet import with_tensors

    if buffers(model.full):
        estimate(model.full, (x.to(where) for x in batches(data, seed)))
    scale = with_tensors(model.scale)
    weights = {name: value.detach().cpu().numpy() for name, value in model.full.state_dict().items()}
    weights |= stored(scale)
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
            **({"warnings": list(data.warnings)} if data.warnings else {}),
        },
        recipe=recipe.to_json(),
        scale=scale.to_json(),
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
            **({"start": start.note} if start else {}),
        },
        weights_sha256=fingerprint(weights),
        statistics=tuple(buffers(model.full)),
        versions={"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__},
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    return RunStore(out.parent).write(out.name, record, weights, examples, overwrite=overwrite)


def _probe(model: Elastic, x: np.ndarray) -> list[list[float]]:
    """Full-width scores of the first stored examples, by which another factory's model is recognised later."""
    import torch

    with torch.no_grad():
        inputs = torch.from_numpy(np.ascontiguousarray(x[: PROBED[0]])).float().to(next(model.parameters()).device)
        scores = model.full.eval()(inputs)[:, : PROBED[1]].cpu().double()
    rows: list[list[float]] = scores.tolist() if bool(torch.isfinite(scores).all()) else []
    return rows
