"""An example of a visitor's own, made into what a network takes; all of it is hostile. No Streamlit here."""

from __future__ import annotations

import base64
import binascii
import io
from dataclasses import dataclass

import numpy as np

from core.data.input_format import InputFormat
from core.errors import UserError

PAD_SIDE = 96  # pixels a side that a drawing is sent in, a byte each
MOST_BYTES = 5 * 10**6  # of an uploaded picture
MOST_PIXELS = 25 * 10**6
FORMATS = ("PNG", "JPEG")
WORK_SIDE = 256  # pixels that a picture is thinned out to before its object is looked for
FAINT = 0.15  # of the ink: what is weaker is dirt
PLAIN = 0.5  # share of the edge that must be of one shade, where examples stand on empty ground
NEAR = 0.1  # shades that count as one


@dataclass(frozen=True, kw_only=True)
class Habits:
    """How a run's pictures are laid out: one object on empty ground, of a usual size, at a usual place."""

    ground: float  # shade of the empty ground, 0 to 1
    longest: float  # pixels of the object's longer side
    centre: tuple[float, float]  # row and column of its centre of mass


def habits(images: np.ndarray) -> Habits | None:
    """What stored pictures, (n, height, width, 1) in [0, 1], have in common; None where they show no lone objects."""
    if images.shape[3] != 1 or not len(images):
        return None
    grey = images[..., 0]
    edge = np.concatenate([grey[:, 0], grey[:, -1], grey[:, :, 0], grey[:, :, -1]], axis=1)
    ground = float(np.median(edge))
    if (np.abs(edge - ground) < NEAR).mean() < PLAIN:
        return None
    found = [(box, ink) for ink in np.abs(grey - ground) if (box := _box(ink)) is not None]
    if not found:
        return None
    sides = [max(bottom - top, right - left) for (top, bottom, left, right), _ in found]
    centres = np.array([_mass(ink) for _, ink in found])
    row, column = np.median(centres, axis=0).tolist()
    return Habits(ground=ground, longest=float(np.median(sides)), centre=(row, column))


def drawn(text: str) -> np.ndarray | None:
    """A drawing as its pad sends it, as ink (side, side) in [0, 1]; None where nothing is drawn. Raises UserError."""
    if not text:
        return None
    try:
        raw = base64.b64decode(text, validate=True) if len(text) <= 2 * PAD_SIDE**2 else b""
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != PAD_SIDE**2:
        raise UserError("the drawing did not arrive whole; clear it and draw again")
    ink = np.frombuffer(raw, np.uint8).reshape(PAD_SIDE, PAD_SIDE) / np.float32(255)
    return ink if ink.max() > FAINT else None


def opened(data: bytes) -> np.ndarray:
    """An uploaded picture as (height, width, 3) in [0, 1], what is transparent on white. Raises UserError."""
    from PIL import Image, ImageOps

    if len(data) > MOST_BYTES:
        raise UserError(f"the picture has {len(data) / 1e6:.1f} MB; take one of at most {MOST_BYTES / 1e6:.0f} MB")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            width, height = image.size
            if width * height <= MOST_PIXELS:  # the header tells, before anything is unpacked
                image.draft("RGB", (WORK_SIDE * 2, WORK_SIDE * 2))
                upright = ImageOps.exif_transpose(image).convert("RGBA")
                upright.thumbnail((WORK_SIDE, WORK_SIDE), Image.Resampling.BOX)
                white = Image.new("RGBA", upright.size, "white")
                return np.asarray(Image.alpha_composite(white, upright).convert("RGB"), np.float32) / 255
    except Exception as error:  # Pillow fails in a dozen ways of its own on files made to break it
        raise UserError("this file is no PNG or JPEG picture that can be read; choose another one") from error
    raise UserError(
        f"the picture has {width:,} x {height:,} pixels; take one of at most {MOST_PIXELS // 10**6} million"
    )


