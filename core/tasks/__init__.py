"""Tasks: what a model predicts, how it is scored and how its figures are shown.

base.py            Metric and Task
classification.py  labels, by accuracy
regression.py      numbers, by root mean square error and R²
image.py           pixel colours, by peak signal-to-noise ratio
statistics.py      means with intervals, paired tests
registry.py        tasks by name
losses.py          the training loss of a task (torch)
"""

from core.tasks.base import Metric, Task
from core.tasks.registry import TASKS, task

__all__ = ["TASKS", "Metric", "Task", "task"]
