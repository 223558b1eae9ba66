import numpy as np
import pytest
import sklearn.datasets

from core.data import Dataset
from core.data.sources import super_resolution as module
from core.data.sources.photos import PHOTOS, fitted_picture, photo
from core.data.sources.super_resolution import area_means, super_resolution
from core.errors import UserError


def bilinear(x: np.ndarray, patch: int) -> np.ndarray:
    """Interpolate the colours (n, 3) in [0, 1] that queries (n, 3 * patch * patch + 4) ask for."""
    seen = x[:, :-4].reshape(-1, 3, patch, patch)
    near = slice(patch // 2 - 1, patch // 2 + 2)
    steps = np.array([-1, 0, 1])
    down, across = (np.maximum(0, 1 - np.abs(x[:, k, None] / 2 - steps)) for k in (-4, -3))  # (n, 3) each
    return np.asarray(np.einsum("ncij,ni,nj->nc", seen[:, :, near, near], down, across) / 255)


@pytest.fixture(scope="module")
def queries() -> Dataset:
    return super_resolution(train=600, validation=300, patch=5)


def psnr(found: np.ndarray, wanted: np.ndarray) -> float:
    return float(-10 * np.log10(np.square(found - wanted).mean()))


def test_a_photograph_is_reduced_by_the_means_of_blocks():
    whole, small = photo("china.jpg"), photo("china.jpg", 4)
    assert whole.shape == (427, 640, 3)
    assert small.shape == (106, 160, 3)
    np.testing.assert_allclose(small[105, 7], whole[420:424, 28:32].mean(axis=(0, 1)))


def test_a_fitted_picture_is_every_pixel_in_row_order():
    picture = fitted_picture("flower.jpg", block=8)
    assert picture.picture == (53, 80)
    assert picture.train.x.shape == (53 * 80, 2)
    assert picture.train.x.dtype == picture.train.y.dtype == np.float32
    np.testing.assert_allclose(picture.train.y.reshape(53, 80, 3), photo("flower.jpg", 8) / 255, atol=1e-6)
    np.testing.assert_array_equal(picture.train.x[5 * 80 + 33], [5, 33])
    assert 0 <= picture.train.y.min() < picture.train.y.max() <= 1


@pytest.mark.parametrize("size", [(6, 8), (5, 7), (1, 1), (12, 16)])
def test_area_means_keep_the_whole_pictures_mean(size):
    picture = np.random.default_rng(0).random((12, 16, 3))
    small = area_means(picture, *size)
    assert small.shape == (*size, 3)
    np.testing.assert_allclose(small.mean(axis=(0, 1)), picture.mean(axis=(0, 1)))
    if size == (6, 8):
        np.testing.assert_allclose(small, picture.reshape(6, 2, 8, 2, 3).mean(axis=(1, 3)))


def test_no_two_regions_overlap_and_all_are_in_the_photographs():
    covered = {name: np.zeros((213, 320), int) for name in PHOTOS}
    for name, (top, left, height, width) in (*module.TRAIN, module.VALIDATION, module.TEST):
        assert top + height <= 213
        assert left + width <= 320
        covered[name][top : top + height, left : left + width] += 1
    assert all(part.max() == 1 for part in covered.values())


def test_the_test_part_is_a_picture_in_row_order(queries):
    height, width = queries.picture
    name, (top, left, *_) = module.TEST
    shown = photo(name, 2)[top : top + height, left : left + width] / 255
    np.testing.assert_allclose(queries.test.y.reshape(height, width, 3), shown, atol=1e-6)
    assert queries.test.x.shape == (height * width, 3 * 5 * 5 + 4)
    low = queries.test.x[:, :-4].reshape(height, width, 3, 5, 5)[::2, ::2, :, 2, 2]  # the nearest pixel, at scale 2
    blocks = shown.reshape(height // 2, 2, width // 2, 2, 3).mean(axis=(1, 3)) * 255
    np.testing.assert_allclose(low, blocks, atol=0.51)  # rounded to what a file of bytes holds
    np.testing.assert_array_equal(
        np.unique(queries.test.x[:, -4:], axis=0), [[a, b, 1, 1] for a in (-0.5, 0.5) for b in (-0.5, 0.5)]
    )


def test_queries_are_raw_finite_and_at_many_scales(queries):
    for part, n in ((queries.train, 600), (queries.validation, 300)):
        assert part.x.shape == (n, 79)
        assert part.y.shape == (n, 3)
        assert part.x.dtype == part.y.dtype == np.float32
        assert 0 <= part.x[:, :-4].min() < 50 < 200 < part.x[:, :-4].max() <= 255
        assert 0 <= part.y.min() < part.y.max() <= 1
        offsets, cells = part.x[:, -4:-2], part.x[:, -2:]
        assert (np.abs(offsets) <= 1).all()
        assert 0.49 < cells.min() < 0.6 < 1.5 < cells.max() <= 2  # 2 divided by the scale
        assert len(np.unique(cells[:, 0])) > 20


@pytest.mark.parametrize("patch", [3, 7])
def test_at_scale_1_the_nearest_pixel_is_the_answer(patch):
    found = super_resolution(train=1, validation=1, scale=1, patch=patch).test
    nearest = found.x[:, :-4].reshape(-1, 3, patch, patch)[:, :, patch // 2, patch // 2] / 255
    np.testing.assert_allclose(nearest, found.y, atol=0.51 / 255)
    np.testing.assert_allclose(bilinear(found.x, patch), nearest, atol=1e-6)


def test_interpolation_is_exact_on_a_slope_and_better_than_the_nearest_pixel(queries):
    x = queries.train.x.copy()
    steps = np.arange(-2, 3)
    x[:, :-4] = np.broadcast_to(100 + 10 * steps[:, None] + 3 * steps, (len(x), 3, 5, 5)).reshape(len(x), -1)
    wanted = (100 + 10 * x[:, -4] / 2 + 3 * x[:, -3] / 2) / 255
    np.testing.assert_allclose(bilinear(x, 5), np.stack([wanted] * 3, axis=1), atol=1e-6)
    nearest = queries.test.x[:, :-4].reshape(-1, 3, 5, 5)[:, :, 2, 2] / 255
    assert psnr(bilinear(queries.test.x, 5), queries.test.y) > psnr(nearest, queries.test.y) + 0.1


@pytest.mark.slow
def test_equal_seeds_give_equal_queries(queries):
    again, other = super_resolution(train=600, validation=300), super_resolution(train=600, validation=300, seed=1)
    assert again.train.fingerprint == queries.train.fingerprint
    assert again.validation.fingerprint == queries.validation.fingerprint
    assert other.train.fingerprint != queries.train.fingerprint
    assert other.test.fingerprint == queries.test.fingerprint


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda: photo("cat.jpg"), "choose one of china.jpg, flower.jpg"),
        (lambda: photo("../china.jpg"), "is not known"),
        (lambda: fitted_picture("flower.jpg", block=0), "from 1 to 64"),
        (lambda: super_resolution(train=0), "train is 0; choose"),
        (lambda: super_resolution(validation=2.0), "validation is 2.0; choose"),
        (lambda: super_resolution(scale=float("nan")), "scale is nan; choose 1 to 4"),
        (lambda: super_resolution(scale=5), "scale is 5; choose 1 to 4"),
        (lambda: super_resolution(patch=4), "patch is 4; choose one of 3, 5, 7, 9, 11"),
    ],
)
def test_what_is_out_of_range_is_refused(call, reason):
    with pytest.raises(UserError, match=reason):
        call()


def test_a_machine_without_pillow_is_told_what_to_install(monkeypatch):
    def missing(name):
        raise ImportError("The Python Imaging Library (PIL) is required to load data from jpeg files.")

    monkeypatch.setattr(sklearn.datasets, "load_sample_image", missing)
    with pytest.raises(UserError, match="pip install pillow"):
        photo("china.jpg")
