"""scikit-learn's two photographs as examples: one picture to fit, and pieces to make larger pictures from.

Needs Pillow, which comes with Streamlit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.data.dataset import Dataset, InputFormat, Split
from core.errors import UserError
from core.utils.numbers import whole_number

PHOTOS = ("china.jpg", "flower.jpg")
LARGEST_SCALE = 4.0
PATCHES = (3, 5, 7, 9, 11)
COLOURS = ("red", "green", "blue")
MOST_QUERIES = 1_000_000

# Where super-resolution trains and is tested, in the photographs at half size (213 x 320): top, left, height, width.
# No two overlap, and each is made small by itself, so that nothing of one is seen in another.
TRAIN = (
    ("china.jpg", (156, 0, 57, 320)),  # trees and the lowest roof
    ("china.jpg", (0, 180, 156, 140)),
    ("china.jpg", (0, 0, 156, 40)),
    ("flower.jpg", (30, 70, 160, 160)),
)
VALIDATION = ("china.jpg", (84, 44, 72, 96))  # the storeys in the middle
TEST = ("china.jpg", (10, 54, 72, 96))  # the upper roof


@dataclass(frozen=True, kw_only=True)
class Picture:
    """Every pixel of a picture in row order: `x` (n, 2) float32 its row and column, `y` (n, 3) its colour in [0, 1]."""

    x: np.ndarray
    y: np.ndarray
    height: int
    width: int


@dataclass(frozen=True, kw_only=True)
class SuperResolution:
    """Queries of pixels that a smaller picture lacks.

    `x` (n, 3 * patch * patch + 4) float32 is what `core.models.liif.net` takes, `y` (n, 3) float32 the true colour in
    [0, 1]. The test part is all of a picture of `height` x `width` pixels in row order, made `scale` times larger;
    `patch` low-resolution pixels a side are seen.
    """

    train: Split
    validation: Split
    test: Split
    height: int
    width: int
    scale: float
    patch: int


def photo(name: str, block: int = 1) -> np.ndarray:
    """A photograph of 427 x 640 pixels, (height, width, 3) float64 from 0 to 255, each pixel the mean of a block.

    Rows and columns that fill no block are cut off. Raises UserError for an unknown name or where Pillow is missing.
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


def fitted_picture(name: str = "flower.jpg", block: int = 4) -> Picture:
    """A photograph to be learned by heart, pixel by pixel; `block` 4 makes it 106 x 160 pixels."""
    colours = photo(name, block)
    height, width = colours.shape[:2]
    places = np.stack(np.meshgrid(np.arange(height), np.arange(width), indexing="ij"), axis=-1)
    return Picture(
        x=places.reshape(-1, 2).astype(np.float32),
        y=(colours.reshape(-1, 3) / 255).astype(np.float32),
        height=height,
        width=width,
    )


def super_resolution(
    *, train: int = 100_000, validation: int = 4_000, scale: float = 2.0, patch: int = 5, seed: int = 0
) -> SuperResolution:
    """Random pixels of training and validation regions at random scales from 1 to 4, and a whole test picture.

    Raises UserError for counts, a scale or a patch out of range.
    """
    for what, count in (("train", train), ("validation", validation)):
        if whole_number(count) is None or not 1 <= count <= MOST_QUERIES:
            raise UserError(f"{what} is {count!r}; choose a whole number of queries from 1 to {MOST_QUERIES:,}")
    if not isinstance(scale, (int, float)) or not 1 <= scale <= LARGEST_SCALE:
        raise UserError(f"scale is {scale!r}; choose 1 to {LARGEST_SCALE:g}")
    if patch not in PATCHES:
        raise UserError(f"patch is {patch!r}; choose one of {', '.join(map(str, PATCHES))} pixels a side")
    photos = {name: photo(name, 2) for name in PHOTOS}
    regions = [_cut(photos[name], place) for name, place in TRAIN]
    held, shown = (_cut(photos[name], place) for name, place in (VALIDATION, TEST))
    height, width = shown.shape[:2]
    rows, columns = (places.reshape(-1) for places in np.indices((height, width)))
    return SuperResolution(
        train=_random_queries(regions, train, patch, np.random.default_rng([seed, 0])),
        validation=_random_queries([held], validation, patch, np.random.default_rng([seed, 1])),
        test=_queries(shown, scale, rows, columns, patch),
        height=height,
        width=width,
        scale=float(scale),
        patch=patch,
    )


