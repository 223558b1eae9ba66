"""Tasks by name. To add one: a file with its metrics and its `Task`, and its line in `TASKS`."""

from __future__ import annotations

from core.errors import UserError
from core.tasks.base import Task
from core.tasks.classification import CLASSIFICATION
from core.tasks.image import IMAGE
from core.tasks.regression import REGRESSION

TASKS: dict[str, Task] = {task.name: task for task in (CLASSIFICATION, REGRESSION, IMAGE)}


def task(name: str) -> Task:
    """Look up the task called `name`. Raises UserError, which names the known ones."""
    if name not in TASKS:
        raise UserError(f"task {name!r} is not known; choose one of {', '.join(TASKS)}")
    return TASKS[name]
