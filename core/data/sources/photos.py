"""scikit-learn's two photographs, and each of them as a picture to be learned by heart.

Reading them needs Pillow, which comes with Streamlit.
"""

from __future__ import annotations

import numpy as np

from core.data.dataset import Dataset, Split
from core.data.input_format import InputFormat
from core.errors import UserError
from core.utils.numbers import whole_number

PHOTOS = ("china.jpg", "flower.jpg")
COLOURS = ("red", "green", "blue")


def flower() -> Dataset:
    """The photograph of a flower, to be learned by heart."""
    return fitted_picture("flower.jpg")


def china() -> Dataset:
    """The photograph of a palace, to be learned by heart."""
    return fitted_picture("china.jpg")


def photo(name: str, block: int = 1) -> np.ndarray:
    """Read a photograph of 427 x 640 pixels, reduced to the means of `block` x `block` pixels.

    Returns (height, width, 3) float64 from 0 to 255; rows and columns that fill no block are cut off.
    Raises UserError for an unknown name or where Pillow is missing.
    """
    if name not in PHOTOS:
        raise UserError(f"photograph {name!r} is not known; choose one of {', '.join(PHOTOS)}")
    if whole_number(block) is None or not 1 <= block <= 64:
        raise UserError(f"block is {block!r}; choose a whole number of pixels from 1 to 64")
    from sklearn.datasets import load_sample_image

    try:
        pixels = load_sample_image(name)
    except ImportError:
        raise UserError(f"{name} can't be read without Pillow; install it with: pip install pillow") from None
    height, width = pixels.shape[0] // block, pixels.shape[1] // block
    blocks = pixels[: height * block, : width * block].reshape(height, block, width, block, 3)
    return np.asarray(blocks.mean(axis=(1, 3)))


def fitted_picture(name: str, block: int = 4) -> Dataset:
    """Every pixel of a photograph: row and column (n, 2) in, colour (n, 3) in [0, 1] out.

    `block` 4 reduces it to 106 x 160 pixels. All pixels are in the training and the test part, in row order, and a
    random eighth of them is the validation part.
    """
    colours = photo(name, block)
    height, width = colours.shape[:2]
    places = np.stack(np.meshgrid(np.arange(height), np.arange(width), indexing="ij"), axis=-1)  # (height, width, 2)
    pixels = Split(x=places.reshape(-1, 2).astype(np.float32), y=(colours.reshape(-1, 3) / 255).astype(np.float32))
    rows = np.sort(np.random.default_rng(0).permutation(pixels.n)[: pixels.n // 8])
    return Dataset(
        name=f"photo:{name.removesuffix('.jpg')}",
        task="image",
        train=pixels,
        validation=Split(x=pixels.x[rows], y=pixels.y[rows]),
        test=pixels,
        labels=COLOURS,
        input=InputFormat(
            kind="table", shape=(2,), dtype="float32", columns=("row", "column"), low=0.0,
            high=float(max(height, width) - 1), meaning="row and column of a pixel",
        ),
        source=f"the photograph {name} of scikit-learn at {height} x {width} pixels, to be learned by "
        "heart: every pixel is trained on, every pixel is tested, and sizes are chosen on a random eighth of them",
        picture=(height, width),
    )  # fmt: skip