def photo_dataset(name: str) -> Dataset:
    """One photograph to be learned by heart (`photo:<name>`): places in, colours out."""
    found = fitted_picture(f"{name}.jpg")
    whole = Split(x=found.x, y=found.y)
    rows = np.sort(np.random.default_rng(0).permutation(whole.n)[: whole.n // 8])
    return Dataset(
        name=f"photo:{name}",
        task="image",
        train=whole,
        validation=Split(x=found.x[rows], y=found.y[rows]),
        test=whole,
        labels=COLOURS,
        input=InputFormat(
            kind="table", shape=(2,), dtype="float32", columns=("row", "column"), low=0.0,
            high=float(max(found.height, found.width) - 1), meaning="row and column of a pixel",
        ),
        source=f"the photograph {name}.jpg of scikit-learn at {found.height} x {found.width} pixels, to be learned by "
        "heart: every pixel is trained on, every pixel is tested, and sizes are chosen on a random eighth of them",
        picture=(found.height, found.width),
    )  # fmt: skip


def super_resolution_dataset() -> Dataset:
    """Pixels between the pixels of photographs (`super-resolution`); the test part is one whole picture."""
    found = super_resolution()
    side = found.patch
    return Dataset(
        name="super-resolution",
        task="image",
        train=found.train,
        validation=found.validation,
        test=found.test,
        labels=COLOURS,
        input=InputFormat(
            kind="array", shape=(3 * side * side + 4,), dtype="float32",
            meaning=f"{side} x {side} low-resolution pixels around the nearest one, red, green and blue from 0 to 255, "
            "then the place across that pixel and the size of what is asked",
        ),
        source=f"queries at scales from 1 to 4 on regions of scikit-learn's two photographs; tested on every pixel of "
        f"another region, {found.height} x {found.width} pixels, made {found.scale:g} times larger",
        picture=(found.height, found.width),
    )  # fmt: skip


def bilinear(x: np.ndarray, patch: int) -> np.ndarray:
    """What plain interpolation answers to queries (n, 3 * patch * patch + 4): colours (n, 3) in [0, 1]."""
    seen = x[:, :-4].reshape(-1, 3, patch, patch)
    near = slice(patch // 2 - 1, patch // 2 + 2)
    steps = np.array([-1, 0, 1])
    down, across = (np.maximum(0, 1 - np.abs(x[:, k, None] / 2 - steps)) for k in (-4, -3))  # (n, 3) each
    return np.asarray(np.einsum("ncij,ni,nj->nc", seen[:, :, near, near], down, across) / 255)


def area_means(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """A picture (h, w, 3) made smaller, each new pixel the mean of the area that it covers, parts of pixels too."""
    down, across = _overlaps(picture.shape[0], height), _overlaps(picture.shape[1], width)
    rows = (down @ picture.reshape(len(picture), -1)).reshape(height, -1, 3)
    return np.asarray(across @ rows)


def _overlaps(old: int, new: int) -> np.ndarray:
    """How much of each new pixel is covered by each old one, (new, old); rows add up to 1."""
    edges = np.arange(new + 1)[:, None] * (old / new) - np.arange(old)  # in old pixels, from each one's own edge
    covered = np.clip(edges, 0, 1)
    return np.asarray((covered[1:] - covered[:-1]) * (new / old))


def _cut(picture: np.ndarray, place: tuple[int, int, int, int]) -> np.ndarray:
    top, left, height, width = place
    return picture[top : top + height, left : left + width]


def _random_queries(regions: list[np.ndarray], count: int, patch: int, rng: np.random.Generator) -> Split:
    """`count` queries in a few hundred groups, each of one region, turned or mirrored, and of one scale.

    The larger a region, the likelier it is.
    """
    shares = np.array([region.shape[0] * region.shape[1] for region in regions], float)
    groups = np.array_split(np.arange(count), min(count, 256))
    found = []
    for group in groups:
        region = np.rot90(regions[rng.choice(len(regions), p=shares / shares.sum())], int(rng.integers(4)))
        region = region[:, ::-1] if rng.random() < 0.5 else region
        rows, columns = (rng.integers(0, size, len(group)) for size in region.shape[:2])
        found.append(_queries(region, rng.uniform(1, LARGEST_SCALE), rows, columns, patch))
    return Split(x=np.concatenate([part.x for part in found]), y=np.concatenate([part.y for part in found]))


def _queries(picture: np.ndarray, scale: float, rows: np.ndarray, columns: np.ndarray, patch: int) -> Split:
    """Pixels of a picture as asked of the same picture made `scale` times smaller, which is all that `x` knows."""
    small = [max(1, round(size / scale)) for size in picture.shape[:2]]
    low = np.pad(np.rint(area_means(picture, *small)), ((patch // 2,) * 2, (patch // 2,) * 2, (0, 0)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(low, (patch, patch), axis=(0, 1))  # (height, width, 3, P, P)
    places = [(at + 0.5) * new / old for at, new, old in zip((rows, columns), small, picture.shape[:2], strict=True)]
    near = [place.astype(int) for place in places]  # the low-resolution pixel that a query lies in
    seen = windows[near[0], near[1]].reshape(len(rows), -1)
    offsets = [2 * (place - pixel) - 1 for place, pixel in zip(places, near, strict=True)]  # -1 to 1 across that pixel
    cells = [np.full(len(rows), 2 * new / old) for new, old in zip(small, picture.shape[:2], strict=True)]
    x = np.concatenate([seen, np.stack([*offsets, *cells], axis=1)], axis=1)
    return Split(x=x.astype(np.float32), y=(picture[rows, columns] / 255).astype(np.float32))
