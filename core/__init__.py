"""Structural Dropout: one training, every width (arXiv 2205.06906).

    from core import Family, train, sweep

Importing this package imports neither torch nor pandas; both come when a model is built or a table is read.
"""

from core.elastic.family import Family
from core.elastic.layout import Width
from core.errors import LayoutError, RunError, UserError
from core.runs.run import Run
from core.runs.store import RunStore
from core.sweep.sweep import sweep
from core.train.training import train

__all__ = ["Family", "LayoutError", "Run", "RunError", "RunStore", "UserError", "Width", "sweep", "train"]
