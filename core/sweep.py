"""Every width of a run, validated once: metrics.parquet and predictions.parquet.

metrics.parquet has one row a width: `width`, each named width as `width_<name>`, `params`, `macs` (one example),
`bytes` (the safetensors file), then for the test part `n`, `loss`, the metric with its 95 % interval (`accuracy`,
`accuracy_low`, `accuracy_high`, fractions) and `per_class_accuracy` (in the order of the labels; NaN where a class
has no example), and `validation_n`, `validation_loss`, `validation_accuracy` with its interval, by
which sizes are chosen.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core import files
from core.errors import RunError, UserError
from core.family import Family
from core.frontier import log_spaced
from core.latency import measure
from core.record import path_range, path_widths
from core.runs import LATENCY, METRICS, PREDICTIONS, Run, write_parquet
from core.scale import Scale
from core.tasks import wilson_interval

if TYPE_CHECKING:
    import pandas as pd

    from core.data import Dataset, Split
    from core.evaluate import Evaluator, Scores

VERSION = 2  # of what is computed; a new one makes cached metrics stale
SAVE_SECONDS = 5.0  # at most so much work is lost to a kill
ALL_WIDTHS_OF_A_CHAIN = 1024  # above it, and for other architectures, a log-spaced subset
WIDTHS_OF_OTHERS = 64
PARTIAL = "sweep.partial.safetensors"


def sweep(
    run: Run | Path | str,
    data: Dataset | None = None,
    *,
    family: Family | None = None,
    widths: Sequence[int] | None = None,
    plain: bool = False,
    latency: bool = True,
    progress: bool = True,
) -> pd.DataFrame:
    """Validate the widths of a run and keep the result beside it; what is there already is only read.

    Parameters
    ----------
    run
        A run, or its folder.
    data
        What the run was trained on; loaded by name where it is left out.
    family
        The run's family, needed only for a factory of your own after a restart of Python.
    widths
        Which ones; all of a fully-connected family, else a log-spaced subset.
    plain
        Run every small model by itself, even where one pass would do.
    latency
        Also measure the time of a prediction on this machine, for a log-spaced set of widths.

    Returns the table of `Run.metrics`. An interrupted sweep goes on where it stopped. Raises UserError for data that
    the run was not trained on, or widths outside its range.
    """
    run = run if isinstance(run, Run) else Run(Path(run))
    family = family_of(run, family)
    chosen = _widths(run, family, widths)
    data = data or run.dataset or _load(run)
    note = {
        "version": VERSION,
        "weights": run.record.weights_sha256,
        "test": data.split_fingerprint("test"),
        "validation": data.split_fingerprint("validation"),
        "widths": chosen,
    }
    _check_data(run, note)
    cached = run.parquet_note(METRICS)
    if cached != note or not (run.path / PREDICTIONS).exists():
        _evaluate(run, family, data, chosen, note, plain=plain, progress=progress)
    if latency:
        _latency(run, family, progress=progress)
    return run.metrics()


def family_of(run: Run, family: Family | None = None) -> Family:
    """The family of a run: given, still in memory, or rebuilt from its settings. Raises UserError, RunError."""
    from core import models

    found = family or run.family
    if found is None:
        if run.record.family.get("name") is None:
            raise UserError(
                f"run {run.id} was trained from a factory of your own; call sweep(run, data, family=...) from Python"
            )
        found = models.family(run.record.family["name"], **run.record.family.get("settings", {}))
    if found.layout != run.layout:
        raise RunError(f"the family does not have the layout that run {run.id} was trained with; check its factory")
    return found


def _evaluate(
    run: Run, family: Family, data: Dataset, widths: list[int], note: dict[str, Any], *, plain: bool, progress: bool
) -> None:
    """Both parts of the data at every width, then the two files."""
    from tqdm import tqdm

    from core.evaluate import Evaluator

    evaluator = Evaluator(family, Scale.from_json(run.record.scale, run.layout), run.weights(), widths, plain)
    found: dict[str, Scores] = {}
    partial = _Partial(run.path / PARTIAL, note)
    total = data.validation.n + data.test.n
    with tqdm(total=total, disable=not progress, unit="example", desc="validating widths", dynamic_ncols=True) as bar:
        for name in ("validation", "test"):
            part = data.part(name)
            scores = partial.restore(name, evaluator.start(part.n, len(data.labels)))
            bar.update(scores.rows)
            for _ in evaluator.advance(scores, part.x, part.y):
                bar.update(scores.rows - bar.n + (data.validation.n if name == "test" else 0))
                partial.keep(name, scores)
            found[name] = scores
    frame = _table(run, family, data, widths, found, evaluator)
    write_parquet(run.path / PREDICTIONS, _predictions(data.test, widths, found["test"]), note)
    write_parquet(run.path / METRICS, frame, note)
    partial.path.unlink(missing_ok=True)


class _Partial:
    """What an interrupted sweep knows already, in one file that belongs to one set of weights, data and widths."""

    def __init__(self, path: Path, note: dict[str, Any]) -> None:
        self.path, self.key = path, json.dumps(note, sort_keys=True)
        self._kept: dict[str, Scores] = {}
        self._saved_at = time.monotonic()
        self._found = self._read()

    def restore(self, name: str, empty: Scores) -> Scores:
        """What was known of a part of the data, else `empty`."""
        rows = int(self._found.get(f"{name}.rows", np.zeros(1))[0])
        if rows:
            empty.predictions[:rows] = self._found[f"{name}.predictions"]
            empty.loss[:] = self._found[f"{name}.loss"]
            empty.rows = rows
        self._kept[name] = empty
        return empty

    def keep(self, name: str, scores: Scores) -> None:
        """Save now and then."""
        self._kept[name] = scores
        if time.monotonic() - self._saved_at < SAVE_SECONDS:
            return
        from safetensors.numpy import save

        tensors = {}
        for part, known in self._kept.items():
            tensors[f"{part}.rows"] = np.array([known.rows], np.int64)
            tensors[f"{part}.predictions"] = known.predictions[: known.rows]
            tensors[f"{part}.loss"] = known.loss
        files.write_bytes(self.path, save(tensors, {"key": self.key}))
        self._saved_at = time.monotonic()

    def _read(self) -> dict[str, np.ndarray]:
        from safetensors import SafetensorError, safe_open

        if not self.path.exists():
            return {}
        try:
            with safe_open(self.path, framework="numpy") as file:
                if (file.metadata() or {}).get("key") != self.key:
                    return {}
                return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        except (SafetensorError, OSError, ValueError):
            return {}  # a partial sweep is only a saving of time: what can't be read is done again


def _table(
    run: Run, family: Family, data: Dataset, widths: list[int], found: dict[str, Scores], evaluator: Evaluator
) -> pd.DataFrame:
    import pandas as pd

    y, n, validation_n = data.test.y, data.test.n, data.validation.n
    right = found["test"].predictions == y[:, None]  # (n, widths)
    correct = right.sum(0)
    members = np.bincount(y, minlength=len(data.labels)).astype(float)
    order = np.argsort(y, kind="stable")
    # correct answers by class: sums of runs of rows once the rows are sorted by class
    by_class = np.zeros((len(data.labels), len(widths)))
    present = np.flatnonzero(members)
    starts = np.concatenate([[0], np.cumsum(members[present])[:-1]]).astype(int)
    by_class[present] = np.add.reduceat(right[order].astype(np.int64), starts, axis=0)
    with np.errstate(invalid="ignore"):
        per_class = by_class / members[:, None]
    intervals = [wilson_interval(int(c), n) for c in correct]
    validation_right = (found["validation"].predictions == data.validation.y[:, None]).sum(0)
    named = [path_widths(run.layout, width) for width in widths]
    return pd.DataFrame(
        {
            "width": widths,
            **{f"width_{name}": [w[name] for w in named] for name in run.layout.widths},
            "params": [run.layout.params(w) for w in named],
            "macs": _macs(family, data, named, evaluator),
            "bytes": [run.layout.file_bytes(w) for w in named],
            "n": n,
            "loss": found["test"].loss / n,
            "accuracy": correct / n,
            "accuracy_low": [low for low, _ in intervals],
            "accuracy_high": [high for _, high in intervals],
            "per_class_accuracy": list(per_class.T),
            "validation_n": validation_n,
            "validation_loss": found["validation"].loss / validation_n,
            "validation_accuracy": validation_right / validation_n,
            "validation_accuracy_low": [wilson_interval(int(c), validation_n)[0] for c in validation_right],
            "validation_accuracy_high": [wilson_interval(int(c), validation_n)[1] for c in validation_right],
        }
    )


def _macs(family: Family, data: Dataset, named: list[dict[str, int]], evaluator: Evaluator) -> list[int]:
    """Multiply-accumulates of one example at each width; in closed form for a chain."""
    import torch

    example = torch.zeros((1, *data.input.shape))
    if evaluator.chain is None:
        return [family.macs(example, **widths) for widths in named]
    fixed = family.macs(example) - evaluator.chain.macs(family.layout, family.layout.full)
    return [fixed + evaluator.chain.macs(family.layout, widths) for widths in named]


def _predictions(test: Split, widths: list[int], scores: Scores) -> pd.DataFrame:
    """Example, label, and a column for each width; likely-alike rows together, which makes the file far smaller."""
    import pandas as pd

    found = scores.predictions
    order = np.lexsort((*(found[:, k] for k in range(0, len(widths), max(1, len(widths) // 8))), found[:, -1], test.y))
    columns = {f"w{width}": found[order, k] for k, width in enumerate(widths)}
    return pd.DataFrame({"example": order.astype(np.int32), "label": test.y[order].astype(found.dtype), **columns})


def _latency(run: Run, family: Family, *, progress: bool) -> None:
    """Measure on this machine unless that was done for these weights; other machines' figures stay."""
    import pandas as pd

    low, high = path_range(run.layout)
    rows = measure(run, family, log_spaced(low, high), known=run.parquet_note(LATENCY), progress=progress)
    if rows is None:
        return
    frame, machine = pd.DataFrame(rows[0]), rows[1]
    before = run.latency() if run.parquet_note(LATENCY).get("weights") == run.record.weights_sha256 else None
    machines = {machine}
    if before is not None:
        kept = before[before["machine"] != machine]
        machines |= set(kept["machine"])
        frame = pd.concat([kept, frame], ignore_index=True)
    note = {"weights": run.record.weights_sha256, "machines": sorted(machines)}
    write_parquet(run.path / LATENCY, frame, note)


