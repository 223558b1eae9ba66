from pathlib import Path

import numpy as np
import pytest

from core.data.sources import solids
from core.data.sources.meshes import Mesh, read_off
from core.data.sources.modelnet import load_meshes
from core.data.sources.solids import CLASSES, box, off_text, refined, revolved, solid, torus, write_solids
from core.errors import UserError


def directed_edges(mesh: Mesh) -> list[tuple[int, int]]:
    t = mesh.triangles
    return [tuple(edge) for edge in np.concatenate([t[:, [0, 1]], t[:, [1, 2]], t[:, [2, 0]]]).tolist()]


def volume(mesh: Mesh) -> float:
    a, b, c = mesh.vertices[mesh.triangles].transpose(1, 0, 2)
    return float((np.cross(a, b) * c).sum() / 6)


def assert_closed(mesh: Mesh) -> None:
    edges = directed_edges(mesh)
    assert len(set(edges)) == len(edges)  # no edge twice the same way round,
    assert {(b, a) for a, b in edges} == set(edges)  # and each once the other way: no hole, one side is outside
    assert set(mesh.triangles.reshape(-1).tolist()) == set(range(len(mesh.vertices)))


@pytest.mark.parametrize("label", CLASSES)
def test_solids_are_closed_and_finite_and_all_different(label):
    seen = set()
    for seed in range(12):
        mesh = solid(label, np.random.default_rng(seed))
        assert_closed(mesh)
        assert volume(mesh) > 0.005  # seen from outside, and not flat
        assert np.isfinite(mesh.vertices).all()
        assert 0.8 < np.ptp(mesh.vertices, axis=0).max() < 1.8
        seen.add(off_text(mesh))
    assert len(seen) == 12


def test_shapes_have_the_volume_of_their_formulas():
    assert volume(box((2, 3, 4), (5, 5, 5))) == pytest.approx(24)
    ring, sides = torus(3, 1, 60, 60), 60
    assert volume(ring) == pytest.approx(2 * np.pi**2 * 3, rel=0.01)  # 2 pi^2 R r^2
    cone = revolved([(0, 0), (1, 0), (0, 3)], sides)
    base = sides / 2 * np.sin(2 * np.pi / sides)
    assert volume(cone) == pytest.approx(base * 3 / 3)
    for mesh in (ring, cone):
        assert_closed(mesh)
        assert volume(refined(mesh)) == pytest.approx(volume(mesh))
        assert_closed(refined(mesh))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.off")}


def test_the_folder_is_what_the_loader_reads(tmp_path):
    write_solids(tmp_path / "solids", train=4, test=2)
    found = load_meshes(tmp_path / "solids", points=32, validation=0.25)
    assert found.labels == tuple(CLASSES)
    assert [part.n for part in (found.train, found.validation, found.test)] == [30, 10, 20]
    path = tmp_path / "solids/cone/test/cone_0002.off"
    mesh = solid("cone", np.random.default_rng([0, list(CLASSES).index("cone"), 1, 1]))
    np.testing.assert_allclose(read_off(path).vertices, mesh.vertices, atol=5.1e-6)
    np.testing.assert_array_equal(read_off(path).triangles, mesh.triangles)


def test_equal_arguments_give_equal_files_and_more_solids_keep_the_first(tmp_path):
    for name, arguments in {"a": {}, "b": {}, "more": {"train": 3}, "other": {"seed": 1}}.items():
        write_solids(tmp_path / name, **{"train": 2, "test": 1, **arguments})
    a = contents(tmp_path / "a")
    assert len(a) == 30
    assert a == contents(tmp_path / "b")
    assert a.items() < contents(tmp_path / "more").items()
    assert not a.items() & contents(tmp_path / "other").items()
    assert len(set(a.values())) == 30


def test_the_folder_is_there_whole_or_not_at_all(tmp_path, monkeypatch):
    made = []

    def failing(label, rng):
        made.append(label)
        if len(made) == 7:
            raise OSError(28, "No space left on device")
        return box((1, 1, 1))

    monkeypatch.setattr(solids, "solid", failing)
    with pytest.raises(UserError, match="can't be written: No space left"):
        write_solids(tmp_path / "solids", train=2, test=2)
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_left_alone(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/file").write_text("kept")
    (tmp_path / "empty").mkdir()
    for place in (tmp_path / "mine", tmp_path / "mine/file"):
        with pytest.raises(UserError, match="already holds something"):
            write_solids(place, train=1, test=1)
    write_solids(tmp_path / "empty", train=1, test=1)
    assert (tmp_path / "mine/file").read_text() == "kept"
    assert len(contents(tmp_path / "empty")) == 20


@pytest.mark.parametrize("arguments", [{"train": 0}, {"test": -1}, {"train": 10**6}, {"test": 1.5}, {"train": True}])
def test_counts_out_of_range_are_refused(tmp_path, arguments):
    with pytest.raises(UserError, match="choose a whole number of solids from 1 to 10,000"):
        write_solids(tmp_path / "solids", **arguments)
    with pytest.raises(UserError, match="'heart' is not known; choose one of box"):
        solid("heart", np.random.default_rng(0))
