"""Recipes: how the cutoffs of each training step are drawn, and the optimiser's schedule. No torch.

base.py         Recipe and Cuts: what every recipe sets, and the cutoffs of one step
paper.py        one uniform cutoff a step, as in the paper
stratified.py   the default: strata of the sizes' logarithm, bands for the narrowest
sandwich.py     full, lower bound and some between, as in slimmable networks
registry.py     RECIPES: the recipes by name
"""

from core.elastic.recipes.base import Cutoff, Cuts, Recipe, decided
from core.elastic.recipes.registry import RECIPES, recipe

__all__ = ["RECIPES", "Cutoff", "Cuts", "Recipe", "decided", "recipe"]
