"""Pictures, clouds and tables of single examples, as HTML, plain Plotly dicts and frames. No Streamlit here."""

from __future__ import annotations

import base64
import html
import io
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from app.charts.style import INK, palette, plain
from app.words import joined, own_name, short
from core.runs.record import RunRecord
from core.tasks.base import Task

MOST_SIDE = 640  # of a picture as it is sent; larger ones are thinned out
THUMB_SIDE = 128
MOST_POINTS = 400  # of a cloud as it is drawn
MOST_COLUMNS = 6  # of a table's inputs
LONGEST_LABEL = 30


@dataclass(frozen=True, kw_only=True)
class Said:
    """A model's prediction on one example, and the truth."""

    says: str
    true: str
    right: bool | None  # None where numbers are predicted, which are never quite right
    off: str = ""  # how far the numbers are off
    full: str = ""  # what full size says, where that is shown beside it

    @property
    def verdict(self) -> str:
        """A mark and a word, so that no colour is needed."""
        return self.off if self.right is None else "✓ right" if self.right else "✗ wrong"


def said(task: Task, labels: tuple[str, ...], predicted: np.ndarray, true: np.ndarray) -> list[Said]:
    """Each example's prediction and truth; both (n,) classes or (n, outputs) numbers."""
    names = tuple(short(label, LONGEST_LABEL) for label in labels)
    found = []
    for guess, truth in zip(predicted, true, strict=True):
        right = bool(guess == truth) if task.classes else None
        off = "" if task.classes else f"off by {math.sqrt(float(task.score(guess[None], truth[None])[0])):.3g}"
        found.append(Said(says=task.say(guess, names), true=task.say(truth, names), right=right, off=off))
    return found


def spread(task: Task, y: np.ndarray, count: int) -> np.ndarray:
    """Rows of up to `count` examples that differ: each label's first in turn, or numbers from low to high."""
    if not task.classes:
        order = np.argsort(y[:, 0], kind="stable")
        return np.asarray(order[np.unique(np.linspace(0, len(y) - 1, min(count, len(y))).round().astype(int))])
    order = np.argsort(y, kind="stable")
    turn = np.empty(len(y), int)  # the how-manieth of its label an example is
    starts = np.searchsorted(y[order], y[order])
    turn[order] = np.arange(len(y)) - starts
    return np.sort(np.lexsort((y, turn))[:count])


def picture_shape(record: RunRecord, pixels: int) -> tuple[int, int] | None:
    """Height and width where the test part is every pixel of one picture, grey or in colours; else None."""
    shape = record.data.get("picture")
    if not isinstance(shape, list) or len(shape) != 2 or len(record.labels) not in (1, 3):
        return None
    if not all(isinstance(side, int) and not isinstance(side, bool) and side > 0 for side in shape):
        return None
    return (shape[0], shape[1]) if shape[0] * shape[1] == pixels else None


def as_images(x: np.ndarray, low: float | None, high: float | None) -> np.ndarray | None:
    """Examples (n, ...) of kind "image" as (n, height, width, 1 or 3) in [0, 1]; None where they are no pictures."""
    if x.ndim == 3:
        x = x[..., None]
    elif x.ndim == 4 and x.shape[1] in (1, 3):
        x = x.transpose(0, 2, 3, 1)
    elif x.ndim != 4 or x.shape[3] not in (1, 3):
        return None
    values = x.astype(np.float32)
    low = float(values.min()) if low is None else low
    high = float(values.max()) if high is None else high
    return np.asarray(np.clip((values - low) / ((high - low) or 1.0), 0, 1))


def data_uri(pixels: np.ndarray, longest: int = MOST_SIDE) -> str:
    """A picture (height, width, 1 or 3) in [0, 1] as a PNG inside an address; thinned out where a side is longer."""
    from PIL import Image

    step = max(1, math.ceil(max(pixels.shape[:2]) / longest))
    values = np.round(255 * np.clip(pixels[::step, ::step], 0, 1)).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(values[..., 0] if values.shape[2] == 1 else values).save(out, "PNG")
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()


def pair(made: str, original: str, caption: str) -> str:
    """A picture as a model makes it beside the original, as HTML; the pictures are addresses (`data_uri`)."""
    figures = _figure(made, f"The picture at this size: {caption}", [caption])
    return f'<div class="shown pair">{figures}{_figure(original, "The original picture", ["The original"])}</div>'


