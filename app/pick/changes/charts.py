"""Charts of what changes against full size, as plain Plotly dicts. No Streamlit here."""

from __future__ import annotations

import numpy as np

from app.charts.style import BETTER, INK, PAPER, WORSE, Figure, error_bars, layout, named_axis, palette, plain
from app.pick.changes.compute import ByLabel, Pair, name_of, signed
from core.tasks.classification import ACCURACY

MOST_LABELS = 20  # in the chart of labels; the table has more
MOST_SQUARES = 12  # labels on a side of the map: more can't be read on a phone
ROW, AROUND = 32, 80  # pixels of a label, and of the axis


def label_changes(found: ByLabel, dark: bool) -> Figure:
    """A row for each label, its change with the interval; the label that loses most is on top."""
    count = min(len(found.names), MOST_LABELS)
    scale, colour = ACCURACY.scale, palette(dark)[0]
    value, low, high = (scale * part[:count] for part in (found.change, found.low, found.high))
    told = found.significant[:count]
    said = [
        f"{plain(found.names[k])}<br>{value[k]:+.1f} points ({low[k]:+.1f} to {high[k]:+.1f})<br>"
        f"{found.lost[k]:,} go wrong, {found.gained[k]:,} come right"
        for k in range(count)
    ]
    drawn = layout("Points against full size", "", AROUND + ROW * count)
    drawn["margin"]["r"] = 14
    drawn["showlegend"] = False
    drawn["xaxis"] |= {"zeroline": True, "zerolinewidth": 2, "zerolinecolor": INK[dark]}
    drawn["yaxis"] |= named_axis([plain(name) for name in found.names[:count]]) | {"range": [count - 0.5, -0.5]}
    return {
        "data": [
            {
                "type": "scatter",
                "mode": "markers",
                "name": "change against full size",
                "x": value.tolist(),
                "y": list(range(count)),
                "error_x": error_bars(value, low, high, colour),
                "text": said,
                "hovertemplate": "%{text}<extra></extra>",
                "cliponaxis": False,
                "marker": {
                    "color": colour,
                    "size": 11,
                    "symbol": ["circle" if t else "circle-open" for t in told.tolist()],
                    "line": {"width": 2, "color": colour},
                },
            }
        ],
        "layout": drawn,
    }


def squares(found: Pair) -> np.ndarray:
    """Numbers of the labels that the map shows: all, or those on which most examples change."""
    labels = len(found.run.record.labels)
    targets = found.here.targets.astype(np.int64)
    present = np.unique(np.concatenate([targets, found.here.predicted, found.full.predicted]).astype(np.int64))
    if len(present) <= MOST_SQUARES:
        return present
    changed = found.here.predicted != found.full.predicted
    ends = np.concatenate([targets[changed], found.here.predicted[changed], found.full.predicted[changed]])
    much = np.bincount(ends.astype(np.int64), minlength=labels)[present]
    return np.sort(present[np.argsort(-much, kind="stable")[:MOST_SQUARES]])


def change_map(found: Pair, dark: bool) -> Figure:
    """A square for each label (down) taken for each (across): how many more examples than at full size."""
    kinds, names = squares(found), found.run.record.labels
    here, full = (_counts(found.here.targets, side.predicted, kinds) for side in (found.here, found.full))
    change = here - full
    worse = np.where(np.eye(len(kinds), dtype=bool), -change, change)  # of right answers, fewer is worse
    shade = np.sign(worse) * np.sqrt(np.abs(worse))  # so that small changes are seen beside large ones
    end = float(np.abs(shade).max()) or 1.0
    shown = [plain(name_of(names, int(k))) for k in kinds]
    hover = [
        [
            (f"{shown[i]}, right" if i == j else f"{shown[i]} taken for {shown[j]}")
            + f"<br>{here[i, j]:,} here, {full[i, j]:,} at full size"
            for j in range(len(kinds))
        ]
        for i in range(len(kinds))
    ]
    places = list(range(len(kinds)))
    drawn = layout("This size predicts", "Actual label", 150 + 34 * len(kinds))
    drawn["xaxis"] |= named_axis(shown)
    drawn["yaxis"] |= named_axis(shown) | {"range": [len(kinds) - 0.5, -0.5]}
    return {
        "data": [
            {
                "type": "heatmap",
                "x": places,
                "y": places,
                "z": shade.round(4).tolist(),
                "zmin": -end,
                "zmax": end,
                "colorscale": [[0, BETTER[dark]], [0.5, PAPER[dark]], [1, WORSE[dark]]],
                "showscale": False,
                "xgap": 1,
                "ygap": 1,
                "text": [[signed(int(v)) if v else "" for v in row] for row in change],
                "texttemplate": "%{text}",
                "textfont": {"color": INK[dark], "size": 11},
                "customdata": hover,
                "hovertemplate": "%{customdata}<extra></extra>",
            }
        ],
        "layout": drawn,
    }


def _counts(targets: np.ndarray, predicted: np.ndarray, kinds: np.ndarray) -> np.ndarray:
    """How many examples of each of `kinds` (rows) are taken for each (columns)."""
    count = len(kinds)
    inside = np.isin(targets, kinds) & np.isin(predicted, kinds)
    rows, columns = (np.searchsorted(kinds, side[inside]) for side in (targets, predicted))
    return np.bincount(rows * count + columns, minlength=count * count).reshape(count, count)
