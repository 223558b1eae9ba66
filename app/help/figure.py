"""How it works in one figure: a network whose hidden features fade from the right, as an SVG. No Streamlit here."""

from __future__ import annotations

import itertools

FEATURES = 8  # of each hidden layer
KEPT = 3  # by the smaller size that is shown
PLACES = (40.0, 360.0)  # of a layer's first and last circle, from the left
ROWS = {"outputs": 48.0, "upper": 118.0, "lower": 188.0, "inputs": 258.0}  # from the top
RADIUS = 11.0
FAINTEST = 0.18
CLEAR = 'fill="currentColor" style="paint-order: stroke; stroke: var(--st-background-color); stroke-width: 5px"'
ALT = (
    "A network drawn in four rows: inputs, two hidden layers of eight features each, and labels. The features fade "
    "from left to right. A dashed line after the third feature of both layers marks a smaller size, which keeps what "
    "is left of the line and leaves out the rest."
)


def figure() -> str:
    """The figure as HTML for a component, whose theme's ink it takes, so that it suits light and dark."""
    cut = (_across(KEPT - 1, FEATURES) + _across(KEPT, FEATURES)) / 2
    layers = {"inputs": _row(4), "lower": _row(FEATURES), "upper": _row(FEATURES), "outputs": _row(3)}
    lines, circles = [], []
    for below, above in itertools.pairwise(layers):
        for i, x1 in enumerate(layers[below]):
            for j, x2 in enumerate(layers[above]):
                if _kept(below, i) and _kept(above, j):
                    ends = f'x1="{x1:.0f}" y1="{ROWS[below]:.0f}" x2="{x2:.0f}" y2="{ROWS[above]:.0f}"'
                    lines.append(f'<line {ends} opacity="0.35"/>')
    for name, places in layers.items():
        for k, x in enumerate(places):
            strength = _strength(k) if name in ("lower", "upper") else 1.0
            circles.append(
                f'<circle cx="{x:.0f}" cy="{ROWS[name]:.0f}" r="{RADIUS:.0f}" fill="currentColor" '
                f'fill-opacity="{strength:.2f}" stroke-opacity="{max(strength, 0.45):.2f}"/>'
            )
    top, bottom = ROWS["upper"] - 34, ROWS["lower"] + 34
    words = [
        _text(200, 22, "its prediction"),
        _text(200, 296, "an example"),
        _text(cut - 8, top + 6, "kept", "end"),
        _text(cut + 8, top + 6, "left out", "start"),
    ]
    return (
        f'<div style="max-width: 32rem; margin: 0 auto"><svg viewBox="0 0 400 306" role="img" aria-label="{ALT}" '
        'style="width: 100%; height: auto; color: var(--st-text-color); font-family: var(--st-font)" font-size="15">'
        f'<g stroke="currentColor" stroke-width="1">{"".join(lines)}</g>'
        f'<g stroke="currentColor" stroke-width="1.5">{"".join(circles)}</g>'
        f'<line x1="{cut:.0f}" y1="{top:.0f}" x2="{cut:.0f}" y2="{bottom:.0f}" stroke="currentColor" '
        f'stroke-width="2" stroke-dasharray="6 5"/>{"".join(words)}</svg></div>'
    )


def _kept(layer: str, place: int) -> bool:
    return layer not in ("lower", "upper") or place < KEPT


def _row(count: int) -> list[float]:
    """Where the circles of a layer stand; hidden layers fill the row, the others stand in its middle."""
    if count == FEATURES:
        return [_across(k, FEATURES) for k in range(count)]
    gap = (PLACES[1] - PLACES[0]) / (FEATURES - 1)
    middle = sum(PLACES) / 2
    return [middle + gap * (k - (count - 1) / 2) for k in range(count)]


def _across(place: int, count: int) -> float:
    return PLACES[0] + (PLACES[1] - PLACES[0]) * place / (count - 1)


def _strength(place: int) -> float:
    return 1 - (1 - FAINTEST) * place / (FEATURES - 1)


def _text(x: float, y: float, words: str, anchor: str = "middle") -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" {CLEAR}>{words}</text>'
