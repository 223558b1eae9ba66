"""Folders of meshes laid out as ModelNet's, as clouds of points.

Data set: ModelNet (Wu et al., 2015). Points are sampled as in PointNet (Qi et al., 2017, section 5.1): uniform over
the surface, in the unit sphere.
"""

from __future__ import annotations

import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from core.data.arrays import natural_order, split_by_class
from core.data.dataset import Dataset, Split
from core.data.input_format import InputFormat
from core.data.sources.meshes import read_off, sample_surface, unit_sphere
from core.errors import UserError
from core.utils.numbers import whole_number

MOST_MESHES = 100_000
MOST_CLASSES = 1000
MOST_VALUES = 200_000_000  # of all clouds together: 800 MB


def modelnet(folder: Path | None) -> Dataset:
    """Load the folder of `--data-dir`. Raises UserError where there is none."""
    if folder is None:
        raise UserError(
            "modelnet is not on this machine; give its folder, which holds <class>/train/*.off and "
            "<class>/test/*.off, as modelnet:<folder> or with --data-dir"
        )
    return load_meshes(folder, name="modelnet", source="meshes in ModelNet's folders, as points on their surface")


def modelnet_at(text: str, folder: Path | None) -> Dataset:
    """Load the folder that the name itself holds, as in `modelnet:<folder>`. Raises UserError."""
    if folder is not None or not text:
        raise UserError("modelnet needs one folder: modelnet:<folder>, or modelnet with --data-dir")
    return modelnet(Path(text).expanduser())


def load_meshes(
    root: Path | str,
    *,
    name: str = "meshes",
    source: str = "meshes, as points on their surface",
    points: int = 256,
    validation: float = 0.15,
    seed: int = 0,
) -> Dataset:
    """Load a folder laid out as ModelNet's: `<root>/<class>/{train,test}/*.off`.

    Training batches are augmented by a random turn of each cloud about the up axis.

    Parameters
    ----------
    root
        The folder of classes.
    name, source
        Name of the data set, and the sentence on its origin, without the number of meshes.
    points
        Points sampled from each mesh, from `seed` and the file's path inside `root` alone, so that other files don't
        change them.
    validation
        Share of each class's training meshes that becomes the validation part.

    Raises
    ------
    UserError
        Where the folder has another layout, or a mesh can't be read.
    """
    root = Path(root)
    paths = _mesh_paths(root)
    labels = tuple(paths)
    count = sum(len(files) for parts in paths.values() for files in parts.values())
    if whole_number(points) is None or not 1 <= points <= MOST_VALUES // (3 * count):
        raise UserError(
            f"points is {points!r}; for {count:,} meshes choose a whole number from 1 to {MOST_VALUES // (3 * count):,}"
        )
    given = {}
    for part in ("train", "test"):
        files = [(code, path) for code, label in enumerate(labels) for path in paths[label][part]]
        x = np.empty((len(files), points, 3), np.float32)  # (meshes, points, 3)
        for row, (_, path) in enumerate(files):
            x[row] = _cloud(path, points, seed)
        given[part] = Split(x=x, y=np.array([code for code, _ in files], np.int64))
    rows = split_by_class(given["train"].y, {"validation": validation}, seed)
    return Dataset(
        name=name,
        task="classification",
        train=_rows(given["train"], rows["train"]),
        validation=_rows(given["train"], rows["validation"]),
        test=given["test"],
        labels=labels,
        input=InputFormat(
            kind="points", shape=(points, 3), dtype="float32", low=-1.0, high=1.0,
            meaning=f"{points} points on a surface, as x, y and z, with z up",
        ),
        source=f"{count:,} {source}",
        augment=rotate_up,
    )  # fmt: skip


def rotate_up(x: Any, rng: np.random.Generator) -> Any:
    """Turn each cloud of a batch (batch, points, 3) about the z axis, ModelNet's up, by a random angle of its own.

    `x` is a NumPy array or a torch tensor; the result has the same kind, type and device.
    """
    angle = rng.uniform(0.0, 2 * math.pi, len(x))
    turn = np.zeros((len(x), 3, 3))
    turn[:, 0, 0] = turn[:, 1, 1] = np.cos(angle)
    turn[:, 0, 1] = np.sin(angle)
    turn[:, 1, 0] = -np.sin(angle)
    turn[:, 2, 2] = 1.0
    return x @ (turn.astype(x.dtype) if isinstance(x, np.ndarray) else x.new_tensor(turn.tolist()))


def _rows(part: Split, rows: np.ndarray) -> Split:
    return Split(x=np.ascontiguousarray(part.x[rows]), y=part.y[rows])


def _cloud(path: Path, points: int, seed: int) -> np.ndarray:
    """Points of one mesh file in the unit sphere, (points, 3). Raises UserError."""
    mesh = read_off(path)
    place = zlib.crc32("/".join(path.parts[-3:]).encode(errors="surrogatepass"))
    try:
        return unit_sphere(sample_surface(mesh, points, np.random.default_rng([seed, place])))
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def _mesh_paths(root: Path) -> dict[str, dict[str, list[Path]]]:
    """List every class's meshes in both parts; classes and meshes in their natural order."""
    try:
        folders = [f for f in root.iterdir() if (f / "train").is_dir() or (f / "test").is_dir()]
        names = [folder.name for folder in folders]
        classes = {
            names[k]: {part: _meshes(folders[k] / part) for part in ("train", "test")} for k in natural_order(names)
        }
    except OSError as error:
        raise UserError(
            f"{error.filename} can't be read: {error.strerror}; {root} should hold <class>/train/*.off and "
            "<class>/test/*.off"
        ) from None
    if not 2 <= len(classes) <= MOST_CLASSES:
        raise UserError(
            f"{root} holds {len(classes)} classes, folders with train and test in them; it needs 2 to {MOST_CLASSES}"
        )
    for label, parts in classes.items():
        for part, paths in parts.items():
            if not paths:
                raise UserError(f"{root / label / part} holds no .off file; each class needs at least one")
    count = sum(len(paths) for parts in classes.values() for paths in parts.values())
    if count > MOST_MESHES:
        raise UserError(f"{root} holds {count:,} meshes, more than {MOST_MESHES:,}; give a part of them")
    return classes


def _meshes(folder: Path) -> list[Path]:
    """List the mesh files of one folder, hidden ones left out."""
    paths = [path for path in folder.iterdir() if path.suffix.lower() == ".off" and not path.name.startswith(".")]
    return [paths[k] for k in natural_order([path.name for path in paths])]
