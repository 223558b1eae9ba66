"""MNIST's file format IDX, gzipped or not (specified on Y. LeCun's page of the MNIST data set)."""

from __future__ import annotations

import gzip
import math
import zlib
from io import BufferedReader
from pathlib import Path

import numpy as np

from core.data.dataset import BLOCK, Dataset, Split
from core.data.input_format import InputFormat
from core.errors import UserError

TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
GZIP_BEST = 1032  # deflate makes no file more than this many times smaller (RFC 1951: 258 bytes from 2 bits)
VALIDATION_SHARE = 1 / 12  # 5,000 of 60,000
SPLIT_SEED = 0
STEMS = {
    "train_x": "train-images-idx3-ubyte",
    "train_y": "train-labels-idx1-ubyte",
    "test_x": "t10k-images-idx3-ubyte",
    "test_y": "t10k-labels-idx1-ubyte",
}


def read_idx(path: Path | str, *, max_bytes: int = 2**30) -> np.ndarray:
    """Read the array of an IDX file; gzip is detected by the file's content, not by its name.

    Raises UserError for a file that is missing, no IDX file, cut short, too long or larger than `max_bytes`.
    """
    path = Path(path)
    try:
        stored = path.stat().st_size
        if stored > max_bytes:
            raise UserError(f"{path} has {stored:,} bytes, more than the limit of {max_bytes:,}; is it an IDX file?")
        with open(path, "rb") as raw:
            zipped = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            if not zipped:
                return _parse(raw, path, stored, max_bytes)
            with gzip.open(raw) as file:
                return _parse(file, path, stored * GZIP_BEST, max_bytes)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UserError(f"{path} is cut short or damaged ({error}); download it again") from None
    except OSError as error:
        raise UserError(f"{path} can't be read: {error.strerror or error}; check its name and rights") from None


def _parse(file: BufferedReader | gzip.GzipFile, path: Path, most: int, max_bytes: int) -> np.ndarray:
    """Read the array of an open file that can't hold more than `most` bytes. Raises UserError."""
    head = file.read(4)
    if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in TYPES or not 1 <= head[3] <= 8:
        raise UserError(
            f"{path} is not an IDX file: it starts with {head.hex(' ') or 'nothing'}, not with 00 00, a type from 08 "
            "to 0e and 1 to 8 dimensions; download it again"
        )
    dtype, ndim = np.dtype(TYPES[head[2]]), head[3]
    sizes = file.read(4 * ndim)
    if len(sizes) < 4 * ndim:
        raise UserError(f"{path} is cut short inside its header of {4 + 4 * ndim} bytes; download it again")
    shape = tuple(int(n) for n in np.frombuffer(sizes, ">u4"))
    needed = math.prod(shape) * dtype.itemsize
    if needed > max_bytes:
        raise UserError(
            f"the header of {path} promises {shape}, {needed:,} bytes, more than the limit of {max_bytes:,}; "
            "is it an IDX file?"
        )
    if needed > most:  # before any memory is set aside
        raise UserError(f"{path} is cut short: {shape} needs {needed:,} bytes, it can't hold them; download it again")
    data, got = np.empty(needed, np.uint8), 0
    while got < needed and (step := file.readinto(data[got : got + BLOCK].data)):
        got += step
    # one byte more reveals a longer file and lets gzip check its sum; a gzip bomb gets no further
    if got < needed or file.read(1):
        came = f"{got:,}" if got < needed else "more"
        raise UserError(f"{path} needs {needed:,} bytes for {shape}, got {came}; download it again")
    return data.view(dtype).reshape(shape).astype(dtype.newbyteorder("="), copy=False)


def load_idx_folder(folder: Path | str, name: str, labels: tuple[str, ...], source: str = "") -> Dataset:
    """Load the four files of MNIST's layout; 1/12 of the training images become the validation part.

    Parameters
    ----------
    folder
        The folder of the four files.
    name, source
        Name of the data set, and one sentence on its origin.
    labels
        Names of the classes.

    ------
    UserError
        Where the folder or a file is missing, or images and labels differ in number.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"folder {folder} does not exist; give the one with the {name} files with --data-dir")
    paths = {key: _path(folder, stem, name) for key, stem in STEMS.items()}
    arrays = {key: read_idx(path) for key, path in paths.items()}
    for part in ("train", "test"):
        x, y = arrays[f"{part}_x"], arrays[f"{part}_y"]
        if x.ndim != 3 or y.ndim != 1 or len(x) != len(y):
            raise UserError(
                f"the {part} files of {folder} hold images {x.shape} and labels {y.shape}; give (n, height, width) "
                "and (n,); download both again"
            )
        if x.dtype != np.uint8 or y.dtype != np.uint8:
            raise UserError(
                f"the {part} files of {folder} hold {x.dtype} images and {y.dtype} labels; give bytes from 0 to 255"
            )
    order = np.random.default_rng(SPLIT_SEED).permutation(len(arrays["train_x"]))
    held = max(1, round(len(order) * VALIDATION_SHARE))
    rows = {"train": np.sort(order[:-held]), "validation": np.sort(order[-held:])}
    y = arrays["train_y"].astype(np.int64)
    height, width = arrays["train_x"].shape[1:]
    parts = {part: Split(x=arrays["train_x"][r], y=y[r]) for part, r in rows.items()}
    return Dataset(
        name=name,
        task="classification",
        train=parts["train"],
        validation=parts["validation"],
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
        source=source or f"{len(order) + len(arrays['test_x']):,} pictures of {name}",
    )


def _path(folder: Path, stem: str, name: str) -> Path:
    """Find one of the four files under its usual spellings. Raises UserError."""
    for spelled in (stem, stem.replace("-idx", ".idx")):
        for suffix in ("", ".gz"):
            if (folder / f"{spelled}{suffix}").is_file():
                return folder / f"{spelled}{suffix}"
    raise UserError(f"{folder} lacks {stem} (or {stem}.gz), one of the four files of {name}; download it there")
