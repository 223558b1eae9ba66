"""Every width of a run, validated once: metrics.parquet and predictions.parquet.

metrics.parquet has one row a width: `width`, each named width as `width_<name>`, `params`, `macs` (one example),
`bytes` (the safetensors file), then for the test part `n`, `loss`, the metric with its 95 % interval (`accuracy`,
`accuracy_low`, `accuracy_high`, fractions) and `per_class_accuracy` (in the order of the labels; NaN where a class
has no example), and `validation_n`, `validation_loss`, `validation_accuracy` with its interval, by
which sizes are chosen.
"""

from __future__ import annotations

import json
import operator
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core import files
from core.errors import RunError, UserError
from core.family import Family
from core.frontier import log_spaced
from core.interrupt import Interrupted, stop_requests
from core.latency import machine_name, measure
from core.record import path_range, path_widths
from core.runs import LATENCY, METRICS, PARTIAL, PREDICTIONS, Run, fingerprint
from core.scale import Scale
from core.tables import write_table
from core.tasks import wilson_interval
from core.train import as_dataset

if TYPE_CHECKING:
    import pandas as pd

    from core.data import Dataset, Split
    from core.evaluate import Evaluator, Scores

VERSION = 2  # of what is computed; a new one makes cached metrics stale
SAVE_SECONDS = 5.0  # at most so much work is lost to a kill
ALL_WIDTHS_OF_A_CHAIN = 1024  # above it, and for other architectures, a log-spaced subset
WIDTHS_OF_OTHERS = 64
SAME_SCORES = 1e-3  # of the largest; what another machine may differ by from the scores a run is known by


