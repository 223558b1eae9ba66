"""MNIST's own file format, IDX, gzipped or not (format: Y. LeCun's page of the MNIST data set)."""

from __future__ import annotations

import gzip
import io
import math
import zlib
from pathlib import Path

import numpy as np

from core.data.dataset import Dataset, InputFormat, Split
from core.errors import UserError

TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
VALIDATION_SHARE = 1 / 12  # 5,000 of 60,000
SPLIT_SEED = 0
STEMS = {
    "train_x": "train-images-idx3-ubyte",
    "train_y": "train-labels-idx1-ubyte",
    "test_x": "t10k-images-idx3-ubyte",
    "test_y": "t10k-labels-idx1-ubyte",
}


def read_idx(path: Path | str, *, max_bytes: int = 2**30) -> np.ndarray:
    """The array in an IDX file. Gzip is known by its content, not by the file's name.

    Raises UserError for a file that is missing, no IDX file, cut short, too long or larger than `max_bytes`.
    """
    path = Path(path)
    try:
        if path.stat().st_size > max_bytes:
            raise UserError(f"{path} has {path.stat().st_size:,} bytes, more than the limit of {max_bytes:,}")
        with open(path, "rb") as raw:
            zipped = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            return _parse(gzip.open(raw) if zipped else raw, path, max_bytes)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UserError(f"{path} is cut short or damaged ({error}); download it again") from None
    except OSError as error:
        raise UserError(f"{path} can't be read: {error.strerror or error}") from None


def _parse(file: io.BufferedIOBase | gzip.GzipFile, path: Path, max_bytes: int) -> np.ndarray:
    head = file.read(4)
    if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in TYPES or not 1 <= head[3] <= 8:
        raise UserError(f"{path} is not an IDX file: it starts with {head.hex(' ') or 'nothing'}; download it again")
    dtype, ndim = np.dtype(TYPES[head[2]]), head[3]
    sizes = file.read(4 * ndim)
    if len(sizes) < 4 * ndim:
        raise UserError(f"{path} is cut short inside its header; download it again")
    shape = tuple(int(n) for n in np.frombuffer(sizes, ">u4"))
    wanted = math.prod(shape) * dtype.itemsize
    if wanted > max_bytes:
        raise UserError(f"{path} says it holds {wanted:,} bytes {shape}, more than the limit of {max_bytes:,}")
    data = file.read(wanted + 1)  # one more tells a longer file, and a gzip bomb goes no further
    if len(data) != wanted:
        came = "more" if len(data) > wanted else f"{len(data):,}"
        raise UserError(f"{path} wants {wanted:,} bytes for {shape}, got {came}; download it again")
    return np.frombuffer(data, dtype).reshape(shape).astype(dtype.newbyteorder("="))


def load_idx_folder(folder: Path | str, name: str, labels: tuple[str, ...], source: str) -> Dataset:
    """The four files of MNIST's layout; 1/12 of the training images become the validation part.

    Raises UserError where the folder or a file is missing or images and labels don't match.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"folder {folder} does not exist; give the one with the {name} files with --data-dir")
    arrays = {key: read_idx(_find(folder, stem, name)) for key, stem in STEMS.items()}
    for part in ("train", "test"):
        x, y = arrays[f"{part}_x"], arrays[f"{part}_y"]
        if x.ndim != 3 or y.ndim != 1 or len(x) != len(y):
            raise UserError(
                f"the {part} files of {folder} hold {x.shape} images and {y.shape} labels; want (n, h, w) and (n,)"
            )
        if x.dtype != np.uint8:
            raise UserError(f"the {part} images of {folder} are {x.dtype}; want bytes from 0 to 255")
    order = np.random.default_rng(SPLIT_SEED).permutation(len(arrays["train_x"]))
    held = max(1, round(len(order) * VALIDATION_SHARE))
    rows = {"train": np.sort(order[:-held]), "validation": np.sort(order[-held:])}
    y = arrays["train_y"].astype(np.int64)
    height, width = arrays["train_x"].shape[1:]
    return Dataset(
        name=name,
        task="classification",
        **{part: Split(x=arrays["train_x"][r], y=y[r]) for part, r in rows.items()},
        test=Split(x=arrays["test_x"], y=arrays["test_y"].astype(np.int64)),
        labels=labels,
        input=InputFormat(
            kind="image",
            shape=(height, width),
            dtype="uint8",
            low=0.0,
            high=255.0,
            meaning=f"{height} x {width} pixels, 0 is black and 255 is white",
        ),
        source=source,
    )


def _find(folder: Path, stem: str, name: str) -> Path:
    for spelled in (stem, stem.replace("-idx", ".idx")):
        for suffix in ("", ".gz"):
            if (folder / f"{spelled}{suffix}").is_file():
                return folder / f"{spelled}{suffix}"
    raise UserError(f"{folder} lacks {stem} (or {stem}.gz), one of the four files of {name}; download it there")
