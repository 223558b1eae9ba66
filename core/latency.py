"""Time of one prediction on this machine: median and spread, not a promise for another."""

from __future__ import annotations

import platform
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from core.scale import Scale

if TYPE_CHECKING:
    from core.family import Family
    from core.runs import Run

BATCHES = (1, 256)
REPEATS = 60
ENOUGH_SECONDS = 0.25  # a slow model is measured fewer times
WARM_UP = 5


def machine_name() -> str:
    """Processor and number of cores, as people call them."""
    model = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo") as file:
            model = next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), model)
    except OSError:
        pass
    import os

    return f"{model}, {os.cpu_count()} cores"


def measure(
    run: Run, family: Family, widths: list[int], *, known: dict[str, Any], progress: bool
) -> tuple[list[dict[str, Any]], str] | None:
    """Rows of latency.parquet for this machine, and its name; None where `known` says they are there.

    Widths take turns, so that a busy moment does not fall on one of them alone.
    """
    import torch
    from tqdm import tqdm

    from core.elastic import load

    machine = machine_name()
    if known.get("weights") == run.record.weights_sha256 and machine in known.get("machines", []):
        return None
    scale, weights = Scale.from_json(run.record.scale, run.layout), run.weights()
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
                        "machine": machine,
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
    return rows, machine
