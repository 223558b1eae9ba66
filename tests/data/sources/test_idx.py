import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from core.data.sources.idx import STEMS, TYPES, load_idx_folder, read_idx
from core.errors import UserError
from tests.helpers.properties import tries

quick = tries(60, suppress_health_check=[HealthCheck.function_scoped_fixture])
codes = {np.dtype(text).newbyteorder("="): code for code, text in TYPES.items()}
arrays = hnp.arrays(st.sampled_from(list(codes)), hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=5))


def idx_bytes(array: np.ndarray) -> bytes:
    head = bytes([0, 0, codes[array.dtype], array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return head + array.astype(array.dtype.newbyteorder(">")).tobytes()


def write(folder: Path, content: bytes, zipped: bool = False) -> Path:
    path = folder / "some-file"  # the name says nothing of gzip
    path.write_bytes(gzip.compress(content) if zipped else content)
    return path


@quick
@given(array=arrays, zipped=st.booleans())
def test_round_trip(tmp_path, array, zipped):
    found = read_idx(write(tmp_path, idx_bytes(array), zipped))
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)
    assert found.flags.writeable


@quick
@given(array=arrays, zipped=st.booleans(), data=st.data())
def test_every_prefix_is_refused(tmp_path, array, zipped, data):
    whole = write(tmp_path, idx_bytes(array), zipped).read_bytes()
    path = write(tmp_path, whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(UserError) as caught:
        read_idx(path)
    assert str(path) in str(caught.value)
    assert "download it again" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("zipped", [False, True])
def test_a_longer_file_is_refused(tmp_path, zipped):
    path = write(tmp_path, idx_bytes(np.zeros(3, np.uint8)) + b"x", zipped)
    with pytest.raises(UserError, match=r"needs 3 bytes for \(3,\), got more"):
        read_idx(path)


@pytest.mark.parametrize("head", [b"\x89PNG", b"\0\0\x07\x01", b"\0\0\x08\0", b"\0\0\x08\x09", b""])
def test_other_files_are_refused(tmp_path, head):
    with pytest.raises(UserError, match="is not an IDX file: it starts with"):
        read_idx(write(tmp_path, head))


def test_a_damaged_gzip_is_refused(tmp_path):
    content = bytearray(gzip.compress(idx_bytes(np.arange(200, dtype=np.int32))))
    content[-6] ^= 255  # the checksum
    with pytest.raises(UserError, match="cut short or damaged"):
        read_idx(write(tmp_path, bytes(content)))


def test_sizes_are_refused_before_memory_is_set_aside(tmp_path, monkeypatch):
    monkeypatch.setattr(np, "empty", lambda *_: pytest.fail("memory was set aside"))
    claim = bytes([0, 0, 8, 1]) + struct.pack(">I", 2**29)
    for zipped in (False, True):
        with pytest.raises(UserError, match="cut short"):
            read_idx(write(tmp_path, claim, zipped))
        with pytest.raises(UserError, match="more than the limit of 1,000,000"):
            read_idx(write(tmp_path, claim, zipped), max_bytes=10**6)
    with pytest.raises(UserError, match="more than the limit of 5"):
        read_idx(write(tmp_path, claim), max_bytes=5)


def test_a_gzip_bomb_is_not_unpacked(tmp_path, monkeypatch):
    path = write(tmp_path, idx_bytes(np.zeros(3, np.uint8)) + bytes(10**8), zipped=True)
    read: list[int] = []
    plain = gzip.GzipFile.read
    monkeypatch.setattr(gzip.GzipFile, "read", lambda self, n=-1: (read.append(n), plain(self, n))[1])
    with pytest.raises(UserError, match="got more"):
        read_idx(path)
    assert max(read) <= 4
    assert min(read) > 0


def test_missing_file_and_folder_in_its_place(tmp_path):
    with pytest.raises(UserError, match="nothing can't be read: No such file"):
        read_idx(tmp_path / "nothing")
    with pytest.raises(UserError, match="can't be read: Is a directory"):
        read_idx(tmp_path)


def mnist_like(folder: Path, n: int = 60, zipped: bool = False, dotted: bool = False, **changes: np.ndarray) -> Path:
    files = {
        "train_x": np.tile(np.arange(n, dtype=np.uint8)[:, None, None], (1, 2, 3)),
        "train_y": np.arange(n, dtype=np.uint8) % 3,
        "test_x": np.full((6, 2, 3), 200, np.uint8),
        "test_y": np.arange(6, dtype=np.uint8) % 3,
        **changes,
    }
    for key, array in files.items():
        name = STEMS[key].replace("-idx", ".idx") if dotted else STEMS[key]
        content = idx_bytes(array)
        (folder / (name + ".gz" * zipped)).write_bytes(gzip.compress(content) if zipped else content)
    return folder


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("dotted", [False, True])
def test_folder(tmp_path, zipped, dotted):
    data = load_idx_folder(mnist_like(tmp_path, zipped=zipped, dotted=dotted), "made", ("a", "b", "c"), "made here")
    assert (data.train.n, data.validation.n, data.test.n) == (55, 5, 6)
    rows = np.concatenate([data.train.x[:, 0, 0], data.validation.x[:, 0, 0]])
    assert sorted(rows.tolist()) == list(range(60))
    for part in (data.train, data.validation):
        assert (part.x[:, 0, 0] % 3 == part.y).all()
    assert data.test.y.tolist() == [0, 1, 2, 0, 1, 2]
    assert (data.input.kind, data.input.shape, data.input.high) == ("image", (2, 3), 255)


def test_folder_splits_the_same_each_time(tmp_path):
    mnist_like(tmp_path)
    labels = ("a", "b", "c")
    assert (
        load_idx_folder(tmp_path, "made", labels).fingerprint == load_idx_folder(tmp_path, "made", labels).fingerprint
    )


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"train_y": np.zeros(59, np.uint8)}, r"train files of .* images \(60, 2, 3\) and labels \(59,\)"),
        ({"test_x": np.zeros((6, 6), np.uint8)}, r"test files of .* images \(6, 6\)"),
        ({"test_x": np.zeros((6, 2, 3), np.float32)}, "float32 images"),
        ({"test_y": np.zeros(6, np.float64)}, "float64 labels"),
        ({"test_x": np.zeros((6, 3, 3), np.uint8)}, r"test part of made has inputs of shape \(6, 3, 3\)"),
        ({"test_y": np.full(6, 9, np.uint8)}, "classes 9 to 9; 3 labels need 0 to 2"),
        ({"train_x": np.zeros((1, 2, 3), np.uint8), "train_y": np.zeros(1, np.uint8)}, "train part of made is empty"),
    ],
)
def test_folder_whose_files_do_not_match(tmp_path, changes, sentence):
    with pytest.raises(UserError, match=sentence):
        load_idx_folder(mnist_like(tmp_path, **changes), "made", ("a", "b", "c"))


def test_folder_that_is_missing_or_lacks_a_file(tmp_path):
    with pytest.raises(UserError, match="does not exist; give the one with the made files with --data-dir"):
        load_idx_folder(tmp_path / "gone", "made", ("a",))
    (mnist_like(tmp_path) / STEMS["test_y"]).unlink()
    with pytest.raises(UserError, match=r"lacks t10k-labels-idx1-ubyte \(or t10k-labels-idx1-ubyte.gz\)"):
        load_idx_folder(tmp_path, "made", ("a", "b", "c"))
