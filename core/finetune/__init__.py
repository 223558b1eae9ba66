"""Fine-tuning: one width of a run improved by itself, kept beside the run as a point of its own.

polish.py      train the slice for a few more epochs
refit.py       solve its output layer anew on frozen features
subnet_run.py  what both share: the slice, its data, its scores before and after
"""

from core.finetune.polish import polish
from core.finetune.refit import refit

__all__ = ["polish", "refit"]
