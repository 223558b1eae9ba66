"""Queries of pixels that a smaller picture lacks, made from scikit-learn's two photographs.

The queries follow LIIF (Chen et al., 2021): the low-resolution pixels around a place, its offset, and its cell's size.
"""

from __future__ import annotations

import numpy as np

from core.data.dataset import Dataset, Split
from core.data.input_format import InputFormat
from core.data.sources.photos import COLOURS, PHOTOS, photo
from core.errors import UserError
from core.utils.numbers import whole_number

LARGEST_SCALE = 4.0
PATCHES = (3, 5, 7, 9, 11)
MOST_QUERIES = 1_000_000

# Regions of the photographs at half size (213 x 320): top, left, height, width. No two overlap, and each is reduced
# by itself, so that no pixel of one is visible in another.
TRAIN = (
    ("china.jpg", (156, 0, 57, 320)),  # trees and the lowest roof
    ("china.jpg", (0, 180, 156, 140)),
    ("china.jpg", (0, 0, 156, 40)),
    ("flower.jpg", (30, 70, 160, 160)),
)
VALIDATION = ("china.jpg", (84, 44, 72, 96))  # the storeys in the middle
TEST = ("china.jpg", (10, 54, 72, 96))  # the upper roof


def super_resolution(
    *, train: int = 100_000, validation: int = 4_000, scale: float = 2.0, patch: int = 5, seed: int = 0
) -> Dataset:
    """Random pixels of training and validation regions at random scales from 1 to 4, and a whole test picture.

    An example is (3 * patch * patch + 4,) values, as `core.models.liif.net` takes them, and a colour in [0, 1].

    Parameters
    ----------
    train, validation
        Number of random queries in each part.
    scale
        How many times larger the test picture is made.
    patch
        Low-resolution pixels a side around the nearest one.

    Raises
    ------
    UserError
        For a count, a scale or a patch out of range.
    """
    for part, count in (("train", train), ("validation", validation)):
        if whole_number(count) is None or not 1 <= count <= MOST_QUERIES:
            raise UserError(f"{part} is {count!r}; choose a whole number of queries from 1 to {MOST_QUERIES:,}")
    if not isinstance(scale, (int, float)) or not 1 <= scale <= LARGEST_SCALE:
        raise UserError(f"scale is {scale!r}; choose 1 to {LARGEST_SCALE:g}")
    if patch not in PATCHES:
        raise UserError(f"patch is {patch!r}; choose one of {', '.join(map(str, PATCHES))} pixels a side")
    photos = {name: photo(name, 2) for name in PHOTOS}
    regions = [_crop(photos[name], region) for name, region in TRAIN]
    held_out, test = (_crop(photos[name], region) for name, region in (VALIDATION, TEST))
    height, width = test.shape[:2]
    rows, columns = (indices.reshape(-1) for indices in np.indices((height, width)))
    return Dataset(
        name="super-resolution",
        task="image",
        train=_random_queries(regions, train, patch, np.random.default_rng([seed, 0])),
        validation=_random_queries([held_out], validation, patch, np.random.default_rng([seed, 1])),
        test=_queries(test, scale, rows, columns, patch),
        labels=COLOURS,
        input=InputFormat(
            kind="array", shape=(3 * patch * patch + 4,), dtype="float32",
            meaning=f"{patch} x {patch} low-resolution pixels around the nearest one, red, green and blue from 0 to "
            "255, then the place across that pixel and the size of what is asked",
        ),
        source=f"queries at scales from 1 to 4 on regions of scikit-learn's two photographs; tested on every pixel of "
        f"another region, {height} x {width} pixels, made {scale:g} times larger",
        picture=(height, width),
    )  # fmt: skip


def area_means(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """Reduce a picture (h, w, 3) to (height, width, 3): means of areas, parts of pixels weighted by their overlap."""
    down, across = _overlaps(picture.shape[0], height), _overlaps(picture.shape[1], width)
    rows = (down @ picture.reshape(len(picture), -1)).reshape(height, -1, 3)
    return np.asarray(across @ rows)


def _overlaps(old: int, new: int) -> np.ndarray:
    """Share of each new pixel that each old one covers, (new, old); rows add up to 1."""
    edges = np.arange(new + 1)[:, None] * (old / new) - np.arange(old)  # in old pixels, from each one's own edge
    covered = np.clip(edges, 0, 1)
    return np.asarray((covered[1:] - covered[:-1]) * (new / old))


def _crop(picture: np.ndarray, region: tuple[int, int, int, int]) -> np.ndarray:
    top, left, height, width = region
    return picture[top : top + height, left : left + width]


def _random_queries(regions: list[np.ndarray], count: int, patch: int, rng: np.random.Generator) -> Split:
    """Draw `count` queries in up to 256 groups, each of one region, turned or mirrored, and of one scale.

    Regions are drawn in proportion to their areas.
    """
    shares = np.array([region.shape[0] * region.shape[1] for region in regions], float)
    groups = np.array_split(np.arange(count), min(count, 256))
    drawn = []
    for group in groups:
        region = np.rot90(regions[rng.choice(len(regions), p=shares / shares.sum())], int(rng.integers(4)))
        region = region[:, ::-1] if rng.random() < 0.5 else region
        rows, columns = (rng.integers(0, size, len(group)) for size in region.shape[:2])
        drawn.append(_queries(region, rng.uniform(1, LARGEST_SCALE), rows, columns, patch))
    return Split(x=np.concatenate([part.x for part in drawn]), y=np.concatenate([part.y for part in drawn]))


def _queries(picture: np.ndarray, scale: float, rows: np.ndarray, columns: np.ndarray, patch: int) -> Split:
    """Queries for pixels of a picture, whose inputs come from the same picture made `scale` times smaller."""
    small = [max(1, round(size / scale)) for size in picture.shape[:2]]
    low = np.pad(np.rint(area_means(picture, *small)), ((patch // 2,) * 2, (patch // 2,) * 2, (0, 0)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(low, (patch, patch), axis=(0, 1))  # (height, width, 3, P, P)
    places = [(at + 0.5) * new / old for at, new, old in zip((rows, columns), small, picture.shape[:2], strict=True)]
    nearest = [place.astype(int) for place in places]  # the low-resolution pixel that a query lies in
    seen = windows[nearest[0], nearest[1]].reshape(len(rows), -1)
    offsets = [2 * (place - pixel) - 1 for place, pixel in zip(places, nearest, strict=True)]  # -1 to 1 in that pixel
    cells = [np.full(len(rows), 2 * new / old) for new, old in zip(small, picture.shape[:2], strict=True)]
    x = np.concatenate([seen, np.stack([*offsets, *cells], axis=1)], axis=1)
    return Split(x=x.astype(np.float32), y=(picture[rows, columns] / 255).astype(np.float32))
