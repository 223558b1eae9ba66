"""Elastic networks: one set of weights, run at any width. README.md names the files of the method.

layout.py     what each tensor's axes hold of each width; size_grid.py: sizes by one number, and ranges of them
family.py     Family: a factory of modules and what each width owns
discovery/    how a layout is inferred from shapes, checked and repaired
recipes/      how the cutoffs of a training step are drawn
scale.py      scale of kept features, bands of narrow widths; subnet.py: the plain small model of saved weights
module.py     Elastic: the full weights, run at any cutoff by slicing; batch_norm.py: statistics by width
fast_mlp/     ElasticMLP: the same outputs and gradients in fewer calls (optional)
"""

from core.elastic.family import Family
from core.elastic.layout import Layout, Width
from core.elastic.scale import Scale

__all__ = ["Family", "Layout", "Scale", "Width"]
