"""Ten classes of parametric solids as OFF files in ModelNet's layout, a stand-in where ModelNet can't be fetched.

Each solid has proportions of its own, tapers and leans a little, is turned about the z axis and has a rough surface.
Neighbouring classes are meant to be confused at times: a blunt cone with a cylinder, a prism of six sides too, a
table on one foot with a lamp, a chair with a low back with a table.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from core.data.dataset import Dataset
from core.data.sources.meshes import Mesh
from core.data.sources.modelnet import load_meshes
from core.errors import UserError
from core.utils import files
from core.utils.numbers import whole_number

ROUGH = 0.01  # deviation of a vertex, where the solid's longest side is 1
MOST_MESHES = 10_000  # of a class, in each part
PARTS = ("train", "test")
COUNTS = {"train": 80, "test": 40}  # of each class, in the data set called solids

Rng = np.random.Generator


def solids(folder: Path | None) -> Dataset:
    """Load the solids, written on first use to `folder`, by default the user's cache. Raises UserError."""
    meshes = (folder or cache_folder()) / f"solids-{COUNTS['train']}-{COUNTS['test']}"
    if not meshes.is_dir():
        try:
            meshes.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"the solids can't be written to {meshes.parent} ({error.strerror or error}); give a folder with "
                "--data-dir"
            ) from None
        write_solids(meshes, **COUNTS)
    source = "parametric solids of ten kinds, as points on their surface"
    return load_meshes(meshes, name="solids", source=source, points=128)


def cache_folder() -> Path:
    """Folder in the user's cache for files that can be made again (XDG Base Directory Specification)."""
    home = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(home) if Path(home).is_absolute() else Path.home() / ".cache") / "structural-dropout"


def write_solids(folder: Path | str, *, train: int = 80, test: int = 40, seed: int = 0) -> None:
    """Write `train` + `test` solids of each class to `<folder>/<class>/{train,test}/<class>_0001.off`.

    The folder appears whole or not at all; equal arguments give equal files.
    Raises UserError where the folder already holds something, or for counts out of range.
    """
    folder = Path(folder)
    for name, count in (("train", train), ("test", test)):
        if whole_number(count) is None or not 1 <= count <= MOST_MESHES:
            raise UserError(f"{name} is {count!r}; choose a whole number of solids from 1 to {MOST_MESHES:,}")
    if os.path.lexists(folder) and not (folder.is_dir() and not any(folder.iterdir())):
        raise UserError(f"{folder} already holds something; choose another folder, or remove it first")
    with files.replacing_folder(folder.absolute()) as temporary:
        for code, label in enumerate(CLASSES):
            for part, count in zip(PARTS, (train, test), strict=True):
                here = temporary / label / part
                here.mkdir(parents=True)
                for k in range(count):
                    mesh = solid(label, np.random.default_rng([seed, code, PARTS.index(part), k]))
                    (here / f"{label}_{k + 1:04}.off").write_text(off_text(mesh), encoding="ascii")


def solid(label: str, rng: Rng) -> Mesh:
    """Draw a random solid of class `label`: closed, its faces anticlockwise from outside, its longest side about 1."""
    if label not in CLASSES:
        raise UserError(f"solid {label!r} is not known; choose one of {', '.join(CLASSES)}")
    mesh = refined(CLASSES[label](rng))
    vertices = mesh.vertices - (mesh.vertices.max(axis=0) + mesh.vertices.min(axis=0)) / 2
    vertices /= np.ptp(vertices, axis=0).max()
    x, y, z = vertices.T
    taper, lean = 1 + rng.uniform(-0.2, 0.2) * z, rng.uniform(-0.15, 0.15, 2)
    x, y = taper * x + lean[0] * z, taper * y + lean[1] * z
    angle = rng.uniform(0, 2 * math.pi)
    x, y = math.cos(angle) * x - math.sin(angle) * y, math.sin(angle) * x + math.cos(angle) * y
    return Mesh(np.stack([x, y, z], axis=1) + ROUGH * rng.standard_normal(vertices.shape), mesh.triangles)


