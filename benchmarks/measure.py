"""Shared by all benchmarks: alternating timings, peak memory, and the last line of JSON."""

from __future__ import annotations

import json
import multiprocessing
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))


def in_turns(functions: dict[str, Callable[[], Any]], repeats: int, warm_up: int = 2) -> dict[str, float]:
    """Return median seconds of each function; they alternate, so that a busy moment affects all of them alike."""
    spent: dict[str, list[float]] = {name: [] for name in functions}
    for function in functions.values():
        for _ in range(warm_up):
            function()
    for _ in range(repeats):
        for name, function in functions.items():
            before = time.perf_counter()
            function()
            spent[name].append(time.perf_counter() - before)
    return {name: statistics.median(times) for name, times in spent.items()}


@contextmanager
def peak_memory() -> Iterator[dict[str, float]]:
    """Fill in `mb`: the peak of resident memory above its value at the start (1 MB is 1,000,000 bytes)."""
    found: dict[str, float] = {}
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # reset the high-water mark (Linux, proc(5))
    before = _status("VmRSS")
    try:
        yield found
    finally:
        found["mb"] = round((_status("VmHWM") - before) / 1e6, 1)


def _status(key: str) -> int:
    """Return bytes from Linux's status of this process; on other systems the high-water mark for either key."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return used if sys.platform == "darwin" else used * 1024
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key))


def in_fresh_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """Run a function of this folder in a new process, so that its memory is its own, and return its result."""
    pool = multiprocessing.get_context("spawn").Pool(1)
    try:
        found = pool.apply(function, arguments)
        pool.close()
    except BaseException:  # at once when this process is stopped
        pool.terminate()
        raise
    finally:
        pool.join()
    return found


def finish(name: str, figures: dict[str, Any]) -> None:
    """Print the last line: all figures as JSON, with the machine that they were measured on."""
    import torch

    from core.sweep.latency import machine_name

    about = {"benchmark": name, "machine": machine_name(), "threads": torch.get_num_threads()}
    print(json.dumps(about | {"torch": torch.__version__} | figures))
