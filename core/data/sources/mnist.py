"""MNIST and Fashion-MNIST, from folders of their IDX files."""

from __future__ import annotations

from pathlib import Path

from core.data.dataset import Dataset
from core.data.sources.idx import STEMS, load_idx_folder
from core.errors import UserError

FASHION_FOLDER = Path("/usr/share/datasets/fashion-mnist")  # where Debian's package dataset-fashion-mnist puts it
FASHION_LABELS = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip


def mnist(folder: Path | None) -> Dataset:
    """Load the 70,000 digits of MNIST from a folder. Raises UserError where there is none."""
    if folder is None:
        raise UserError(
            f"mnist is not on this machine; give the folder with its four IDX files ({', '.join(STEMS.values())}; "
            "gzipped or not) with --data-dir"
        )
    source = "70,000 handwritten digits, 28 x 28 pixels (MNIST)"
    return load_idx_folder(folder, "mnist", tuple(str(digit) for digit in range(10)), source)


def fashion_mnist(folder: Path | None) -> Dataset:
    """Load Fashion-MNIST from a folder, by default that of Debian's package. Raises UserError where there is none."""
    if folder is None and not FASHION_FOLDER.is_dir():
        raise UserError(
            "fashion-mnist is not installed; on Debian: apt install dataset-fashion-mnist; elsewhere give the folder "
            "with its four IDX files with --data-dir"
        )
    source = "70,000 pictures of clothes, 28 x 28 pixels (Fashion-MNIST, Zalando Research)"
    return load_idx_folder(folder or FASHION_FOLDER, "fashion-mnist", FASHION_LABELS, source)
