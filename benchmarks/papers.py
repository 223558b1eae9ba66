"""Run one of the paper's experiments: python benchmarks/papers.py --experiment pointnet

Train once for every width, and a plain model for each of five widths, its learning rate chosen on validation. Print the
test metric by width, and the CPU seconds of the one training and of the five together (of the chosen rates alone). Draw
the curve as a PNG; the last line is JSON.

Widths are counted as in the paper: fully-connected layers for mnist, pointnet and liif, all channels, heads and
feed-forward features for convnet and vit. `mnist` needs its IDX files in --data-dir, vit and convnet Fashion-MNIST.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import tempfile
import time
from pathlib import Path

import numpy as np
from dedicated import fit, plain_recipe
from measure import finish, in_fresh_process, peak_memory

from core import data as data_sets
from core import models
from core.elastic.recipes.registry import recipe as recipe_named
from core.elastic.size_grid import path_range, path_widths
from core.sweep.budget import log_spaced
from core.tasks.base import Metric
from core.tasks.registry import task

EXPERIMENTS = {  # data, model, its settings, recipes
    "mnist": ("mnist", "mlp", {"hidden": 256, "layers": 2}, ("stratified", "paper")),
    "pointnet": ("solids", "pointnet", {"hidden": 128, "transform": 32}, ("stratified",)),
    "liif": ("super-resolution", "liif", {"hidden": 128}, ("stratified",)),
    "vit": ("fashion-mnist", "vit", {"hidden": 128, "heads": 8}, ("stratified",)),
    "convnet": ("fashion-mnist", "convnet", {"channels": 16}, ("stratified",)),
}
RATES = (1e-3, 3e-3, 1e-2)  # an untuned reference would flatter every contender
ROWS = 500  # evaluated at once


def prepared(experiment: str, name: str, data_dir: str | None, threads: int):
    """Load the data; return them with the model's name, settings and family."""
    import torch

    torch.set_num_threads(threads)
    data = data_sets.load(name, data_dir=data_dir)
    usual, model, settings, _ = EXPERIMENTS[experiment]
    if name != usual and models.suited(data) != model:  # one photograph needs a coordinate network
        model, settings = models.suited(data), {}
    return data, model, settings, models.family_for(data, model, **settings)


def one_training(
    experiment: str, name: str, data_dir: str | None, threads: int, seed: int, epochs: int | None, recipe: str
):
    """Train once by a recipe; return metric by width, seconds, memory, and epochs and widths of dedicated models."""
    from core import sweep, train

    data, model, settings, family = prepared(experiment, name, data_dir, threads)
    widths = log_spaced(*path_range(family.layout))
    own = models.recipe_settings(model, recipe)
    chosen = recipe_named(recipe, **{**own, **({"epochs": epochs} if epochs else {})})
    if chosen.independent and model == "mlp":
        family = models.family_for(data, model, **settings, each_layer=True)
    with tempfile.TemporaryDirectory() as folder, peak_memory() as used:
        before = time.process_time()
        run = train(family, data, out=Path(folder) / "run", recipe=chosen, seed=seed, progress=False, device="cpu")
        seconds = time.process_time() - before
        table = sweep(run, data, widths=widths, latency=False, progress=False)
    metric = dict(zip(widths, table[task(data.task).metric.name].tolist(), strict=True))
    epochs = chosen.for_rows(data.train.n).epochs
    return {"metric": metric, "seconds": seconds, "mb": used["mb"], "epochs": epochs, "task": data.task}


def one_dedicated(
    experiment: str, name: str, data_dir: str | None, threads: int, seed: int, epochs: int, width: int, lr: float
) -> tuple[float, float, float]:
    """Train a plain model of one width with one rate; return its validation and test metric and its seconds."""
    import torch

    data, _, _, family = prepared(experiment, name, data_dir, threads)
    torch.manual_seed(seed)
    module = family.build(**path_widths(family.layout, width))
    before = time.process_time()
    fit(module, data, plain_recipe(epochs, lr), seed)
    spent = time.process_time() - before
    return judge(module, data, "validation"), judge(module, data, "test"), spent