def _widths(run: Run, family: Family, asked: Sequence[int] | None) -> list[int]:
    from core.chain import find_chain

    low, high = path_range(run.layout)
    if asked is not None:
        chosen = sorted({int(w) for w in asked})
        if not chosen or chosen[0] < low or chosen[-1] > high:
            raise UserError(f"widths {list(asked)} are not all in {low} to {high}; choose at least one, all inside")
        return chosen
    limit = ALL_WIDTHS_OF_A_CHAIN if find_chain(family.sibling(), family.layout) else WIDTHS_OF_OTHERS
    if high - low < limit:
        return list(range(low, high + 1))
    return sorted({round(w) for w in np.geomspace(low, high, limit)})


def _load(run: Run) -> Dataset:
    from core import data

    try:
        return data.load(str(run.record.data.get("name")))
    except UserError as error:
        raise UserError(f"the data of run {run.id} is needed to validate it: {error}") from None


def _check_data(run: Run, note: dict[str, Any]) -> None:
    for part in ("test", "validation"):
        if note[part] != run.record.data.get(f"{part}_fingerprint"):
            raise UserError(
                f"the {part} part is not what run {run.id} was trained with (fingerprint {note[part][:12]}, wanted "
                f"{str(run.record.data.get(f'{part}_fingerprint'))[:12]}); give the data it was trained on"
            )
