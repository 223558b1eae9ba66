"""Compare methods that give all widths with models trained for each: python benchmarks/quality.py --task digits-mlp

Print one table and write it as parquet, with a chart as PNG; benchmarks/README.md describes contenders and columns.
Results are kept by contender, seed, settings and versions: the same command continues after a stop, and --contender
NAME adds to the file. Times are CPU seconds of one thread relative to one dense training in the same invocation.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import importlib.metadata
import importlib.util
import json
import platform
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dedicated
import numpy as np
from contenders import CONTENDERS, Contender
from gap_chart import draw
from gaps import DENSE, lines, text
from measure import finish, in_fresh_process, peak_memory
from quality_task import TASKS, load
from trainings import batch_of

from core.errors import UserError
from core.utils.parquet import read_table, write_table
from core.utils.signals import Interrupted

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

SHORT_SECONDS = 30.0  # of a dense training
PACKAGES = {"torch_pruning": "torch-pruning", "modelopt": "nvidia-modelopt"}  # by import name
SOURCES = (
    "core/elastic",
    "core/tasks",
    "core/train",
    "core/finetune",
    "benchmarks/trainings.py",
    "benchmarks/quality_task.py",
    "benchmarks/dedicated.py",
)  # the code that trains


def measured(name: str, where: tuple[str, str | None, bool], seed: int, known: dict[str, Any], chosen: Any) -> dict:
    """Measure one contender and one seed, in a process of its own; return the columns that its widths share."""
    import torch

    torch.set_num_threads(1)
    task, data_dir, quick = where
    bench = load(task, data_dir, quick=quick, **known)
    dedicated.fit(bench.build(bench.widths[0], seed), bench.data, dedicated.plain_recipe(1, 1e-3), seed, steps=2)
    # a machine's speed changes within minutes: a short dense training is timed right before and right after
    short = bench.dense_seconds < SHORT_SECONDS
    before = bench.dense_again(seed) if short else bench.dense_seconds
    with peak_memory() as used:
        outcome = CONTENDERS[name].run(dataclasses.replace(bench, dense_seconds=before), seed, chosen)
    after = bench.dense_again(seed) if short else before
    return {
        "accuracy": outcome.test, "validation": outcome.validation, "seconds": outcome.seconds,
        "tuning_seconds": outcome.tuning_seconds, "batch": outcome.batch, "chosen": json.dumps(outcome.chosen),
        "memory_mb": used["mb"], "dense_seconds": (before + after) / 2,
    }  # fmt: skip


def dense(where: tuple[str, str | None, bool], seed: int, lr: float | None) -> dict:
    """Train a plain model at full width, the unit of time; without `lr`, with the best of the rates by validation."""
    import torch

    torch.set_num_threads(1)
    task, data_dir, quick = where
    bench = load(task, data_dir, quick=quick)
    full = bench.widths[-1]
    dedicated.fit(bench.build(full, seed), bench.data, dedicated.plain_recipe(1, 1e-3), seed, steps=2)
    tried, best = 0.0, None
    for rate in bench.rates if lr is None else (lr,):
        with peak_memory() as used:
            module, seconds = bench.train(full, seed, rate)
        validation = dedicated.accuracy(module, bench.data.validation)
        tried += seconds
        if best is None or validation > best[0]:
            best = validation, rate, seconds, dedicated.accuracy(module, bench.data.test), used["mb"]
    assert best is not None
    return {
        "accuracy": {full: best[3]}, "validation": {full: best[0]}, "seconds": best[2],
        "tuning_seconds": tried if lr is None and len(bench.rates) > 1 else 0.0,
        "batch": batch_of(bench, dedicated.plain_recipe(1, 1e-3)),
        "chosen": json.dumps({"epochs": bench.epochs, "lr": best[1]}), "memory_mb": best[4],
    }  # fmt: skip


def key_of(task: str, quick: bool, contender: Contender | None) -> str:
    """Return a hash of what a result depends on besides the seed. Results under other keys are kept and not shown."""
    about = {
        "task": {**vars(TASKS[task])}, "quick": quick, "python": platform.python_version_tuple()[:2],
        "versions": [importlib.metadata.version(package) for package in ("torch", "numpy")],
        "contender": None if contender is None else [dict(contender.settings), contender.budget],
    }  # fmt: skip
    return hashlib.sha256(json.dumps(about, sort_keys=True, default=str).encode()).hexdigest()[:16]


def sources() -> str:
    """Return a fingerprint of the training code, stored with each result."""
    root = Path(__file__).resolve().parents[1]
    files = [file for name in SOURCES for file in sorted((root / name).rglob("*.py")) or [root / name]]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]


def left_out(name: str, task: str) -> str | None:
    """Return why a contender can't run here and what would help; None if it can run."""
    contender, model = CONTENDERS[name], TASKS[task].model
    if model in contender.not_for:
        return f"{name} is left out of {task}: {contender.not_for[model]}"
    if contender.needs and importlib.util.find_spec(contender.needs) is None:
        package = PACKAGES[contender.needs]
        return f"{name} is left out: {package} is missing; install it with pip install -r benchmarks/requirements.txt"
    return None


