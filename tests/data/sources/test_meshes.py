import os
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from core.data.sources.meshes import Mesh, read_off, sample_surface, unit_sphere
from core.data.sources.modelnet import load_meshes, rotate_up
from core.errors import UserError
from tests.helpers.properties import tries

quick = tries(60, suppress_health_check=[HealthCheck.function_scoped_fixture])
TETRAHEDRON = "OFF\n4 4 6\n0 0 0\n1 0 0\n0 1 0\n0 0 1\n3 0 2 1\n3 0 1 3\n3 0 3 2\n3 1 2 3\n"
coordinate = st.floats(-1e30, 1e30)


@st.composite
def meshes(draw):
    vertices = draw(st.lists(st.tuples(coordinate, coordinate, coordinate), min_size=1, max_size=8))
    corner = st.integers(0, len(vertices) - 1)
    return vertices, draw(st.lists(st.lists(corner, max_size=6), max_size=8))


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "some.off"
    path.write_bytes(text if isinstance(text, bytes) else text.encode("latin-1"))
    return path


@quick
@given(
    mesh=meshes(),
    header=st.sampled_from(["OFF\n", "OFF ", "OFF", "off\n", "COFF\n", "# made by hand\n\nOFF\n", "\xef\xbb\xbfOFF\n"]),
    end=st.sampled_from(["\n", "\r\n", "\r", "\n\n", "  # a comment with \x85 and 3 0 0 0\n", "\n \t\n#\n"]),
    extra=st.sampled_from(["", " 255 0 0", "\t0.5 0.5 0.5 1"]),
)
def test_what_is_written_is_read(tmp_path, mesh, header, end, extra):
    vertices, faces = mesh
    lines = [f"{len(vertices)} {len(faces)} 0", *(f"{x!r} {y!r} {z!r}{extra}" for x, y, z in vertices)]
    lines += [" ".join(map(str, [len(face), *face])) + (extra if face else "") for face in faces]
    found = read_off(write(tmp_path, header + "".join(line + end for line in lines)))
    np.testing.assert_array_equal(found.vertices, vertices)
    wanted = [(f[0], f[j], f[j + 1]) for f in faces for j in range(1, len(f) - 1)]
    assert sorted(map(tuple, found.triangles.tolist())) == sorted(wanted)


def outcome(path: Path) -> Mesh | str:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            return read_off(path)
        except UserError as error:
            return str(error)


@pytest.mark.parametrize("sides", [3, 4, 7])
def test_a_polygon_has_the_area_of_its_triangles(tmp_path, sides):
    angle = 2 * np.pi * np.arange(sides) / sides
    corners = "".join(f"{x} {y} 0\n" for x, y in zip(np.cos(angle), np.sin(angle), strict=True))
    mesh = read_off(write(tmp_path, f"OFF{sides} 1 0\n{corners}{sides} {' '.join(map(str, range(sides)))}\n"))
    a, b, c = mesh.vertices[mesh.triangles].transpose(1, 0, 2)
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2
    assert area == pytest.approx(sides / 2 * np.sin(2 * np.pi / sides))