def off_text(mesh: Mesh) -> str:
    """Format a mesh as the text of an OFF file, five decimals a coordinate."""
    points = "".join(f"{x:.5f} {y:.5f} {z:.5f}\n" for x, y, z in mesh.vertices.tolist())
    faces = "".join(f"3 {a} {b} {c}\n" for a, b, c in mesh.triangles.tolist())
    return f"OFF\n{len(mesh.vertices)} {len(mesh.triangles)} 0\n{points}{faces}"


def revolved(profile: list[tuple[float, float]], sides: int) -> Mesh:
    """Revolve a profile of (radius, height), which starts and ends on the axis, about z."""
    rings = _rings(profile[1:-1], sides)
    side = np.arange(sides)
    after, top = (side + 1) % sides, (len(profile) - 3) * sides
    bottom_tip, top_tip = np.full(sides, len(rings)), np.full(sides, len(rings) + 1)
    ends = [np.stack([bottom_tip, after, side], axis=1), np.stack([top_tip, top + side, top + after], axis=1)]
    tips = [[0.0, 0.0, profile[0][1]], [0.0, 0.0, profile[-1][1]]]
    walls = [_wall(k * sides, (k + 1) * sides, sides) for k in range(len(profile) - 3)]
    return Mesh(np.concatenate([rings, tips]), np.concatenate(walls + ends))


def torus(radius: float, thickness: float, around: int, sides: int) -> Mesh:
    """A ring about z; `radius` is that of its centre line, `thickness` that of its cross-section."""
    angle = 2 * math.pi * np.arange(around) / around
    profile = [(radius + thickness * math.cos(a), thickness * math.sin(a)) for a in angle.tolist()]
    walls = [_wall(k * sides, (k + 1) % around * sides, sides) for k in range(around)]
    return Mesh(_rings(profile, sides), np.concatenate(walls))


def box(size: tuple[float, float, float], middle: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Mesh:
    """A box with edges along the axes."""
    half = math.sqrt(0.5)
    unit = revolved([(0, -0.5), (half, -0.5), (half, 0.5), (0, 0.5)], 4)
    return Mesh(unit.vertices * size + middle, unit.triangles)


def joined(*meshes: Mesh) -> Mesh:
    """Join solids into one mesh; each stays closed, and they may intersect."""
    starts = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes[:-1])])
    triangles = [mesh.triangles + start for mesh, start in zip(meshes, starts, strict=True)]
    return Mesh(np.concatenate([mesh.vertices for mesh in meshes]), np.concatenate(triangles))


def refined(mesh: Mesh) -> Mesh:
    """Split every triangle into four at the middles of its edges, so that flat faces can taper and be rough."""
    n, t = len(mesh.vertices), mesh.triangles
    edges = np.sort(np.stack([t, np.roll(t, -1, axis=1)], axis=-1), axis=-1).reshape(-1, 2)
    ends, row = np.unique(edges, axis=0, return_inverse=True)
    a, b, c = t.T
    ab, bc, ca = n + row.reshape(-1, 3).T
    parts = ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))
    triangles = np.concatenate([np.stack(part, axis=1) for part in parts])
    return Mesh(np.concatenate([mesh.vertices, mesh.vertices[ends].mean(axis=1)]), triangles)


def _rings(profile: list[tuple[float, float]], sides: int) -> np.ndarray:
    """Place `sides` vertices around z for each (radius, height), (len(profile) * sides, 3)."""
    angle = 2 * math.pi * (np.arange(sides) + 0.5) / sides
    turn = np.stack([np.cos(angle), np.sin(angle), np.ones(sides)], axis=1)
    return np.concatenate([turn * (radius, radius, height) for radius, height in profile])


def _wall(low: int, high: int, sides: int) -> np.ndarray:
    """Triangles between the ring of vertices that starts at `low` and the one above it, from `high` on."""
    side = np.arange(sides)
    after = (side + 1) % sides
    first = np.stack([low + side, low + after, high + after], axis=1)
    second = np.stack([low + side, high + after, high + side], axis=1)
    return np.concatenate([first, second])