class Results:
    """The rows of a parquet file; each addition is on disk when `add` returns."""

    def __init__(self, path: Path, fresh: bool) -> None:
        import pandas as pd

        self.path = path
        self.rows = pd.DataFrame() if fresh or not path.exists() else read_table(path)

    def find(self, contender: str, key: str) -> pd.DataFrame:
        """Return the rows of one contender, or an empty frame."""
        if self.rows.empty:
            return self.rows
        return self.rows[(self.rows["contender"] == contender) & (self.rows["key"] == key)]

    def add(
        self, contender: str, seed: int, key: str, found: dict[str, Any], between: Sequence[int] = (), **more: Any
    ) -> None:
        """Write one contender and seed, a row a width, in place of earlier rows."""
        import pandas as pd

        shared = {k: v for k, v in found.items() if k not in ("accuracy", "validation")}
        new = pd.DataFrame([
            {"contender": contender, "seed": seed, "width": width, "accuracy": accuracy,
             "between": width in between, "validation": found["validation"][width], **shared, "key": key, **more}
            for width, accuracy in found["accuracy"].items()
        ])  # fmt: skip
        if not self.rows.empty:
            same = self.rows[["contender", "seed", "key"]].eq([contender, seed, key]).all(axis=1)
            new = pd.concat([self.rows[~same], new], ignore_index=True)
        write_table(self.path, new, {"benchmark": "quality"})
        self.rows = new


def run(
    names: list[str], where: tuple[str, str | None, bool], seeds: int, results: Results, epochs: int | None = None
) -> list[str]:
    """Measure every missing (contender, seed) and write each when it ends; return why others are left out."""
    task, _, quick = where
    skipped = [reason for name in names if (reason := left_out(name, task))]
    state = {"sources": sources(), "machine": _machine()}
    base = key_of(task, quick, None)
    for seed in range(seeds):
        wanted = [n for n in names if not left_out(n, task) and seed not in _seeds(results, n, _key(where, n))]
        if not wanted:
            continue
        lr = _chosen(results, DENSE, base).get("lr")
        unit = in_fresh_process(dense, where, seed, lr)
        lr = json.loads(unit["chosen"])["lr"]
        if seed not in _seeds(results, DENSE, base):
            results.add(DENSE, seed, base, unit | {"dense_seconds": unit["seconds"]}, peer="", **state)
        for name in wanted:
            key, needs, like = _key(where, name), CONTENDERS[name].needs, CONTENDERS[name].like
            chosen = _chosen(results, name, key) or (_chosen(results, like, _key(where, like)) if like else {})
            known = {"lr": lr, "dense_seconds": unit["seconds"], "asked_epochs": epochs}
            try:
                found = in_fresh_process(measured, name, where, seed, known, chosen or None)
            except Interrupted:
                raise KeyboardInterrupt from None
            except Exception as error:  # an error of one peer, or a diverged training, must not stop the others
                skipped.append(f"{name} has no seed {seed}: {type(error).__name__}: {error}")
                continue
            peer = f"{PACKAGES[needs]} {importlib.metadata.version(PACKAGES[needs])}" if needs else ""
            between = TASKS[task].between
            results.add(name, seed, key, found, between, peer=peer, **state)
            print(f"seed {seed}, {name}: {100 * np.mean(list(found['accuracy'].values())):.2f} %, "
                  f"{found['seconds'] / found['dense_seconds']:.2f}x", flush=True)  # fmt: skip
    return skipped