def one(image: str, alt: str, caption: str) -> str:
    """A single small picture with a line under it, as HTML."""
    return f'<div class="shown one">{_figure(image, alt, [caption])}</div>'


def cards(images: Sequence[str], answers: Sequence[Said]) -> str:
    """Return pictures of examples with a model's predictions, as HTML."""
    figures = []
    for image, answer in zip(images, answers, strict=True):
        wrong = answer.right is False
        figures.append(_figure(image, f"Example: {answer.true}", lines(answer), wrong=wrong))
    return f'<div class="shown many">{"".join(figures)}</div>'


def clouds(points: np.ndarray, answers: Sequence[Said], dark: bool) -> dict[str, Any]:
    """Clouds (n, points, 3) to look at from all sides, two in a row, each under a model's prediction.

    A cloud without an answer stands alone.
    """
    rows = math.ceil(len(points) / 2)
    data: list[dict[str, Any]] = []
    layout: dict[str, Any] = {
        "height": 290 * rows,
        "margin": {"l": 0, "r": 0, "t": 0, "b": 0},
        "showlegend": False,
        "annotations": [],
        "uirevision": "kept",
    }
    hidden = {"visible": False, "showspikes": False}
    for k, (cloud, answer) in enumerate(itertools.zip_longest(points, answers)):
        scene, left, top = f"scene{k + 1 if k else ''}", k % 2 / 2, 1 - (k // 2) / rows
        some = cloud[:: max(1, math.ceil(len(cloud) / MOST_POINTS))].astype(float).round(3)
        data.append(
            {
                "type": "scatter3d",
                "mode": "markers",
                "scene": scene,
                **{axis: some[:, j].tolist() for j, axis in enumerate("xyz")},
                "hoverinfo": "skip",
                "marker": {
                    "size": 2.5,
                    "color": palette(dark)[1 if answer and answer.right is False else 0],
                    "opacity": 0.9,
                },
            }
        )
        layout[scene] = {
            "domain": {"x": [left, left + 0.49], "y": [top - 1 / rows, top - 0.2 / rows]},
            **{f"{axis}axis": hidden for axis in "xyz"},
            "aspectmode": "data",
            "dragmode": "turntable",
        }
        if answer is None:
            continue
        layout["annotations"].append(
            {
                "text": "<br>".join(plain(line) for line in lines(answer)),
                "x": left + 0.245,
                "y": top,
                "xref": "paper",
                "yref": "paper",
                "xanchor": "center",
                "yanchor": "top",
                "showarrow": False,
                "font": {"size": 14, "color": INK[dark]},
            }
        )
    return {"data": data, "layout": layout}


def lines(answer: Said) -> list[str]:
    """Return an example's lines, short enough for half a phone: verdict, prediction, truth where it differs."""
    if answer.full:
        return [answer.verdict, f"this size: {answer.says}", f"full size: {answer.full}", f"truth: {answer.true}"]
    found = [answer.verdict, f"says {answer.says}"]
    if answer.right is not True:
        found.append(f"{'it is' if answer.right is False else 'truth'} {answer.true}")
    return found


def table(x: np.ndarray, index: np.ndarray, columns: tuple[str, ...], answers: Sequence[Said]) -> pd.DataFrame:
    """Examples with prediction and truth, and the first columns of their inputs where these have names."""
    both = {"Full size predicts": [answer.full for answer in answers]} if any(answer.full for answer in answers) else {}
    frame = pd.DataFrame(
        {
            "Test example": [f"{row + 1:,}" for row in index.tolist()],
            "This size predicts": [answer.says for answer in answers],
            **both,
            "Truth": [answer.true for answer in answers],
            "How far off" if answers and answers[0].right is None else "Verdict": [a.verdict for a in answers],
        }
    )
    if x.ndim == 2:
        for k, column in enumerate(columns[:MOST_COLUMNS]):
            name = own_name(short(column) or f"column {k + 1}", frame.columns)
            frame[name] = [f"{v:.4g}" for v in x[:, k].tolist()]
    return frame


def _figure(image: str, alt: str, captions: Sequence[str], wrong: bool = False) -> str:
    first, *rest = (html.escape(joined(line)) for line in captions)
    caption = "<br>".join([f"<b>{first}</b>", *rest])
    kind = ' class="wrong"' if wrong else ""
    return f'<figure{kind}><img src="{image}" alt="{html.escape(alt)}"><figcaption>{caption}</figcaption></figure>'
