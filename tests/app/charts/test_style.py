"""Colours that must be told apart are, also by those who see no red, no green or no blue; and shapes do without any."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from app.charts import curves
from app.charts import style as looks
from app.compare import charts as compare_charts
from app.compare import per_class
from app.pick.changes import charts as changes_charts
from app.pick.changes.compute import Pair
from app.store import predictions
from core.runs.run import Run
from core.tasks.classification import ACCURACY
from tests.helpers.app import DIGITS, SAMPLES, metrics_of

# Linear RGB as it is seen without one kind of cone (Machado, Oliveira and Fernandes, 2009, severity 1).
SEEN = {
    "by most people": np.eye(3),
    "without red cones": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "without green cones": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "without blue cones": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
APART = 15  # CIEDE2000; 1 is what a trained eye sees side by side, and marks on a chart are small and lie apart
BOTH = pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])


def linear(colour: str) -> np.ndarray:
    """sRGB (IEC 61966-2-1) as light."""
    parts = np.array([int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)])
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)


def lab(light: np.ndarray) -> np.ndarray:
    """Linear RGB as CIE L*a*b* under D65."""
    to_xyz = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
    t = np.array(to_xyz) @ np.clip(light, 0, 1) / [0.95047, 1.0, 1.08883]
    x, y, z = np.where(t > 216 / 24389, np.cbrt(t), (24389 / 27 * t + 16) / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def difference(one: np.ndarray, other: np.ndarray) -> float:
    """CIEDE2000 of two L*a*b* colours (Sharma, Wu and Dalal, 2005)."""
    (l1, a1, b1), (l2, a2, b2) = one, other
    mean = (np.hypot(a1, b1) + np.hypot(a2, b2)) / 2
    stretch = 1.5 - 0.5 * np.sqrt(mean**7 / (mean**7 + 25**7))
    c1, c2 = np.hypot(stretch * a1, b1), np.hypot(stretch * a2, b2)
    h1, h2 = (np.degrees(np.arctan2(b, stretch * a)) % 360 for a, b in ((a1, b1), (a2, b2)))
    turn = (h2 - h1 + 180) % 360 - 180 if c1 * c2 else 0.0
    hue = (h1 + turn / 2) % 360 if c1 * c2 else h1 + h2
    lightness, chroma = (l1 + l2) / 2, (c1 + c2) / 2
    t = 1 + sum(
        part * np.cos(np.radians(times * hue + shift))
        for part, times, shift in ((-0.17, 1, -30), (0.24, 2, 0), (0.32, 3, 6), (-0.2, 4, -63))
    )
    by_l = (l2 - l1) / (1 + 0.015 * (lightness - 50) ** 2 / np.sqrt(20 + (lightness - 50) ** 2))
    by_c = (c2 - c1) / (1 + 0.045 * chroma)
    by_h = 2 * np.sqrt(c1 * c2) * np.sin(np.radians(turn) / 2) / (1 + 0.015 * chroma * t)
    blue = np.exp(-(((hue - 275) / 25) ** 2))
    bent = -2 * np.sqrt(chroma**7 / (chroma**7 + 25**7)) * np.sin(np.radians(60 * blue))
    return float(np.sqrt(by_l**2 + by_c**2 + by_h**2 + bent * by_c * by_h))


def apart(one: str, other: str, seen: np.ndarray) -> float:
    return difference(*(lab(seen @ linear(colour)) for colour in (one, other)))


def contrast(one: str, other: str) -> float:
    """WCAG 2.2, contrast ratio."""
    low, high = sorted(float(linear(colour) @ [0.2126, 0.7152, 0.0722]) for colour in (one, other))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize(
    ("one", "other", "wanted"),
    [  # of the paper's table of test data
        ((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425),
        ((50, -1, 2), (50, 0, 0), 2.3669),
        ((50, 2.5, 0), (50, 0, -2.5), 4.3065),
        ((50, 2.5, 0), (61, -5, 29), 22.8977),
        ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
        ((22.7233, 20.0904, -46.6940), (23.0331, 14.9730, -42.5619), 2.0373),
        ((90.9257, -0.5406, -0.9208), (88.6381, -0.8985, -0.7239), 1.5381),
    ],
)
def test_the_measure_is_the_published_one(one: Any, other: Any, wanted: float) -> None:
    assert difference(np.array(one), np.array(other)) == pytest.approx(wanted, abs=1e-4)
    assert difference(np.array(other), np.array(one)) == pytest.approx(wanted, abs=1e-4)


def test_the_simulation_keeps_greys_and_loses_what_it_must() -> None:
    for name, seen in SEEN.items():
        assert seen.sum(axis=1) == pytest.approx(1, abs=1e-5), name
    # red and green of one lightness, which nobody without red or green cones should be asked to tell apart
    red, green = "#D55E00", "#7D8000"
    assert apart(red, green, SEEN["by most people"]) > 2 * APART
    assert min(apart(red, green, seen) for seen in SEEN.values()) < APART


@BOTH
@pytest.mark.parametrize("eyes", SEEN)
def test_colours_are_told_apart(eyes: str, dark: bool) -> None:
    sets = [
        looks.palette(dark),
        (looks.WORSE[dark], looks.PAPER[dark], looks.BETTER[dark]),  # of the map of what is mixed up
    ]
    for colours in sets:
        for one, other in itertools.combinations(colours, 2):
            assert apart(one, other, SEEN[eyes]) >= APART, (one, other)


@BOTH
def test_marks_and_numbers_stand_out(dark: bool) -> None:
    paper, ink = looks.PAPER[dark], looks.INK[dark]
    for colour in (*looks.palette(dark), looks.GREY[dark]):
        assert contrast(colour, paper) >= 3, colour  # WCAG 1.4.11, of graphics
    for ground in (paper, looks.WORSE[dark], looks.BETTER[dark]):
        assert contrast(ink, ground) >= 4.5, ground  # WCAG 1.4.3, of text


def without_colour(trace: dict[str, Any]) -> tuple[Any, ...]:
    """How a trace looks to somebody who sees no colour at all."""
    line, marker = trace.get("line", {}), trace.get("marker", {})
    symbol = marker.get("symbol", "circle") if "markers" in trace["mode"] else None
    return trace["mode"], symbol, line.get("dash", "solid") if "lines" in trace["mode"] else None, trace.get("fill")


def figures(dark: bool) -> dict[str, looks.Figure]:
    runs = [Run(SAMPLES / name) for name in DIGITS]
    tables = [metrics_of(SAMPLES / name) for name in DIGITS]
    said = [found for run in (*runs, *runs) if (found := predictions.answers(run, 9))]
    by_class = per_class.by_class(said)
    assert by_class is not None
    limits = curves.Limits(max_bytes=9000, at_least=0.9, quick=(3, 9))
    four = [(f"run {k}", tables[k % 2]) for k in range(4)]
    best = tables[0].assign(run=[f"run {k % 6}" for k in range(len(tables[0]))])
    return {
        "one run": curves.size_curve(tables[0], ACCURACY, limits, dark),
        "four runs": curves.comparison(four, ACCURACY, [9, 9, 9, 9], "bytes", dark),
        "label by label": compare_charts.label_by_label(by_class, dark),
        "best of all": compare_charts.best_of_all(best, ACCURACY, 9e3, dark),
    }


@BOTH
def test_every_line_of_a_chart_is_known_without_colour(dark: bool) -> None:
    for name, figure in figures(dark).items():
        named = [trace for trace in figure["data"] if trace.get("showlegend", True)]
        assert len(named) >= 4, name
        assert len({without_colour(trace) for trace in named}) == len(named), name
        unnamed = [t for t in figure["data"] if not t.get("showlegend", True) and t["mode"] == "markers"]
        assert len({without_colour(trace) for trace in unnamed}) == len(unnamed), name


@BOTH
def test_changes_are_known_without_colour(dark: bool) -> None:
    here, full = (predictions.answers(Run(SAMPLES / DIGITS[0]), width) for width in (4, 128))
    assert here
    assert full
    found = Pair(here=here, full=full)
    (cells,) = changes_charts.change_map(found, dark)["data"]
    for texts, shades in zip(cells["text"], cells["z"], strict=True):
        for text, shade in zip(texts, shades, strict=True):
            assert bool(text) == (shade != 0), "a square that is coloured says how much, with its sign"
            assert not text or text[0] in "+−-"