def _key(where: tuple[str, str | None, bool], name: str) -> str:
    return key_of(where[0], where[2], CONTENDERS[name])


def _seeds(results: Results, name: str, key: str) -> set[int]:
    found = results.find(name, key)
    return set() if found.empty else set(found["seed"])


def _chosen(results: Results, name: str, key: str) -> dict[str, Any]:
    """Return the settings that the first seed chose; empty before it has run."""
    found = results.find(name, key)
    return {} if found.empty else json.loads(found.sort_values("seed").iloc[0]["chosen"])


def _machine() -> str:
    from core.sweep.latency import machine_name

    return machine_name()


def shown(results: Results, task: str, quick: bool) -> pd.DataFrame:
    """Return the rows of all contenders under the present settings and versions, in the table's order."""
    import pandas as pd

    parts = [results.find(name, key_of(task, quick, contender)) for name, contender in CONTENDERS.items()]
    return pd.concat([part for part in parts if not part.empty] or [pd.DataFrame(columns=["contender"])])


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", required=True, choices=TASKS)
    parser.add_argument("--contender", action="append", choices=CONTENDERS, help="only this one; may be repeated")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, help="epochs of a first seed, instead of as many as fit the budget")
    parser.add_argument("--data-dir", help="folder with the IDX files that mnist-mlp needs")
    parser.add_argument("--quick", action="store_true", help="a tenth of the epochs on few rows, nothing tuned")
    parser.add_argument("--fresh", action="store_true", help="discard earlier results")
    parser.add_argument("--out", help="parquet file (default: quality-<task>.parquet); the chart is written beside it")
    a = parser.parse_args(arguments)
    out = Path(a.out or f"quality-{a.task}{'-quick' if a.quick else ''}.parquet")
    try:
        results = Results(out, a.fresh)
        where = a.task, a.data_dir, a.quick
        skipped = run(a.contender or list(CONTENDERS), where, a.seeds, results, a.epochs)
    except UserError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        print(f"stopped; results so far are in {out}; the same command continues", file=sys.stderr)
        sys.exit(130)
    rows = shown(results, a.task, a.quick)
    found = lines(rows)
    title = f"{a.task}{', a quick trial' if a.quick else ''}"
    about = (
        "mean and deviation over the seeds measured; gaps in points below dedicated; time against one dense training"
    )
    print(f"\n{title}: test accuracy (%) by units kept, {about}")
    print(text(found))
    print("\n".join(["", *skipped]))
    if "sources" in rows and len(set(rows["sources"])) > 1:
        print("some of this was measured with other code; --fresh measures everything anew")
    if any(line.gap and line.contender != "dedicated" for line in found):
        draw(out.with_suffix(".png"), title, found)
        print(f"chart: {out.with_suffix('.png')}")
    print(f"rows: {out}")
    finish("quality", {"task": a.task, "quick": a.quick, "contenders": {x.contender: _json(x) for x in found}})


def _json(line: Any) -> dict[str, Any]:
    """Return a line as plain data, for the last line of the output."""
    return {
        "seeds": line.seeds, "time_ratio": round(line.time, 3), "tuning_ratio": round(line.tuning, 2),
        "accuracy": {w: round(f.mean, 2) for w, f in line.accuracy.items()},
        "mean_gap": line.mean_gap and round(line.mean_gap.mean, 2),
        "between_gap": line.between_gap and round(line.between_gap.mean, 2),
        "wide_gap": line.wide_gap and round(line.wide_gap.mean, 2),
        "worst_gap": line.worst and [line.worst[0], round(line.worst[1].mean, 2)],
        "epochs": line.epochs, "batch": line.batch, "chosen": line.chosen, "peak_mb": line.memory,
    }  # fmt: skip


if __name__ == "__main__":
    main()
