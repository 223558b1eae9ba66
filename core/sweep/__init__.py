"""The sweep: every width of a run validated once, and what follows from its figures.

sweep.py          validate the widths of a run and time them
evaluator.py      predictions and losses of all widths (torch)
bn_statistics.py  batch-normalisation statistics at each width
validation.py     score the widths that are missing, write the tables
tables.py         build the two tables
progress.py       checkpoint of an interrupted sweep
latency.py        time of a prediction on this machine
budget.py         which size answers a budget
report.py         figures in plain words
"""

from core.sweep.budget import Answer, Budget, answer, frontier, recommended
from core.sweep.sweep import sweep

__all__ = ["Answer", "Budget", "answer", "frontier", "recommended", "sweep"]
