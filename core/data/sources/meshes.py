"""Meshes in the Object File Format (Geomview's manual, "OFF"), and points on their surface."""

from __future__ import annotations

import re
import stat
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.errors import UserError

MOST_BYTES = 2**27  # of a mesh file; text of such a length takes a few GB to read
MOST_COORDINATE = 1e30  # far above any unit of length, and its cube is still a number
MOST_CORNERS = 10_000  # of one face
HEADER = re.compile(r"(ST)?C?N?OFF(?=[\s\d]|$)", re.IGNORECASE)


@dataclass(frozen=True)
class Mesh:
    """`vertices` (n, 3) float64 and `triangles` (m, 3), int64 rows of `vertices`."""

    vertices: np.ndarray
    triangles: np.ndarray


def read_off(path: Path | str, *, max_bytes: int = MOST_BYTES) -> Mesh:
    """Read the mesh of an OFF file; a face of more corners becomes a fan of triangles, one of fewer is left out.

    The counts may follow the header on its own line, glued to it as in some of ModelNet's files (`OFF490 518 0`).
    Normals and colours are passed over, and so is what comes after the last face.
    Raises UserError for a file that is missing, larger than `max_bytes`, cut short or no such text.
    """
    path = Path(path)
    lines = _lines(path, max_bytes)
    first = lines[0].strip() if lines else ""
    header = HEADER.match(first)
    if header is None:
        raise UserError(f"{path} is no OFF file: it starts with {first[:20]!r}, not with OFF")
    rest = first[header.end() :].strip()
    if rest.upper().startswith("BINARY"):
        raise UserError(f"{path} is a binary OFF file; save it as text")
    body = [rest, *lines[1:]] if rest else lines[1:]
    counts = body[0].split()[:2] if body else []
    if len(counts) < 2 or not all(re.fullmatch(r"[0-9]{1,12}", count) for count in counts):
        raise UserError(f"{path} lacks its numbers of vertices and faces after OFF; save it again")
    vertices, faces = int(counts[0]), int(counts[1])
    if len(body) - 1 < vertices + faces:
        raise UserError(
            f"{path} is cut short: {vertices:,} vertices and {faces:,} faces need as many lines, it has "
            f"{len(body) - 1:,}; copy it again"
        )
    points = _numbers(body[1 : 1 + vertices], 3, path, "a vertex")
    if not (np.abs(points) <= MOST_COORDINATE).all():
        raise UserError(f"{path} has a coordinate that is no number or beyond {MOST_COORDINATE:g}; save it again")
    return Mesh(points, _triangles(body[1 + vertices : 1 + vertices + faces], vertices, path))


def sample_surface(mesh: Mesh, points: int, rng: np.random.Generator) -> np.ndarray:
    """Sample `points` points of the surface, (points, 3) float64, uniform by area.

    Raises UserError where the mesh has no surface.
    """
    corners = mesh.vertices[mesh.triangles]  # (triangles, 3 corners, 3)
    low = corners.min(axis=(0, 1), initial=MOST_COORDINATE)
    size = float(np.ptp(corners, axis=(0, 1)).max()) if len(corners) else 0.0
    # in units of the mesh's own size, so that no product of lengths is too large or too small for a number
    a, b, c = ((corners - low) / (size or 1.0)).transpose(1, 0, 2)
    areas = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    if not areas.sum() > 0:
        raise UserError("the mesh has no surface: no face has an area; leave it out")
    chosen = rng.choice(len(areas), points, p=areas / areas.sum())
    # uniform over a triangle: Osada et al. (2002), section 3.1
    root, u = np.sqrt(rng.random((points, 1))), rng.random((points, 1))
    places = (1 - root) * a[chosen] + root * (1 - u) * b[chosen] + root * u * c[chosen]
    return np.asarray(places * size + low)


def unit_sphere(points: np.ndarray) -> np.ndarray:
    """Move and scale points (n, 3) together, so that their mean is 0 and the farthest is at distance 1."""
    centred = points - points.mean(axis=0)
    centred = centred / (np.abs(centred).max() or 1.0)  # first, so that no square is too small or too large
    return np.asarray(centred / (np.linalg.norm(centred, axis=1).max() or 1.0))


def _lines(path: Path, max_bytes: int) -> list[str]:
    """Read the lines of a text file that hold more than a comment. Raises UserError."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # a pipe would block for ever
            raise UserError(f"{path} is no regular file; give an OFF file")
        if status.st_size > max_bytes:
            raise UserError(f"{path} has {status.st_size:,} bytes, more than the limit of {max_bytes:,}; simplify it")
        with open(path, "rb") as file:
            data = file.read(max_bytes).removeprefix(b"\xef\xbb\xbf")
    except (OSError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path} can't be read: {reason}; check its name and rights") from None
    # at these line ends alone: others that text knows are letters of a comment in another encoding
    text = re.sub("#[^\n]*", "", data.decode("ascii", "replace").replace("\r", "\n"))
    return [line for line in text.split("\n") if line and not line.isspace()]


def _numbers(lines: list[str], columns: int, path: Path, what: str) -> np.ndarray:
    """Read the leading numbers of each line, (lines, columns) float64. Raises UserError."""
    if not lines:
        return np.empty((0, columns))
    try:
        return np.loadtxt(lines, usecols=range(columns), comments=None, ndmin=2)
    except ValueError as error:
        reason = str(error).partition("\n")[0].partition("; use")[0][:120]
        raise UserError(f"{path} has {what} that can't be read ({reason}); save it again") from None


def _triangles(lines: list[str], vertices: int, path: Path) -> np.ndarray:
    """Convert faces `k i1 ... ik` to triangles (i1, i2, i3), (i1, i3, i4), ...: exact where a face is convex."""
    by_corners: dict[int, list[str]] = {}
    for line in lines:
        corners = line.split(None, 1)[0]
        if not corners.isdecimal() or len(corners) > 9 or int(corners) > MOST_CORNERS:
            raise UserError(
                f"{path} has a face of {corners[:20]!r} corners; give a number up to {MOST_CORNERS:,}; save it again"
            )
        by_corners.setdefault(int(corners), []).append(line)
    fans = [np.empty((0, 3), np.int64)]
    for k, group in by_corners.items():
        faces = _numbers(group, 1 + k, path, "a face")[:, 1:]
        # written so that NaN fails too
        if not ((faces >= 0) & (faces < vertices) & (faces == np.floor(faces))).all():
            raise UserError(f"{path} has a face with a corner that is none of its {vertices:,} vertices; save it again")
        second = np.arange(1, k - 1)
        fan = np.stack([np.zeros_like(second), second, second + 1], axis=1)  # (triangles, 3)
        fans.append(faces.astype(np.int64)[:, fan].reshape(-1, 3))
    return np.concatenate(fans)
