"""Examples in three parts: to train on, to choose a size by, and to measure. Needs no torch.

dataset.py    Dataset, Split and InputFormat: what every part of the project reads
arrays.py     from_arrays: a person's own arrays or table as a data set
sources/      data sets by name, one file each
"""

from core.data.arrays import from_arrays
from core.data.dataset import Dataset, InputFormat, Split
from core.data.sources.registry import SOURCES, load

__all__ = ["SOURCES", "Dataset", "InputFormat", "Split", "from_arrays", "load"]
