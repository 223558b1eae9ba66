"""Structural Dropout: one training, every size (arXiv 2205.06906).

    from core import Family, train, sweep, export

Importing this package imports neither torch nor pandas; both come when a model is built or a table is read.
"""

from core.data.arrays import from_arrays
from core.elastic.family import Family
from core.elastic.layout import Width
from core.elastic.recipes.registry import recipe
from core.errors import LayoutError, RunError, UserError
from core.export.formats import export
from core.runs.run import Run
from core.runs.store import RunStore
from core.sweep.sweep import sweep
from core.train.training import train

__all__ = [
    "Family", "LayoutError", "Run", "RunError", "RunStore", "UserError", "Width", "export", "from_arrays", "recipe",
    "sweep", "train",
]  # fmt: skip
