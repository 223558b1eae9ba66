"""Where examples come from. Needs no torch.

To add a data set: a function that gives a `Dataset`, and its line in `SOURCES`; the command line's help, its errors
and the app know it from there.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from core.data.arrays import from_arrays
from core.data.dataset import Dataset, InputFormat, Split
from core.errors import UserError

__all__ = ["NAMES", "Dataset", "InputFormat", "Split", "from_arrays", "load"]

FASHION_FOLDER = Path("/usr/share/datasets/fashion-mnist")  # where Debian's package dataset-fashion-mnist puts it
FASHION_LABELS = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip


def _digits(data_dir: Path | None) -> Dataset:
    from core.data.sklearn_data import digits

    return digits()


def _fashion(data_dir: Path | None) -> Dataset:
    from core.data.idx import load_idx_folder

    folder = data_dir or FASHION_FOLDER
    if data_dir is None and not folder.is_dir():
        raise UserError(
            "fashion-mnist is not installed; on Debian: apt install dataset-fashion-mnist; elsewhere give the folder "
            "with its four IDX files with --data-dir"
        )
    source = "70,000 pictures of clothes, 28 x 28 pixels (Fashion-MNIST, Zalando Research)"
    return load_idx_folder(folder, "fashion-mnist", FASHION_LABELS, source)


def _mnist(data_dir: Path | None) -> Dataset:
    from core.data.idx import STEMS, load_idx_folder

    if data_dir is None:
        raise UserError(
            f"mnist is not on this machine; give the folder with its four IDX files ({', '.join(STEMS.values())}; "
            "gzipped or not) with --data-dir"
        )
    source = "70,000 handwritten digits, 28 x 28 pixels (MNIST)"
    return load_idx_folder(data_dir, "mnist", tuple(str(k) for k in range(10)), source)


def _solids(data_dir: Path | None) -> Dataset:
    from core.data.meshes import meshes_dataset
    from core.data.solids import write_solids

    folder = (data_dir or cache_folder()) / f"solids-{SOLIDS['train']}-{SOLIDS['test']}"
    if not folder.is_dir():
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"the solids can't be written to {folder.parent} ({error.strerror or error}); give a folder with "
                "--data-dir"
            ) from None
        write_solids(folder, **SOLIDS)
    return meshes_dataset(folder, "solids", "parametric solids of ten kinds, as points on their surface")


def _modelnet(data_dir: Path | None) -> Dataset:
    from core.data.meshes import meshes_dataset

    if data_dir is None:
        raise UserError(
            "modelnet is not on this machine; give its folder, which holds <class>/train/*.off and "
            "<class>/test/*.off, as modelnet:<folder> or with --data-dir"
        )
    return meshes_dataset(data_dir, "modelnet", "meshes in ModelNet's folders, as points on their surface", points=256)


def _flower(data_dir: Path | None) -> Dataset:
    from core.data.photos import photo_dataset

    return photo_dataset("flower")


def _china(data_dir: Path | None) -> Dataset:
    from core.data.photos import photo_dataset

    return photo_dataset("china")


def _super_resolution(data_dir: Path | None) -> Dataset:
    from core.data.photos import super_resolution_dataset

    return super_resolution_dataset()


def _diabetes(data_dir: Path | None) -> Dataset:
    from core.data.sklearn_data import diabetes

    return diabetes()


def cache_folder() -> Path:
    """Where this project keeps what it made and can make again: the user's own, and never a run's."""
    home = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(home) if Path(home).is_absolute() else Path.home() / ".cache") / "structural-dropout"


SOLIDS = {"train": 80, "test": 40}  # of each kind
SOURCES: dict[str, tuple[Callable[[Path | None], Dataset], str]] = {
    "digits": (_digits, "1,797 handwritten digits of 8 x 8 pixels; needs no download"),
    "fashion-mnist": (_fashion, "70,000 pictures of clothes; from Debian's package, or --data-dir"),
    "mnist": (_mnist, "70,000 handwritten digits; from --data-dir"),
    "diabetes": (_diabetes, "442 patients, for regression; needs no download"),
    "photo:flower": (_flower, "one photograph to learn by heart; needs no download"),
    "photo:china": (_china, "another one"),
    "super-resolution": (_super_resolution, "pixels between those of photographs; needs no download"),
    "solids": (_solids, "1,200 solids as clouds of points; made on first use, in --data-dir or the user's cache"),
    "modelnet": (_modelnet, "meshes as clouds of points; from --data-dir, or modelnet:<folder>"),
}
NAMES = {name: meaning for name, (_, meaning) in SOURCES.items()} | {
    "openml:<name or id>": "a table from OpenML; needs the network"
}


def known(name: str) -> bool:
    """Whether `load` may know data of that name, without loading them."""
    return name in SOURCES or name.startswith(("openml:", "modelnet:"))


def load(name: str, *, data_dir: Path | str | None = None, data_home: str | None = None) -> Dataset:
    """The data set called `name`; see `NAMES`. Raises UserError where it is unknown or can't be read.

    `data_dir` holds the files of `mnist`, `fashion-mnist` and `modelnet`, and what is made for `solids`; `data_home` is
    where OpenML's tables are kept, by default where scikit-learn keeps them.
    """
    if name.startswith("openml:"):
        from core.data.sklearn_data import openml

        return openml(name.removeprefix("openml:"), data_home)
    if name.startswith("modelnet:"):
        name, _, folder = name.partition(":")
        if data_dir is not None or not folder:
            raise UserError("modelnet wants one folder: modelnet:<folder>, or modelnet with --data-dir")
        data_dir = folder
    if name not in SOURCES:
        raise UserError(f"data {name!r} is not known; choose one of {', '.join(NAMES)}")
    return SOURCES[name][0](None if data_dir is None else Path(data_dir).expanduser())