def one_seed(where: tuple, seed: int, epochs: int | None, quick: bool, jobs: int):
    """Measure one seed: the metric by contender and width, seconds, memory."""
    recipes = EXPERIMENTS[where[0]][3]
    found = {recipe: in_fresh_process(one_training, *where, seed, epochs, recipe) for recipe in recipes}
    first = found[recipes[0]]
    metric = task(first["task"]).metric
    tasks = [(width, lr) for width in five(list(first["metric"])) for lr in (RATES[1:2] if quick else RATES)]
    with multiprocessing.get_context("spawn").Pool(min(jobs, len(tasks)), maxtasksperchild=1) as pool:
        # the widest first, since it takes longest
        given = [(*where, seed, first["epochs"], width, lr) for width, lr in reversed(tasks)]
        scores = dict(zip(reversed(tasks), pool.starmap(one_dedicated, given, chunksize=1), strict=True))
    best: dict[int, tuple[float, float, float, float]] = {}
    for width, lr in tasks:
        validation, test, spent = scores[width, lr]
        known = best.get(width)
        if known is None or (metric.at_least(validation, known[0]) and validation != known[0]):
            best[width] = validation, test, spent, lr
    return {
        "metric": {recipe: one["metric"] for recipe, one in found.items()}
        | {"dedicated": {width: one[1] for width, one in best.items()}},
        "seconds": {recipe: one["seconds"] for recipe, one in found.items()}
        | {"dedicated": sum(one[2] for one in best.values())},
        "peak_mb": {recipe: one["mb"] for recipe, one in found.items()},
        "rates": {width: one[3] for width, one in best.items()},
        "task": first["task"],
    }


def five(widths: list[int]) -> list[int]:
    """Return five evenly spread widths, from the smallest to the full one."""
    return sorted({widths[round(k)] for k in np.linspace(0, len(widths) - 1, 5)})


def judge(module, data, part: str) -> float:
    """Return the task's metric of a plain module on one part of the data."""
    import torch

    rows, kind = data.part(part), task(data.task)
    module.eval()
    with torch.inference_mode():
        chunks = [module(torch.from_numpy(rows.x[k : k + ROWS]).float()) for k in range(0, rows.n, ROWS)]
    output = torch.cat(chunks)
    scores = kind.score((output.argmax(1) if kind.classes else output).numpy(), rows.y)
    return kind.metric.measure(scores, kind.variance(rows.y))[0]


def draw(path: Path, title: str, metric: Metric, lines: dict[str, dict[int, float]]) -> None:
    """Draw the metric by width as a PNG, width on a logarithmic scale; lines differ by colour and by shape."""
    from PIL import Image, ImageDraw, ImageFont

    size, left, right, top, bottom = (900, 560), 90, 30, 50, 60
    image = Image.new("RGB", size, "white")
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(size=15)
    widths = sorted({width for line in lines.values() for width in line})
    values = [v * metric.scale for line in lines.values() for v in line.values() if math.isfinite(v)]
    low, high = min(values), max(values)
    low, high = low - 0.05 * (high - low or 1), high + 0.05 * (high - low or 1)

    def place(width: float, value: float) -> tuple[float, float]:
        span = math.log(widths[-1] / widths[0]) or 1.0
        x = left + (size[0] - left - right) * math.log(width / widths[0]) / span
        return x, size[1] - bottom - (size[1] - top - bottom) * (value - low) / (high - low)

    for value in np.linspace(low, high, 6):
        y = place(widths[0], value)[1]
        pen.line([(left, y), (size[0] - right, y)], fill="#dddddd")
        pen.text((left - 10, y), f"{value:.4g}", fill="black", font=font, anchor="rm")
    for width in widths:
        pen.text((place(width, low)[0], size[1] - bottom + 10), str(width), fill="black", font=font, anchor="ma")
    pen.text((size[0] / 2, size[1] - 12), "units kept", fill="black", font=font, anchor="ms")
    pen.text((left, 14), f"{title}: {metric.label.lower()}{metric.unit and f' ({metric.unit.strip()})'} on test",
             fill="black", font=font)  # fmt: skip
    for k, (name, line) in enumerate(lines.items()):
        colour = ("#0b6bcb", "#c45500", "#222222")[k % 3]
        points = [place(width, value * metric.scale) for width, value in line.items() if math.isfinite(value)]
        pen.line(points, fill=colour, width=2)
        for x, y in points:
            marker(pen, k, x, y, colour)
        y = 14 + 8
        marker(pen, k, size[0] - 330 + 110 * k, y, colour)
        pen.text((size[0] - 320 + 110 * k, y), name, fill=colour, font=font, anchor="lm")
    image.save(path, "PNG")


