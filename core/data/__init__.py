"""Where examples come from. Needs no torch.

To add a data set: a function that gives a `Dataset`, and its line in `SOURCES`; the command line's help, its errors
and the app know it from there.
"""

from __future__ import annotations

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
    from core.data.sklearn_sets import digits

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


SOURCES: dict[str, tuple[Callable[[Path | None], Dataset], str]] = {
    "digits": (_digits, "1,797 handwritten digits of 8 x 8 pixels; needs no download"),
    "fashion-mnist": (_fashion, "70,000 pictures of clothes; from Debian's package, or --data-dir"),
    "mnist": (_mnist, "70,000 handwritten digits; from --data-dir"),
}
NAMES = {name: meaning for name, (_, meaning) in SOURCES.items()} | {
    "openml:<name or id>": "a table from OpenML; needs the network"
}


def load(name: str, *, data_dir: Path | str | None = None, data_home: str | None = None) -> Dataset:
    """The data set called `name`; see `NAMES`. Raises UserError where it is unknown or can't be read.

    `data_dir` holds the files of `mnist` and `fashion-mnist`; `data_home` is where OpenML's tables are kept, by default
    where scikit-learn keeps them.
    """
    if name.startswith("openml:"):
        from core.data.sklearn_sets import openml

        return openml(name.removeprefix("openml:"), data_home)
    if name not in SOURCES:
        raise UserError(f"data {name!r} is not known; choose one of {', '.join(NAMES)}")
    return SOURCES[name][0](None if data_dir is None else Path(data_dir).expanduser())