def _column(rng: Rng, sides: int, blunt: tuple[float, float]) -> Mesh:
    """A solid on a base of `sides` sides whose top is `blunt` times as wide."""
    height, top = rng.uniform(0.6, 1.6), rng.uniform(*blunt)
    wall = [((1 + (top - 1) * share) / 2, height * share) for share in (0, 1 / 3, 2 / 3, 1)]
    mesh = revolved([(0, 0), *wall, (0, height)], sides)
    return Mesh(mesh.vertices * (1, rng.uniform(0.8, 1), 1), mesh.triangles)


def _box(rng: Rng) -> Mesh:
    width, depth, height = rng.uniform(0.4, 1, 3)
    return refined(box((width, depth, height)))


def _sphere(rng: Rng) -> Mesh:
    angle = np.linspace(-math.pi / 2, math.pi / 2, 9).tolist()
    mesh = revolved([(math.cos(a) / 2, math.sin(a) / 2) for a in angle], 12)
    return Mesh(mesh.vertices * rng.uniform(0.6, 1, 3), mesh.triangles)


def _torus(rng: Rng) -> Mesh:
    mesh = torus(0.4, rng.uniform(0.1, 0.3), 8, 14)
    return Mesh(mesh.vertices * (1, rng.uniform(0.7, 1), 1), mesh.triangles)


def _legs(rng: Rng, width: float, depth: float, height: float) -> list[Mesh]:
    """Four legs from z = -height to 0 under the corners of a plate."""
    thick = rng.uniform(0.06, 0.14)
    x, y = (width - thick) / 2, (depth - thick) / 2
    return [box((thick, thick, height), (i * x, j * y, -height / 2)) for i in (-1, 1) for j in (-1, 1)]


def _foot(rng: Rng, height: float) -> list[Mesh]:
    """A pole from z = -height to 0 on a round plate."""
    pole, plate, thick = rng.uniform(0.03, 0.07), rng.uniform(0.2, 0.4), rng.uniform(0.03, 0.1)
    upright = revolved([(0, -height), (pole, -height), (pole, -height / 2), (pole, 0), (0, 0)], 8)
    return [upright, revolved([(0, -height), (plate, -height), (plate, thick - height), (0, thick - height)], 14)]


def _table(rng: Rng) -> Mesh:
    width, depth, height, thick = *rng.uniform(0.6, 1.2, 2), rng.uniform(0.4, 0.9), rng.uniform(0.05, 0.15)
    stand = _foot(rng, height) if rng.random() < 0.3 else _legs(rng, width, depth, height)
    return joined(refined(box((width, depth, thick), (0, 0, thick / 2))), *stand)


def _chair(rng: Rng) -> Mesh:
    width, depth, height, thick = *rng.uniform(0.5, 0.9, 2), rng.uniform(0.3, 0.7), rng.uniform(0.05, 0.15)
    back = rng.uniform(0.15, 0.9)
    seat = refined(box((width, depth, thick), (0, 0, thick / 2)))
    rest = refined(box((width, thick, back), (0, (thick - depth) / 2, thick + back / 2)))
    return joined(seat, rest, *_legs(rng, width, depth, height))


def _lamp(rng: Rng) -> Mesh:
    height, shade = rng.uniform(0.4, 1.0), rng.uniform(0.15, 0.6)
    low, high = rng.uniform(0.25, 0.5), rng.uniform(0.1, 0.45)
    cap = revolved([(0, 0), (low, 0), ((low + high) / 2, shade / 2), (high, shade), (0, shade)], 14)
    return joined(cap, *_foot(rng, height))


CLASSES: dict[str, Callable[[Rng], Mesh]] = {
    "box": _box,
    "chair": _chair,
    "cone": lambda rng: _column(rng, 16, (0.05, 0.5)),
    "cylinder": lambda rng: _column(rng, 16, (0.8, 1.0)),
    "lamp": _lamp,
    "prism": lambda rng: _column(rng, int(rng.choice([3, 3, 5, 6])), (0.8, 1.0)),
    "pyramid": lambda rng: _column(rng, 4, (0.05, 0.5)),
    "sphere": _sphere,
    "table": _table,
    "torus": _torus,
}
