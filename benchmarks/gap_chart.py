"""A chart of the gap to dedicated models by width, one line a contender, as a PNG."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gaps import LINE, Line

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

SIZE, LEFT, RIGHT, TOP, BOTTOM = (1240, 700), 90, 330, 70, 70
COLOURS = ("#0b6bcb", "#c45500", "#1a7f37", "#8250df", "#cf222e", "#6e5a00", "#0a7d8c", "#57606a")
TICKS = (-20, -10, -5, -2, -1, 0, 1, 2, 5, 10, 20, 40, 80)  # points


def draw(path: Path, title: str, found: list[Line]) -> None:
    """Write the chart, its vertical axis stretched around 0 so that one point is visible beside fifty.

    Contenders without a gap are left out. Raises ValueError if no contender has one.
    """
    from PIL import Image, ImageDraw, ImageFont

    shown = sorted((x for x in found if x.gap and x.contender != LINE), key=lambda x: x.mean_gap.mean)  # type: ignore
    if not shown:
        raise ValueError("there is no gap to draw: it wants dedicated models and one contender more")
    image = Image.new("RGB", SIZE, "white")
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(size=15)
    widths = sorted(shown[0].gap or {})
    values = [figure.mean for line in shown for figure in (line.gap or {}).values()]
    low, high = stretched(min(-0.5, *values)), stretched(max(0.5, *values))
    low, high = low - 0.03 * (high - low), high + 0.03 * (high - low)

    def place(width: float, gap: float) -> tuple[float, float]:
        x = math.log(width / widths[0]) / (math.log(widths[-1] / widths[0]) or 1.0)
        y = (stretched(gap) - low) / (high - low)
        return LEFT + (SIZE[0] - LEFT - RIGHT) * x, TOP + (SIZE[1] - TOP - BOTTOM) * y

    for tick in (t for t in TICKS if low <= stretched(t) <= high):
        y = place(widths[0], tick)[1]
        pen.line([(LEFT, y), (SIZE[0] - RIGHT, y)], fill="#222222" if tick == 0 else "#dddddd", width=1 + (tick == 0))
        pen.text((LEFT - 10, y), f"{-tick:+d}" if tick else "0", fill="black", font=font, anchor="rm")
    for width in widths:
        pen.text((place(width, 0)[0], SIZE[1] - BOTTOM + 12), str(width), fill="black", font=font, anchor="ma")
    pen.text((LEFT, 14), title, fill="black", font=font)
    pen.text((LEFT, 36), "points of test accuracy above (+) or below (-) a model trained for that width alone",
             fill="black", font=font)  # fmt: skip
    pen.text(((LEFT + SIZE[0] - RIGHT) / 2, SIZE[1] - 16), "units kept", fill="black", font=font, anchor="ms")
    pen.text((SIZE[0] - RIGHT + 20, TOP - 22), "mean gap, time", fill="black", font=font)
    for k, line in enumerate(shown):
        colour, gap = COLOURS[k % len(COLOURS)], line.gap or {}
        points = [place(width, gap[width].mean) for width in widths]
        pen.line(points, fill=colour, width=2)
        y = TOP + 10 + 24 * k
        for at in (*points, (SIZE[0] - RIGHT + 26, y)):
            mark(pen, k, at, colour)
        told = f"{line.contender}  {line.mean_gap.mean:.1f}, {line.time:.1f}x" if line.mean_gap else line.contender
        pen.text((SIZE[0] - RIGHT + 40, y), told, fill=colour, font=font, anchor="lm")
    image.save(path, "PNG")


def stretched(gap: float) -> float:
    """Return a gap's position on an axis that is nearly linear around 0 and compressed away from it."""
    return math.asinh(gap)


def mark(pen: ImageDraw, kind: int, at: tuple[float, float], colour: str) -> None:
    """Draw a contender's marker, so that contenders differ by shape as well as by colour."""
    x, y = at
    shapes: list[Any] = [
        [(x - 4, y - 4), (x + 4, y - 4), (x + 4, y + 4), (x - 4, y + 4)],
        [(x, y - 5), (x - 5, y + 4), (x + 5, y + 4)],
        [(x, y + 5), (x - 5, y - 4), (x + 5, y - 4)],
        [(x, y - 6), (x + 5, y), (x, y + 6), (x - 5, y)],
    ]
    filled = kind // len(COLOURS) % 2 == 0
    if kind % 5 == 4:
        pen.ellipse([x - 4, y - 4, x + 4, y + 4], fill=colour if filled else "white", outline=colour)
    else:
        pen.polygon(shapes[kind % 5], fill=colour if filled else "white", outline=colour)
