"""The paper's experiments, each by one command, such as: python benchmarks/papers.py --experiment pointnet

One training gives every width; beside it a plain model is trained for each of five widths, its learning rate chosen on
validation. Printed are the metric on test by width, and the seconds of the one training against the sum of the five
(of the chosen rates alone). The curve is drawn as a PNG, and the last line is JSON.

Widths are counted as in the paper: fully-connected layers for mnist, pointnet and liif, all channels, heads and
feed-forward features for convnet and vit. `mnist` wants its IDX files in --data-dir, vit and convnet Fashion-MNIST.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from pathlib import Path

import numpy as np
from dedicated import fit, plain_recipe
from measure import finish, in_fresh_process, peak_memory

from core import data as data_sets
from core import models
from core.dropout import recipe as recipe_named
from core.frontier import log_spaced
from core.record import path_range, path_widths
from core.tasks import Metric, task

EXPERIMENTS = {  # data, model, its settings, recipes
    "mnist": ("mnist", "mlp", {"hidden": 256, "layers": 2}, ("stratified", "paper")),
    "pointnet": ("solids", "pointnet", {"hidden": 128, "transform": 32}, ("stratified",)),
    "liif": ("super-resolution", "liif", {"hidden": 128}, ("stratified",)),
    "vit": ("fashion-mnist", "vit", {"hidden": 128, "heads": 8}, ("stratified",)),
    "convnet": ("fashion-mnist", "convnet", {"channels": 16}, ("stratified",)),
}
RATES = (1e-3, 3e-3, 1e-2)  # an untuned line would flatter everyone
ROWS = 500  # evaluated at once


def one_seed(
    experiment: str, name: str, data_dir: str | None, seed: int, epochs: int | None, quick: bool, threads: int
):
    """Everything for one seed: the metric by contender and width, seconds, memory."""
    import torch

    from core import sweep, train

    torch.set_num_threads(threads)
    data = data_sets.load(name, data_dir=data_dir)
    _, wanted, settings, recipes = EXPERIMENTS[experiment]
    # another data set may want another model, as one photograph wants a coordinate network
    model = wanted if name == EXPERIMENTS[experiment][0] else models.suited(data)
    settings = settings if model == wanted else {}
    family = models.family_for(data, model, **settings)
    widths = log_spaced(*path_range(family.layout))
    metric = task(data.task).metric
    found, seconds, memory, rates = {}, {}, {}, {}
    for recipe in recipes:
        chosen = recipe_named(
            recipe, **{**models.recipe_settings(model, recipe), **({"epochs": epochs} if epochs else {})}
        )
        each = models.family_for(
            data, model, **settings, **({"each_layer": True} if chosen.independent and model == "mlp" else {})
        )
        with tempfile.TemporaryDirectory() as folder, peak_memory() as used:
            before = time.perf_counter()
            run = train(each, data, out=Path(folder) / "run", recipe=chosen, seed=seed, progress=False)
            seconds[recipe] = time.perf_counter() - before
            table = sweep(run, data, widths=widths, latency=False, progress=False)
        found[recipe] = dict(zip(widths, table[metric.name].tolist(), strict=True))
        memory.setdefault("stratified", used["mb"])  # a later one would find memory that is there already
    epochs = epochs or recipe_named("stratified", **models.recipe_settings(model, "stratified")).epochs
    found["dedicated"], seconds["dedicated"] = {}, 0.0
    for width in five(widths):
        best = None
        for lr in RATES[1:2] if quick else RATES:
            torch.manual_seed(seed)
            module = family.build(**path_widths(family.layout, width))
            before = time.perf_counter()
            fit(module, data, plain_recipe(epochs, lr), seed)
            spent = time.perf_counter() - before
            validation, test = judge(module, data, "validation"), judge(module, data, "test")
            if best is None or (metric.at_least(validation, best[0]) and validation != best[0]):
                best = validation, test, spent, lr
        found["dedicated"][width] = best[1]
        seconds["dedicated"] += best[2]
        rates[width] = best[3]
    return {"metric": found, "seconds": seconds, "peak_mb": memory, "rates": rates, "task": data.task}


def five(widths: list[int]) -> list[int]:
    """Five of the widths from the smallest to the full one, evenly spread."""
    return sorted({widths[round(k)] for k in np.linspace(0, len(widths) - 1, 5)})


def judge(module, data, part: str) -> float:
    """The task's metric of a plain module on one part of the data."""
    import torch

    rows, kind = data.part(part), task(data.task)
    module.eval()
    with torch.inference_mode():
        chunks = [module(torch.from_numpy(rows.x[k : k + ROWS]).float()) for k in range(0, rows.n, ROWS)]
    output = torch.cat(chunks)
    scores = kind.score((output.argmax(1) if kind.classes else output).numpy(), rows.y)
    return kind.metric.measure(scores, kind.variance(rows.y))[0]


def draw(path: Path, title: str, metric: Metric, lines: dict[str, dict[int, float]]) -> None:
    """The metric by width as a PNG, width on a logarithmic scale; each line has a colour and a shape of its own."""
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
    """A disc, a square or a triangle."""
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
    parser.add_argument("--quick", action="store_true", help="one epoch, one learning rate for the dedicated models")
    parser.add_argument("--png", help="where the curve is drawn (default: papers-<experiment>.png)")
    a = parser.parse_args()
    name, epochs = a.data or EXPERIMENTS[a.experiment][0], 1 if a.quick and not a.epochs else a.epochs
    arguments = (epochs, a.quick, a.threads)
    runs = [in_fresh_process(one_seed, a.experiment, name, a.data_dir, seed, *arguments) for seed in range(a.seeds)]
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
    print(f"seconds of the one training: {seconds[first]:.1f}; of five dedicated models together: "
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