@quick
@given(data=st.data())
def test_whatever_comes_is_a_mesh_or_one_sentence(tmp_path, data):
    content = bytearray(TETRAHEDRON.encode())
    piece = st.one_of(
        st.binary(max_size=6), st.sampled_from([b"nan", b"inf", b"-1", b"1e999", b"\xa0", b"\x1c\n", b"9" * 30])
    )
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(content)))
        content[at : at + data.draw(st.integers(0, 8))] = data.draw(piece)
    found = outcome(write(tmp_path, bytes(content)))
    if isinstance(found, str):
        assert "some.off" in found
        assert "\n" not in found
    else:
        assert np.isfinite(found.vertices).all()
        assert found.triangles.shape[1:] == (3,)
        assert not found.triangles.size or 0 <= found.triangles.min() <= found.triangles.max() < len(found.vertices)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is no OFF file"),
        ("PLY\n", "is no OFF file: it starts with 'PLY'"),
        ("4OFF\n1 0 0\n0 0 0 0\n", "is no OFF file"),
        ("OFF BINARY\n\0\0", "is a binary OFF file"),
        ("OFF\n", "lacks its numbers"),
        ("OFF\n4\n", "lacks its numbers"),
        ("OFF\n-4 1 0\n", "lacks its numbers"),
        ("OFF\n999999999999 999999999999 0\n0 0 0\n", "is cut short"),
        ("OFF\n1 0 0\n0 0\n", "a vertex that can't be read"),
        ("OFF\n1 0 0\n0 0 x\n", "a vertex that can't be read"),
        ("OFF\n1 0 0\n0 0 nan\n", "a coordinate that is no number"),
        ("OFF\n1 0 0\n0 0 1e31\n", "a coordinate that is no number or beyond"),
        ("OFF\n1 1 0\n0 0 0\n3 0 0 1\n", "a corner that is none of its 1 vertices"),
        ("OFF\n1 1 0\n0 0 0\n3 0 0 -1\n", "a corner that is none"),
        ("OFF\n1 1 0\n0 0 0\n3 0 0 0.5\n", "a corner that is none"),
        ("OFF\n1 1 0\n0 0 0\n3 0 0\n", "a face that can't be read"),
        ("OFF\n1 1 0\n0 0 0\n-3 0 0 0\n", "a face of '-3' corners"),
        ("OFF\n1 1 0\n0 0 0\n99999999999 0 0 0\n", "a face of '99999999999' corners"),
        ("OFF\n1 1 0\n0 0 0\n00000000012345 0 0 0\n", "a face of '00000000012345' corners"),
    ],
)  # fmt: skip
def test_refusals_say_what_is_wrong(tmp_path, text, reason):
    with pytest.raises(UserError, match=reason):
        read_off(write(tmp_path, text))


def test_every_line_that_is_missing_is_noticed(tmp_path):
    lines = TETRAHEDRON.splitlines(keepends=True)
    for kept in range(len(lines)):
        with pytest.raises(UserError):
            read_off(write(tmp_path, "".join(lines[:kept])))