def sweep(
    run: Run | Path | str,
    data: Dataset | tuple[Any, Any] | None = None,
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
        What the run was trained on, as it was given to `train`; loaded by name where it is left out.
    family
        The run's family, needed only for a factory of your own after a restart of Python.
    widths
        Which ones; all of a fully-connected family, else a log-spaced subset. Others that were validated before stay.
    plain
        Run every small model by itself, even where one pass would do.
    latency
        Also measure the time of a prediction on this machine, for a log-spaced set of widths.

    Returns the table of `Run.metrics`, at `widths` where they were asked for. An interrupted sweep goes on where it
    stopped. Raises UserError for data that the run was not trained on or widths outside its range, RunError for a run
    that can't be read or written, and Interrupted after Ctrl-C.
    """
    run = run if isinstance(run, Run) else Run(Path(run))
    family = family_of(run, family)
    chosen = _widths(run, family, widths)
    given = run.dataset or _load(run) if data is None else as_dataset(data)
    key = {
        "version": VERSION,
        "weights": run.record.weights_sha256,
        "test": given.split_fingerprint("test"),
        "validation": given.split_fingerprint("validation"),
    }
    _check_data(run, key)
    with stop_requests() as stopped:
        known = _known(run, key)
        todo = [width for width in chosen if known is None or width not in set(known[0]["width"])]
        if todo:
            _evaluate(run, family, given, todo, key, known, plain=plain, progress=progress, stopped=stopped)
        files.remove_file(run.path / PARTIAL)
        if latency:
            _latency(run, family, progress=progress, stopped=stopped)
    table = run.metrics()
    return table if widths is None else table[table["width"].isin(chosen)].reset_index(drop=True)


def family_of(run: Run, family: Family | None = None) -> Family:
    """The family of a run: given, still in memory, or rebuilt from its settings.

    Raises UserError where it has to be given, RunError where it is not the one that the run was trained with.
    """
    from core import models

    found = family or run.family
    if found is None:
        name, settings = run.record.family.get("name"), run.record.family.get("settings", {})
        if name is None:
            raise UserError(
                f"run {run.id} was trained from a factory of your own; call sweep(run, data, family=...) from Python"
            )
        found = models.family(name, **settings)
    if found is not run.family:
        other = f"the family is not the one that run {run.id} was trained with"
        if found.layout != run.layout:
            raise RunError(f"{other}: its layout differs; check its factory and its widths")
        if not _gives_probe(run, found):
            raise RunError(f"{other}: its layout is the same, its scores are not; check its factory's activations")
        run.family = found
    return found


def _gives_probe(run: Run, family: Family) -> bool:
    """Whether the full-width model scores the first examples as it did when it was trained (`core.train`)."""
    import torch

    from core.elastic import load

    wanted = np.array(run.record.training.get("probe") or [], dtype=np.float64)
    if wanted.ndim != 2:
        return True  # a run of before there were probes
    x = torch.from_numpy(run.examples()["x"][: len(wanted)]).float()
    scale = Scale.from_json(run.record.scale, run.layout)
    with torch.inference_mode():
        scores = load(family, scale, run.weights(), run.layout.full)(x)[:, : wanted.shape[1]].double().numpy()
    return scores.shape == wanted.shape and bool(np.abs(scores - wanted).max() <= SAME_SCORES * np.abs(wanted).max())


def _known(run: Run, key: dict[str, Any]) -> tuple[pd.DataFrame, pd.DataFrame] | None:
    """Metrics and predictions at the widths that were validated before; None where none were, or can't be read."""
    for name in (METRICS, PREDICTIONS):
        note = run.note(name)
        if any(note.get(entry) != value for entry, value in key.items()):
            return None
    try:
        metrics, predictions = run.metrics(), run.predictions()
    except RunError:
        return None
    both = [f"w{width}" in predictions for width in metrics["width"]]
    return metrics[both].reset_index(drop=True), predictions


def _evaluate(
    run: Run,
    family: Family,
    data: Dataset,
    widths: list[int],
    key: dict[str, Any],
    known: tuple[pd.DataFrame, pd.DataFrame] | None,
    *,
    plain: bool,
    progress: bool,
    stopped: Callable[[], bool],
) -> None:
    """Both parts of the data at the widths that are not known yet, then the two files with all that is."""
    import pandas as pd
    from tqdm import tqdm

    from core.evaluate import Evaluator

    evaluator = Evaluator(family, Scale.from_json(run.record.scale, run.layout), run.weights(), widths, plain)
    found: dict[str, Scores] = {}
    partial = _Partial(run.path / PARTIAL, {**key, "widths": widths})
    total = data.validation.n + data.test.n
    with tqdm(total=total, disable=not progress, unit="example", desc="validating widths", dynamic_ncols=True) as bar:
        for name in ("validation", "test"):
            part = data.part(name)
            scores = partial.restore(name, evaluator.start(part.n, len(data.labels)))
            before = sum(other.rows for other in found.values())
            bar.update(scores.rows)
            for _ in evaluator.advance(scores, part.x, part.y):
                done = before + scores.rows
                bar.update(done - bar.n)
                asked = stopped()
                partial.keep(name, scores, at_once=asked)
                if asked:
                    again = f"python -m core sweep {run.path} continues"
                    raise Interrupted(f"stopped after {done} of {total} examples; nothing is lost: {again}")
            found[name] = scores
    frame = _table(run, family, data, widths, found, evaluator)
    columns = dict(zip(widths, found["test"].predictions.T, strict=True))
    if known is not None:
        frame = pd.concat([known[0], frame], ignore_index=True).sort_values("width", ignore_index=True)
        columns |= {width: known[1][f"w{width}"].to_numpy() for width in known[0]["width"]}
    note = {**key, "widths": [int(width) for width in frame["width"]]}
    write_table(run.path / PREDICTIONS, _predictions(data.test, columns), note)
    write_table(run.path / METRICS, frame, note)


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

    def keep(self, name: str, scores: Scores, *, at_once: bool = False) -> None:
        """Save now and then, or at once."""
        self._kept[name] = scores
        if time.monotonic() - self._saved_at < SAVE_SECONDS and not at_once:
            return
        from safetensors.numpy import save

        tensors = {}
        for part, known in self._kept.items():
            tensors[f"{part}.rows"] = np.array([known.rows], np.int64)
            tensors[f"{part}.predictions"] = known.predictions[: known.rows]
            tensors[f"{part}.loss"] = known.loss
        files.write_bytes(self.path, save(tensors, {"key": self.key, "sha256": fingerprint(tensors)}))
        self._saved_at = time.monotonic()

    def _read(self) -> dict[str, np.ndarray]:
        from safetensors import safe_open

        if not self.path.exists():
            return {}
        try:
            with safe_open(self.path, framework="numpy") as file:
                note = file.metadata() or {}
                found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        except Exception:  # a partial sweep is only a saving of time: what can't be read is done again
            return {}
        return found if note.get("key") == self.key and note.get("sha256") == fingerprint(found) else {}


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


def _predictions(test: Split, found: dict[int, np.ndarray]) -> pd.DataFrame:
    """Example, label, and a column for each width; likely-alike rows together, which makes the file far smaller."""
    import pandas as pd

    widths = sorted(found)
    by_size = [found[width] for width in widths]
    order = np.lexsort((*by_size[:: max(1, len(widths) // 8)], by_size[-1], test.y))
    columns = {f"w{width}": found[width][order] for width in widths}
    label = test.y[order].astype(by_size[0].dtype)
    return pd.DataFrame({"example": order.astype(np.int32), "label": label, **columns})


def _latency(run: Run, family: Family, *, progress: bool, stopped: Callable[[], bool]) -> None:
    """Measure on this machine unless that was done for these weights; other machines' figures stay."""
    import pandas as pd

    low, high = path_range(run.layout)
    machine, weights = machine_name(), run.record.weights_sha256
    try:
        before = run.latency() if run.note(LATENCY).get("weights") == weights else None
    except RunError:
        before = None
    if before is not None and (before["machine"] == machine).any():
        return
    rows = measure(run, family, log_spaced(low, high), progress=progress, stopped=stopped)
    frame = pd.DataFrame({"machine": machine, **pd.DataFrame(rows)})
    frame = frame if before is None else pd.concat([before, frame], ignore_index=True)
    write_table(run.path / LATENCY, frame, {"weights": weights, "machines": sorted(set(frame["machine"]))})


def _widths(run: Run, family: Family, asked: Sequence[int] | None) -> list[int]:
    from core.chain import find_chain

    low, high = path_range(run.layout)
    if asked is not None:
        try:
            chosen = sorted({operator.index(width) for width in asked if not isinstance(width, bool)})
        except TypeError:
            chosen = []
        if not chosen or chosen[0] < low or chosen[-1] > high:
            raise UserError(
                f"widths are {asked!r}; choose at least one, all of them whole numbers from {low} to {high}"
            )
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
        raise UserError(f"run {run.id} is validated on its data, as in sweep(run, data): {error}") from None


def _check_data(run: Run, note: dict[str, Any]) -> None:
    for part in ("test", "validation"):
        if note[part] != run.record.data.get(f"{part}_fingerprint"):
            raise UserError(
                f"the {part} part is not what run {run.id} was trained with (fingerprint {note[part][:12]}, wanted "
                f"{str(run.record.data.get(f'{part}_fingerprint'))[:12]}); give the data it was trained on"
            )
