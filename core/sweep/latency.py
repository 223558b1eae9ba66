"""Time of one prediction on this machine: median and spread."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from core.elastic.size_grid import path_range
from core.errors import RunError
from core.runs.file_names import LATENCY
from core.runs.run import Run
from core.sweep.budget import log_spaced
from core.utils.parquet import write_table
from core.utils.signals import Interrupted

if TYPE_CHECKING:
    from core.elastic.family import Family

BATCHES = (1, 256)
REPEATS = 60
ENOUGH_SECONDS = 0.25  # a slow model is measured fewer times
WARM_UP = 5


def measure_run(run: Run, family: Family, *, progress: bool, stopped: Callable[[], bool]) -> None:
    """Measure a log-spaced set of widths on this machine, unless that was done; other machines' times are kept.

    Raises Interrupted once `stopped` is true, RunError where the run can't be read or written.
    """
    import pandas as pd

    low, high = path_range(run.layout)
    machine, weights = machine_name(), run.record.weights_sha256
    try:
        before = run.latency() if run.note(LATENCY).get("weights") == weights else None
    except RunError:
        before = None
    if before is not None and (before["machine"] == machine).any():
        return
    validated = run.metrics()["width"].to_numpy()  # figures are known of these alone, so these alone are timed
    timed = sorted({int(validated[abs(validated - width).argmin()]) for width in log_spaced(low, high)})
    rows = measure(run, family, timed, progress=progress, stopped=stopped)
    frame = pd.DataFrame({"machine": machine, **pd.DataFrame(rows)})
    frame = frame if before is None else pd.concat([before, frame], ignore_index=True)
    write_table(run.path / LATENCY, frame, {"weights": weights, "machines": sorted(set(frame["machine"]))})


def machine_name() -> str:
    """Name of the processor and number of cores, on one line."""
    model = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo", errors="replace") as file:
            model = next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), model)
    except OSError:
        pass
    return f"{model}, {os.cpu_count()} cores"


def measure(
    run: Run, family: Family, widths: list[int], *, progress: bool, stopped: Callable[[], bool] = lambda: False
) -> list[dict[str, Any]]:
    """Measure rows of latency.parquet for this machine, without its name.

    Widths take turns, so that a busy moment does not fall on one of them alone.

    Parameters
    ----------
    run, family
        The run and its family.
    widths
        Points of the sweep.
    progress
        Whether to show a progress bar.
    stopped
        Whether to stop after the current round.

    Raises
    ------
    Interrupted
        Once `stopped` is true.
    """
    import torch
    from tqdm import tqdm

    from core.elastic.subnet import load

    scale, weights = run.scale(), run.weights()
    modules = [load(family, scale, weights, run.widths_at(width)) for width in widths]
    generator = torch.Generator().manual_seed(0)
    rows = []
    with torch.inference_mode(), tqdm(total=len(BATCHES), disable=not progress, desc="measuring time") as bar:
        for batch in BATCHES:
            x = torch.rand((batch, *run.record.input.shape), generator=generator)
            times: list[list[float]] = [[] for _ in widths]
            for module in modules:
                for _ in range(WARM_UP):
                    module(x)
            started = time.perf_counter()
            for _ in range(REPEATS):
                if stopped():
                    again = f"python -m core sweep {run.path} measures it again"
                    raise Interrupted(f"stopped while the time of a prediction was measured: {again}")
                for module, spent in zip(modules, times, strict=True):
                    before = time.perf_counter()
                    module(x)
                    spent.append((time.perf_counter() - before) * 1e3)
                if time.perf_counter() - started > ENOUGH_SECONDS * len(widths):
                    break
            for width, spent in zip(widths, times, strict=True):
                low, median, high = np.percentile(spent, [25, 50, 75])
                rows.append(
                    {
                        "threads": torch.get_num_threads(),
                        "batch": batch,
                        "width": width,
                        "median_ms": median,
                        "p25_ms": low,
                        "p75_ms": high,
                        "repeats": len(spent),
                    }
                )
            bar.update()
    return rows
