"""Each recipe's accuracy at widths 1, 2, 4, ... against models trained for each width: python benchmarks/recipes.py

The dedicated models' learning rate is chosen on validation for each width; what is printed is test accuracy. Time is
the whole of a training, against one dense training at full width in the same run. Needs Fashion-MNIST (Debian's
package dataset-fashion-mnist, or its four files in --data-dir); --data digits needs nothing.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import dedicated
import numpy as np
from measure import finish, in_fresh_process, peak_memory

from core import data as data_sets
from core.frontier import log_spaced


def one_seed(task: tuple, recipes: list[str], seed: int, epochs: int, quick: bool, threads: int) -> dict:
    """Everything for one seed: accuracies by contender and width, and seconds."""
    import torch

    from core import models
    from core.dropout import recipe as recipe_named
    from core.evaluate import evaluate
    from core.train import train

    data, hidden, widths = _data(task)
    torch.set_num_threads(threads)
    settings = {"inputs": data.features, "outputs": data.classes, "hidden": hidden, "layers": 2}
    plain = models.family("mlp", **settings)
    dedicated.fit(plain.build(), data, dedicated.plain_recipe(1, 1e-2), seed)  # torch's first pass is slower
    torch.manual_seed(seed)
    before = time.perf_counter()
    dedicated.fit(plain.build(), data, dedicated.plain_recipe(epochs, 1e-2), seed)
    seconds = {"dense": time.perf_counter() - before}
    found: dict[str, list[float]] = {}
    for name in recipes:
        recipe = recipe_named(name)
        family = models.family("mlp", **settings, each_layer=recipe.independent)
        before = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            run = train(family, data, out=Path(folder) / "run", recipe=recipe, seed=seed, progress=False)
            seconds[name] = time.perf_counter() - before
            scores = evaluate(
                family, run.scale(), run.weights(), data.test.x, data.test.y, widths,
                classes=data.classes,
            )  # fmt: skip
        found[name] = (scores.predictions == data.test.y[:, None]).mean(0).tolist()
    chosen = {} if quick else {w: dedicated.best_of_rates(plain, data, w, seed, epochs) for w in widths}
    if chosen:
        found["dedicated"] = [model.test for model in chosen.values()]
    return {"accuracy": found, "seconds": seconds, "rates": {w: m.lr for w, m in chosen.items()}}


def memory(name: str, task: tuple, threads: int) -> float:
    """MB that two epochs of training take above the data."""
    import torch

    from core import models, train
    from core.dropout import recipe as recipe_named

    data, hidden, _ = _data(task)
    torch.set_num_threads(threads)
    family = models.family("mlp", inputs=data.features, outputs=data.classes, hidden=hidden, layers=2)
    dedicated.accuracy(family.build(), data.validation)  # what torch itself loads for a first pass is no training's
    recipe = recipe_named("stratified", epochs=2)
    data.train.x.sum()
    with peak_memory() as used:
        torch.manual_seed(0)
        if name == "dense":
            dedicated.fit(family.build(), data, recipe, 0)
        else:
            with tempfile.TemporaryDirectory() as folder:
                train(family, data, out=Path(folder) / "run", recipe=recipe, progress=False)
    return used["mb"]


def _data(task: tuple):
    name, data_dir, hidden = task
    return data_sets.load(name, data_dir=data_dir), hidden, log_spaced(1, hidden)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="fashion-mnist")
    parser.add_argument("--data-dir")
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=10, help="of a plain training (default 10)")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch (default 1)")
    parser.add_argument("--recipes", default="paper,stratified,sandwich")
    parser.add_argument("--quick", action="store_true", help="leave the dedicated models out")
    a = parser.parse_args()
    task, recipes = (a.data, a.data_dir, a.hidden), a.recipes.split(",")
    runs = []
    for seed in range(a.seeds):
        runs.append(in_fresh_process(one_seed, task, recipes, seed, a.epochs, a.quick, a.threads))
        print(f"seed {seed}: " + ", ".join(f"{k} {v:.1f} s" for k, v in runs[-1]["seconds"].items()), flush=True)
    widths = log_spaced(1, a.hidden)
    wide = [k for k, width in enumerate(widths) if width >= a.hidden / 16]
    print(f"\ntest accuracy (%), mean of {a.seeds} seeds, by units kept; time against one dense training")
    print(f"{'':>12}" + "".join(f"{w:>7}" for w in widths) + f"{'mean':>8}{'wide':>7}{'time':>7}")
    figures = {}
    for name in runs[0]["accuracy"]:
        each = 100 * np.array([run["accuracy"][name] for run in runs])
        time_ratio = [run["seconds"][name] / run["seconds"]["dense"] for run in runs if name in run["seconds"]]
        mean = each.mean(0)
        figures[name] = {
            "accuracy": mean.round(2).tolist(),
            "deviation_over_seeds": each.std(0, ddof=min(1, a.seeds - 1)).round(2).tolist(),
            "mean": round(float(mean.mean()), 2),
            "mean_from_a_sixteenth": round(float(mean[wide].mean()), 2),
            "time_ratio": round(float(np.mean(time_ratio)), 2) if time_ratio else None,
        }
        shown = f"{np.mean(time_ratio):.2f}x" if time_ratio else ""
        print(
            f"{name:>12}" + "".join(f"{v:7.1f}" for v in mean) + f"{mean.mean():8.2f}{mean[wide].mean():7.2f}{shown:>7}"
        )
    used = {name: in_fresh_process(memory, name, task, a.threads) for name in ("dense", "stratified")}
    print(f"memory of a training above the data: dense {used['dense']:.0f} MB, stratified {used['stratified']:.0f} MB")
    rates = {str(w): [run["rates"][w] for run in runs] for w in runs[0]["rates"]}
    import torch

    torch.set_num_threads(a.threads)
    finish("recipes", {"widths": widths, "contenders": figures, "rates": rates, "peak_mb": used})


if __name__ == "__main__":
    main()
