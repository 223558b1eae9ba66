"""The contenders of `quality.py`: description, settings and requirements of each; `trainings.py` trains them.

All learn from the same training part with Adam, a warm-up and a cosine decay, in batches of 500 unless stated
otherwise. Settings are chosen on validation rows with the first seed, and fixed for the other seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from peers import recipes
from quality_task import Bench
from trainings import Outcome, Run, cut_after, modelopt, once, run_dedicated, through_core, triangular

from core.elastic.recipes.base import Recipe
from core.elastic.recipes.registry import Paper
from core.elastic.recipes.stratified import Stratified
from core.models import recipe_settings

POLISH_EPOCHS = 3


@dataclass(frozen=True, kw_only=True)
class Contender:
    """One contender: a row of the table."""

    about: str  # description, with its source
    run: Run
    settings: Mapping[str, Any] = field(default_factory=dict)  # plain data that the result depends on
    like: str | None = None  # another contender whose chosen settings this one takes over
    budget: float | None = None  # time in dense trainings; None without a limit
    needs: str | None = None  # import name of a package of requirements.txt
    not_for: Mapping[str, str] = field(default_factory=dict)  # model -> why it does not apply


def _ours(bench: Bench) -> Recipe:
    return Stratified(**{**recipe_settings(bench.task.model, "stratified"), "epochs": bench.epochs})


def _polished(bench: Bench, recipe: Recipe, seed: int) -> Outcome:
    return through_core(bench, recipe, seed, POLISH_EPOCHS)


def _paper(bench: Bench) -> Recipe:
    return Paper(epochs=bench.epochs)


def _fixed(recipe: Recipe) -> Callable[[Bench], Recipe]:
    return lambda bench: replace(recipe, epochs=bench.epochs)


def _grid(**more: tuple[Any, ...]) -> Callable[[Bench], Mapping[str, Sequence[Any]]]:
    """Return the bench's learning rates, then other settings, which a quick trial leaves at their defaults."""
    return lambda bench: {"lr": bench.rates, **({} if bench.quick else more)}


OWN_LAYERS = {"convnet": "it is written for fully-connected layers", "vit": "it is written for fully-connected layers"}
OUTSIDE_AUTONAS = {
    "convnet": "it finds one layer of the residual net to cut and leaves the others at full width",
    "vit": "it cuts the feed-forward layers alone, no heads of the attention",
}
OUTSIDE_PRUNER = {"vit": "it cuts the embedding with the heads, so that its models are not those of the widths"}
PAPER_GRID = {"alpha": (1.0, 0.5, 0.25), "p": (1.0, 0.5), "each_layer": (True, False)}

CONTENDERS: dict[str, Contender] = {
    "dedicated": Contender(
        about="A plain model trained for each width alone, its learning rate chosen for each.", run=run_dedicated,
    ),
    "paper": Contender(
        about="Structural Dropout as its paper has it: one uniform cut a layer, alpha 1, rate 1e-3 (arXiv 2205.06906).",
        run=once(_paper, budget=None), settings=asdict(Paper()),
    ),
    "paper-tuned": Contender(
        about="The same with the best learning rate, alpha, probability and cut (one a layer, or one for all).",
        run=once(_paper, _grid(**PAPER_GRID)), settings={**asdict(Paper()), "grid": PAPER_GRID}, budget=1.0,
    ),
    "nested": Contender(
        about="Nested dropout: geometric cutoffs (Rippel et al., 2014), a cutoff for each eighth of a batch.",
        run=once(_fixed(recipes.Nested()), _grid(mean_share=(0.25, 0.125, 0.0625))),
        settings={**asdict(recipes.Nested()), "grid": [0.25, 0.125, 0.0625]}, budget=1.0,
    ),
    "ordered": Contender(
        about="Ordered dropout: one of K equally spaced widths a step (FjORD; Horvath et al., 2021).",
        run=once(_fixed(recipes.Ordered()), _grid(sizes=(5, 16, 64))),
        settings={**asdict(recipes.Ordered()), "grid": [5, 16, 64]}, budget=1.0,
    ),
    "triangular": Contender(
        about="Triangular dropout: each example of a batch a width of its own (Staley & Markowitz, 2022).",
        run=once(_fixed(Recipe()), _grid(), train=triangular), budget=1.0, not_for=OWN_LAYERS,
    ),
    "slimmable": Contender(
        about="Universally slimmable: full, smallest, two random ones, distilled from full (Yu & Huang, 2019).",
        run=once(_fixed(recipes.SLIMMABLE), _grid()), settings=asdict(recipes.SLIMMABLE), budget=1.0,
    ),
    "matformer": Contender(
        about="MatFormer: full width, 1/2, 1/4 or 1/8 of it a step (Devvrit et al., 2023).",
        run=once(_fixed(recipes.MatFormer()), _grid()), settings=asdict(recipes.MatFormer()), budget=1.0,
    ),
    "norm-cut": Contender(
        about="A dense model cut to its features of largest norm, by our own layout (Li et al., 2017).",
        run=cut_after("by_norm", 1.0), budget=1.0,
    ),
    "norm-finetuned": Contender(
        about="The same, each width trained on in an equal part of as much time again.",
        run=cut_after("by_norm", 2.0), budget=2.0,
    ),
    "torch-pruning": Contender(
        about="A dense model cut by Torch-Pruning's magnitude pruner (Fang et al., 2023).",
        run=cut_after("by_torch_pruning", 1.0), budget=1.0, needs="torch_pruning", not_for=OUTSIDE_PRUNER,
    ),
    "torch-pruning-finetuned": Contender(
        about="The same, each width trained on in an equal part of as much time again.",
        run=cut_after("by_torch_pruning", 2.0), budget=2.0, needs="torch_pruning", not_for=OUTSIDE_PRUNER,
    ),
    "modelopt": Contender(
        about="NVIDIA Model Optimizer's AutoNAS: each layer one of the table's widths at random, a draw a step.",
        run=once(_fixed(Recipe()), _grid(), train=modelopt), budget=1.0, needs="modelopt", not_for=OUTSIDE_AUTONAS,
    ),
    "ours": Contender(
        about="This project's default recipe (stratified), with no setting tuned here.",
        run=once(_ours), settings=asdict(Stratified()), budget=1.0,
    ),
    "ours-2x": Contender(
        about="The same in twice the time.", run=once(_ours, budget=2.0), settings=asdict(Stratified()), budget=2.0,
    ),
    "ours-polish": Contender(
        about=f"The first, then every width polished by itself for {POLISH_EPOCHS} epochs; time counts all of them.",
        run=once(_ours, train=_polished, trial=through_core), like="ours",
        settings={**asdict(Stratified()), "polish": POLISH_EPOCHS},
    ),
}  # fmt: skip
