"""Runs on disk: a folder of plain files that any program can read. README.md describes them. No torch.

run.py           Run: open a run and read all it holds
store.py         RunStore: list, open, write, import and remove runs
archive.py       rename, archive, restore; the trash of an emptied archive
archive_zip.py   a run as one zip file
record.py        RunRecord: the content of run.json
layout_json.py   the layout in it, entry by entry
tensors.py       weights, statistics and examples
tables.py        metrics, predictions and times
polished.py      widths that were trained on by themselves
run_data.py      the data that a run was trained on, checked to be its own
notes.py         title, tags and a note by people
file_names.py    names of the files
"""

from core.runs.record import RunRecord
from core.runs.run import Run
from core.runs.store import BrokenRun, RunStore

__all__ = ["BrokenRun", "Run", "RunRecord", "RunStore"]
