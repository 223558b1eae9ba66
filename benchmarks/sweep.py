"""Time all widths of a network on 10,000 examples relative to one full pass: python benchmarks/sweep.py

The plain loop runs every small model by itself; the sweep shares work between widths. Both give the same predictions,
which is checked here on the run that is timed.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from measure import finish, in_fresh_process, peak_memory


def _family_and_data(rows: int, hidden: int, layers: int, threads: int):
    """Return a network with random weights and examples with random classes, since times do not depend on accuracy."""
    import torch

    from core import models
    from core.elastic.module import Elastic

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    family = models.family("mlp", inputs=784, outputs=10, hidden=hidden, layers=layers)
    model = Elastic(family, alpha=0.25)
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (rows, 28, 28), dtype=np.uint8)
    return family, model.scale, model.full.state_dict(), x, rng.integers(0, 10, rows)


def _compare(rows: int, hidden: int, layers: int, repeats: int, threads: int) -> dict:
    import torch

    from core.sweep.evaluator import evaluate

    family, scale, weights, x, y = _family_and_data(rows, hidden, layers, threads)
    widths = list(range(1, hidden + 1))

    def timed(**how) -> tuple[float, object]:
        before = time.perf_counter()
        scores = evaluate(family, scale, weights, x, y, how.pop("widths", widths), classes=10, **how)
        return time.perf_counter() - before, scores

    timed(widths=[hidden], plain=True)
    seconds: dict[str, list[float]] = {"full pass": [], "sweep": [], "plain loop": []}
    with torch.inference_mode():
        for _ in range(repeats):
            seconds["full pass"].append(statistics.median(timed(widths=[hidden], plain=True)[0] for _ in range(5)))
            spent, fast = timed()
            seconds["sweep"].append(spent)
            spent, plain = timed(plain=True)
            seconds["plain loop"].append(spent)
    median = {name: statistics.median(times) for name, times in seconds.items()}
    return {
        "seconds": {name: round(value, 4) for name, value in median.items()},
        "sweep_in_full_passes": round(median["sweep"] / median["full pass"], 2),
        "plain_loop_in_full_passes": round(median["plain loop"] / median["full pass"], 1),
        "plain_loop_in_sweeps": round(median["plain loop"] / median["sweep"], 2),
        "equal_predictions": bool(np.array_equal(fast.predictions, plain.predictions)),
        "largest_loss_difference": float(np.abs(fast.loss - plain.loss).max() / rows),
    }


def _memory(rows: int, hidden: int, layers: int, threads: int) -> float:
    """Measure MB of a complete sweep, tables included, above torch, the data and the trained network."""
    import torch

    from core import models, sweep, train
    from core.data import from_arrays
    from core.elastic.recipes.registry import recipe

    torch.set_num_threads(threads)
    rng = np.random.default_rng(0)

    def part(n: int) -> tuple[np.ndarray, np.ndarray]:
        return rng.integers(0, 256, (n, 28, 28), dtype=np.uint8), rng.integers(0, 10, n)

    data = from_arrays(*part(1000), test_arrays=part(rows))
    family = models.family("mlp", inputs=784, outputs=10, hidden=hidden, layers=layers)
    with tempfile.TemporaryDirectory() as folder:
        run = train(family, data, out=Path(folder) / "run", recipe=recipe("stratified", epochs=1), progress=False)
        with peak_memory() as memory:
            sweep(run, data, family=family, latency=False, progress=False)
    return memory["mb"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000, help="examples (default 10,000)")
    parser.add_argument("--hidden", type=int, default=256, help="full width; every one of 1 to it is run (default 256)")
    parser.add_argument("--layers", type=int, default=2, help="hidden layers (default 2)")
    parser.add_argument("--repeats", type=int, default=3, help="of each, in turns (default 3)")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch (default 1)")
    a = parser.parse_args()
    found = in_fresh_process(_compare, a.rows, a.hidden, a.layers, a.repeats, a.threads)
    found["peak_mb"] = in_fresh_process(_memory, a.rows, a.hidden, a.layers, a.threads)
    print(
        f"{a.hidden} widths on {a.rows:,} examples: {found['sweep_in_full_passes']:.1f} full passes; the plain loop "
        f"{found['plain_loop_in_full_passes']:.0f}, {found['plain_loop_in_sweeps']:.1f} times the sweep; predictions "
        f"{'equal' if found['equal_predictions'] else 'DIFFER'}; {found['peak_mb']:.0f} MB"
    )
    import torch

    torch.set_num_threads(a.threads)
    finish("sweep", found)
    if not found["equal_predictions"]:
        raise SystemExit("the two ways do not predict the same")


if __name__ == "__main__":
    main()