def placed(ink: np.ndarray, usual: Habits, shape: tuple[int, int]) -> np.ndarray | None:
    """Ink of any size, scaled and moved to where a run's pictures have theirs: (height, width) shades in [0, 1].

    None where there is no ink.
    """
    box = _box(ink)
    if box is None:
        return None
    top, bottom, left, right = box
    part = ink[top:bottom, left:right]
    scale = min(usual.longest, *shape) / max(part.shape)
    rows, columns = (max(1, round(side * scale)) for side in part.shape)
    part = _resized(part, rows, columns)
    out = np.zeros(shape, np.float32)
    row, column = (
        int(np.clip(round(wanted - mass), 0, whole - side))
        for wanted, mass, whole, side in zip(usual.centre, _mass(part), shape, part.shape, strict=True)
    )
    out[row : row + rows, column : column + columns] = part
    return usual.ground + out * (1 - usual.ground) if usual.ground < 0.5 else usual.ground * (1 - out)


def lone_object(picture: np.ndarray) -> np.ndarray:
    """Ink (height, width) in [0, 1] of a picture's object: how far each pixel is from the shade at the edge."""
    grey = picture.mean(axis=2)
    edge = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    ink: np.ndarray = np.abs(grey - np.median(edge))
    return ink / (float(ink.max()) or 1.0)


def fitted(picture: np.ndarray, shape: tuple[int, int], colours: int) -> np.ndarray:
    """A picture (height, width, 3) whole inside another shape, its edge's colour around: (height, width, colours)."""
    scale = min(shape[0] / picture.shape[0], shape[1] / picture.shape[1])
    rows, columns = (max(1, round(side * scale)) for side in picture.shape[:2])
    edge = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
    out = np.broadcast_to(np.median(edge, axis=0), (*shape, 3)).astype(np.float32)
    row, column = (shape[0] - rows) // 2, (shape[1] - columns) // 2
    for k in range(3):
        out[row : row + rows, column : column + columns, k] = _resized(picture[..., k], rows, columns)
    return out if colours == 3 else out.mean(axis=2, keepdims=True)


def as_input(pixels: np.ndarray, form: InputFormat, low: float, high: float) -> np.ndarray:
    """Pixels (height, width, 1 or 3) in [0, 1] as one example, raw values between `low` and `high`."""
    channels_first = len(form.shape) == 3 and form.shape[0] == pixels.shape[2] != form.shape[2]
    values = pixels.transpose(2, 0, 1) if channels_first else pixels
    raw = (low + values * (high - low)).reshape(form.shape).astype(np.float32)
    return np.round(raw) if form.dtype == "uint8" else raw


def turned(cloud: np.ndarray, degrees: float) -> np.ndarray:
    """A cloud of points (points, 3) turned about its third axis."""
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), np.sin(angle), 0], [-np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    return np.asarray(cloud @ turn, np.float32)


def shares(scores: np.ndarray) -> np.ndarray:
    """A network's scores (labels,) as shares that add up to 1 (softmax)."""
    powers = np.exp(scores.astype(np.float64) - scores.max())
    return np.asarray(powers / powers.sum())


def _box(ink: np.ndarray) -> tuple[int, int, int, int] | None:
    """Top, bottom, left and right of what is inked; None where nothing is."""
    strong = ink > FAINT * max(float(ink.max()), FAINT)
    rows, columns = np.flatnonzero(strong.any(axis=1)), np.flatnonzero(strong.any(axis=0))
    return (int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1) if len(rows) else None


def _mass(ink: np.ndarray) -> tuple[float, float]:
    """Row and column of the centre of mass."""
    total = float(ink.sum()) or 1.0
    rows, columns = np.indices(ink.shape)
    return float((rows * ink).sum() / total), float((columns * ink).sum() / total)


def _resized(values: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Values (height, width) at another size: averaged where it is smaller."""
    from PIL import Image

    small = rows <= values.shape[0] and columns <= values.shape[1]
    how = Image.Resampling.BOX if small else Image.Resampling.BILINEAR
    resized = Image.fromarray(np.ascontiguousarray(values, np.float32)).resize((columns, rows), how)
    return np.clip(np.asarray(resized, np.float32), 0, 1)
