"""Examples in three parts: to train on, to choose a size by, and to measure. Needs no torch.

dataset.py         Dataset and its parts; input_format.py: the format of one example
arrays.py          from_arrays: a person's own arrays or table as a data set
values.py          numbers and labels of any library, checked; refusals name column and row
checks.py          warnings about data that mislead
sources/           data sets by name, one file each
"""

from core.data.arrays import from_arrays
from core.data.dataset import Dataset, Split
from core.data.input_format import InputFormat
from core.data.sources.registry import SOURCES, load

__all__ = ["SOURCES", "Dataset", "InputFormat", "Split", "from_arrays", "load"]
