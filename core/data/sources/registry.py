"""The table of data sets, and `load`, which finds one by its name.

To add a data set: a file in this folder with a function that returns a `Dataset`, and its line in `SOURCES`. The
command line's help and errors read the table.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from core.data.dataset import Dataset
from core.data.sources.diabetes import diabetes
from core.data.sources.digits import digits
from core.data.sources.mnist import fashion_mnist, mnist
from core.data.sources.modelnet import modelnet, modelnet_at
from core.data.sources.openml import openml
from core.data.sources.photos import china, flower
from core.data.sources.solids import solids
from core.data.sources.super_resolution import super_resolution
from core.errors import UserError


@dataclass(frozen=True)
class Source:
    """A data set that `load` finds by name."""

    #: Returns the data set. Its arguments: the rest of a name such as `openml:<name or id>`, where the name has one,
    #: then the folder of `data_dir` (a Path, or None for the usual one), where `reads_folder`.
    make: Callable[..., Dataset]
    meaning: str  # one plain phrase
    reads_folder: bool = False  # whether `data_dir` has a meaning; it is refused otherwise


SOURCES: dict[str, Source] = {
    "digits": Source(digits, "1,797 handwritten digits of 8 x 8 pixels; needs no download"),
    "fashion-mnist": Source(fashion_mnist, "70,000 pictures of clothes; from Debian's package, or --data-dir", True),
    "mnist": Source(mnist, "70,000 handwritten digits; from --data-dir", True),
    "diabetes": Source(diabetes, "442 patients, for regression; needs no download"),
    "photo:flower": Source(flower, "one photograph to learn by heart; needs no download"),
    "photo:china": Source(china, "another one"),
    "super-resolution": Source(super_resolution, "pixels between those of photographs; needs no download"),
    "solids": Source(solids, "1,200 solids as clouds of points; made on first use, in --data-dir or the cache", True),
    "modelnet": Source(modelnet, "meshes as clouds of points; from --data-dir, or modelnet:<folder>", True),
    "modelnet:<folder>": Source(modelnet_at, "the same, with the folder in the name", True),
    "openml:<name or id>": Source(openml, "a table from OpenML; needs the network; kept in --data-dir", True),
}


def load(name: str, *, data_dir: Path | str | None = None) -> Dataset:
    """Load the data set called `name`, one of `SOURCES`.

    Parameters
    ----------
    name
        A key of `SOURCES`, with a text for its `<...>`: `digits`, `openml:iris`.
    data_dir
        Folder of the files of `mnist`, `fashion-mnist` and `modelnet`; where `solids` are written and tables of
        OpenML are kept.

    Raises
    ------
    UserError
        For an unknown name, data that can't be read, or a folder where the data set reads none.
    """
    source, rest = _lookup(name)
    if source is None:
        raise UserError(f"data {name!r} is not known; choose one of {', '.join(SOURCES)}")
    if source.reads_folder:
        return source.make(*rest, None if data_dir is None else Path(data_dir).expanduser())
    if data_dir is not None:
        readers = [key for key in SOURCES if SOURCES[key].reads_folder]
        raise UserError(
            f"data {name!r} is read from no folder, got {data_dir}; leave --data-dir out, or choose --data "
            f"{', '.join(readers[:-1])} or {readers[-1]}"
        )
    return source.make(*rest)


def loadable(name: str) -> bool:
    """Whether `load` may find data of that name, without loading them."""
    return _lookup(name)[0] is not None


def _lookup(name: str) -> tuple[Source | None, list[str]]:
    """Find the source of a name, and the text that replaces the `<...>` of its key."""
    if name in SOURCES and "<" not in name:
        return SOURCES[name], []
    for key, source in SOURCES.items():
        start = key.partition("<")[0]
        if "<" in key and name.startswith(start):
            return source, [name.removeprefix(start)]
    return None, []
