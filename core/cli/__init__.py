"""The command line: one file a topic; torch is imported only by the commands that run a model.

program.py      the program and its list of commands
training.py     train, sweep
settings.py     settings of `train` as a family, a recipe and start weights
sizes.py        show, export
polishing.py    polish, refit
stores.py       list, import, pack, rename, archive, restore
shared.py       arguments and helpers of several commands
"""

from core.cli.program import app

__all__ = ["app"]