def marker(pen, kind: int, x: float, y: float, colour: str) -> None:
    """Draw a disc, a square or a triangle."""
    if kind % 3 == 0:
        pen.ellipse([x - 4, y - 4, x + 4, y + 4], fill=colour)
    elif kind % 3 == 1:
        pen.rectangle([x - 4, y - 4, x + 4, y + 4], fill=colour)
    else:
        pen.polygon([(x, y - 5), (x - 5, y + 4), (x + 5, y + 4)], fill=colour)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--experiment", required=True, choices=EXPERIMENTS)
    parser.add_argument("--data", help="other data, such as modelnet for pointnet or photo:flower for liif")
    parser.add_argument("--data-dir")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--epochs", type=int, help="of every training; the model's own if left out")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch (default 1)")
    parser.add_argument("--jobs", type=int, default=1, help="dedicated models trained at a time (default 1)")
    parser.add_argument("--quick", action="store_true", help="one epoch, one learning rate for the dedicated models")
    parser.add_argument("--png", help="where the curve is drawn (default: papers-<experiment>.png)")
    a = parser.parse_args()
    name, epochs = a.data or EXPERIMENTS[a.experiment][0], 1 if a.quick and not a.epochs else a.epochs
    where = (a.experiment, name, a.data_dir, a.threads)
    runs = [one_seed(where, seed, epochs, a.quick, a.jobs) for seed in range(a.seeds)]
    metric = task(runs[0]["task"]).metric
    lines = {
        key: {w: float(np.mean([run["metric"][key][w] for run in runs])) for w in runs[0]["metric"][key]}
        for key in runs[0]["metric"]
    }
    widths = list(next(iter(lines.values())))
    unit = f" ({metric.unit.strip()})" if metric.unit else ""
    print(f"{a.experiment} on {name}: {metric.label.lower()}{unit} on test by units kept, mean of {a.seeds} seed(s)")
    print(f"{'':>12}" + "".join(f"{w:>8}" for w in widths))
    for key, line in lines.items():
        print(f"{key:>12}" + "".join(f"{metric.format(line[w], unit=False) if w in line else '':>8}" for w in widths))
    seconds = {key: float(np.mean([run["seconds"][key] for run in runs])) for key in runs[0]["seconds"]}
    first = next(iter(lines))
    print(f"CPU seconds of the one training: {seconds[first]:.1f}; of five dedicated models together: "
          f"{seconds['dedicated']:.1f}")  # fmt: skip
    picture = Path(a.png or f"papers-{a.experiment}.png")
    draw(picture, f"{a.experiment} on {name}", metric, lines)
    print(f"the curve: {picture}")
    import torch

    torch.set_num_threads(a.threads)
    peaks = {key: max(run["peak_mb"][key] for run in runs) for key in runs[0]["peak_mb"]}
    finish("papers", {
        "experiment": a.experiment, "data": name, "seeds": a.seeds, "quick": a.quick, "metric": metric.name,
        "unit": metric.unit.strip(), "higher_is_better": metric.higher_is_better,
        "contenders": {k: {str(w): round(v * metric.scale, 4) for w, v in line.items()} for k, line in lines.items()},
        "rates": {str(w): [run["rates"][w] for run in runs] for w in runs[0]["rates"]},
        "seconds": {key: round(value, 2) for key, value in seconds.items()},
        "one_training_of_dedicated_sum": round(seconds[first] / seconds["dedicated"], 3), "peak_mb": peaks,
    })  # fmt: skip


if __name__ == "__main__":
    main()