def test_what_is_no_file_or_too_large_is_not_read(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe")
    path = write(tmp_path, TETRAHEDRON)
    monkeypatch.setattr("builtins.open", lambda *_, **__: pytest.fail("it was opened"))
    for place, reason in (
        (tmp_path / "pipe", "no regular file"),
        (tmp_path, "no regular file"),
        (path, "the limit of 9"),
    ):
        with pytest.raises(UserError, match=reason):
            read_off(place, max_bytes=9)
    with pytest.raises(UserError, match="can't be read: No such file"):
        read_off(tmp_path / "none.off")


def test_points_are_uniform_by_area():
    """Four triangles in a plane with areas 1, 3, 6 and 0; the count of each is as a fair draw would give."""
    vertices = np.array([[0, 0, 0], [2, 0, 0], [0, 1, 0], [10, 0, 0], [16, 0, 0], [10, 1, 0], [10, -2, 0]], float)
    mesh = Mesh(vertices, np.array([[0, 1, 2], [3, 4, 5], [3, 4, 6], [0, 1, 1]]))
    n = 8000
    places = sample_surface(mesh, n, np.random.default_rng(0))
    right = places[:, 0] >= 9
    counts = np.array([(~right).sum(), (right & (places[:, 1] > 0)).sum(), (right & (places[:, 1] < 0)).sum()])
    expected = n * np.array([1, 3, 6]) / 10
    assert counts.sum() == n
    assert ((counts - expected) ** 2 / expected).sum() < 13.8  # chi-square, 2 degrees of freedom: 1 in 1,000
    # and inside a triangle: the middles of its edges cut it into four of equal area
    x, y = places[~right][:, 0] / 2, places[~right][:, 1]
    assert (np.minimum(x, y) >= 0).all()
    assert (x + y <= 1 + 1e-12).all()
    parts = np.array([(x > 0.5).sum(), (y > 0.5).sum(), (x + y < 0.5).sum()])
    parts = np.append(parts, len(x) - parts.sum())
    assert ((parts - len(x) / 4) ** 2 / (len(x) / 4)).sum() < 16.3  # 3 degrees of freedom


@pytest.mark.parametrize("unit", [1e-290, 1e-20, 1e25])
def test_no_unit_of_length_is_too_small_or_too_large(tmp_path, unit):
    mesh = read_off(write(tmp_path, TETRAHEDRON))
    plain = unit_sphere(sample_surface(mesh, 50, np.random.default_rng(0)))
    scaled = unit_sphere(sample_surface(Mesh(mesh.vertices * unit, mesh.triangles), 50, np.random.default_rng(0)))
    np.testing.assert_allclose(scaled, plain, atol=1e-12)
    assert np.linalg.norm(plain, axis=1).max() == pytest.approx(1)
    np.testing.assert_allclose(plain.mean(axis=0), 0, atol=1e-12)


@pytest.mark.parametrize("triangles", [np.empty((0, 3), int), np.array([[0, 1, 1], [2, 2, 2]])])
def test_a_mesh_without_a_surface_is_refused(triangles):
    with pytest.raises(UserError, match="no surface"):
        sample_surface(Mesh(np.eye(3), triangles), 5, np.random.default_rng(0))


@pytest.mark.parametrize("make", [np.asarray, torch.from_numpy])
def test_rotation_keeps_height_and_distance_from_the_axis(make):
    x = np.random.default_rng(0).standard_normal((5, 30, 3)).astype(np.float32)
    turned = rotate_up(make(x), np.random.default_rng(1))
    assert type(turned) is type(make(x))
    assert turned.dtype == make(x).dtype
    turned = np.asarray(turned)
    np.testing.assert_allclose(turned[..., 2], x[..., 2], atol=1e-6)
    np.testing.assert_allclose(np.hypot(*turned[..., :2].T), np.hypot(*x[..., :2].T), atol=1e-5)
    angle = np.arctan2(turned[..., 1], turned[..., 0]) - np.arctan2(x[..., 1], x[..., 0])
    spin = np.exp(1j * angle)
    np.testing.assert_allclose(spin, np.broadcast_to(spin[:, :1], spin.shape), atol=1e-3)  # one angle a cloud
    assert len({complex(np.round(s, 3)) for s in spin[:, 0]}) == 5
    np.testing.assert_array_equal(np.asarray(rotate_up(make(x), np.random.default_rng(1))), turned)


def folders(root: Path, train: int = 7, test: int = 2) -> Path:
    for name, stretch in (("class10", 1.0), ("class2", 5.0)):
        for part, count in (("train", train), ("test", test)):
            (root / name / part).mkdir(parents=True)
            for k in range(count):
                text = TETRAHEDRON.replace("0 0 1\n", f"0 0 {stretch + k}\n", 1)
                (root / name / part / f"{name}_{k}.off").write_text(text)
    return root


def test_a_folder_of_classes_is_loaded_in_its_own_parts(tmp_path):
    root = folders(tmp_path / "shapes")
    (root / "README.txt").write_text("not a class")
    (root / "__MACOSX").mkdir()
    (root / "class2/train/.hidden.off").write_text("no mesh")
    found = load_meshes(root, points=20, validation=0.3)
    assert found.labels == ("class2", "class10")
    assert found.train.x.shape == (10, 20, 3)
    assert found.validation.x.shape == (4, 20, 3)
    assert found.test.x.shape == (4, 20, 3)
    for part in (found.train, found.validation, found.test):
        assert part.x.dtype == np.float32
        assert set(part.y.tolist()) == {0, 1}
        np.testing.assert_allclose(np.linalg.norm(part.x, axis=2).max(axis=1), 1, rtol=1e-6)
    clouds = {cloud.tobytes() for part in (found.train, found.validation, found.test) for cloud in part.x}
    assert len(clouds) == 18


def test_a_cloud_depends_on_its_own_file_and_the_seed_alone(tmp_path):
    few, many = folders(tmp_path / "few/shapes"), folders(tmp_path / "many/shapes", train=9, test=3)
    before, after = (load_meshes(root, points=8).test for root in (few, many))
    assert {cloud.tobytes() for cloud in before.x} < {cloud.tobytes() for cloud in after.x}
    other = load_meshes(few, points=8, seed=1).test
    assert not {cloud.tobytes() for cloud in before.x} & {cloud.tobytes() for cloud in other.x}


def test_folders_that_are_laid_out_otherwise_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"none can't be read.*<class>/train"):
        load_meshes(tmp_path / "none")
    with pytest.raises(UserError, match="holds 0 classes"):
        load_meshes(tmp_path)
    root = folders(tmp_path / "shapes")
    for points in (0, 10**9, 2.5, "many"):
        with pytest.raises(UserError, match="points is"):
            load_meshes(root, points=points)
    bad = root / "class10/test/class10_1.off"
    bad.write_text("OFF\n1 0 0\n0 0 0\n")
    with pytest.raises(UserError, match=r"class10_1\.off: the mesh has no surface"):
        load_meshes(root)
    for path in (root / "class2/test").iterdir():
        path.unlink()
    with pytest.raises(UserError, match=r"class2/test holds no \.off file"):
        load_meshes(root)
