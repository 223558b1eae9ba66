"""The table of `quality.py` from the rows of its parquet file: accuracy by width, and the gap to dedicated models.

A gap is the number of points by which a contender's test accuracy lies below that of a dedicated model of the same
width and seed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

LINE = "dedicated"  # the contender that all are compared with
DENSE = "dense"  # one plain training at full width: the unit of time


@dataclass(frozen=True)
class Figure:
    """Mean over seeds and standard deviation, which is NaN for one seed."""

    mean: float
    deviation: float

    def __str__(self) -> str:
        return f"{self.mean:.2f}" if np.isnan(self.deviation) else f"{self.mean:.2f}±{self.deviation:.2f}"


@dataclass(frozen=True)
class Line:
    """One contender's line of the table. Accuracies are in per cent, gaps in points; None without dedicated models."""

    contender: str
    seeds: int
    accuracy: dict[int, Figure]
    gap: dict[int, Figure] | None
    mean_gap: Figure | None  # over all widths
    wide_gap: Figure | None  # over those of at least a sixteenth of full width
    worst: tuple[int, Figure] | None  # the width with the largest gap
    between_gap: Figure | None  # over widths between those of the table; None if none was judged
    time: float  # CPU seconds of its trainings over those of one dense training, median over seeds
    tuning: float  # the same of trainings that only chose settings; counted once
    memory: float  # MB above the data, the most of any seed
    epochs: int
    batch: int
    chosen: str  # settings besides epochs


def lines(rows: pd.DataFrame) -> list[Line]:
    """Return a line for each contender of one task, in the order of `rows`, whose columns `quality.py` writes."""
    found = []
    besides = rows[:0]
    if "between" in rows:
        between = rows["between"].astype(bool)
        rows, besides = rows[~between], rows[between]
    dedicated = table_of(rows, LINE)
    for name in dict.fromkeys(rows["contender"]):
        if name == DENSE:
            continue
        own = rows[rows["contender"] == name]
        table = table_of(rows, name)  # (seeds, widths)
        gaps = None
        if dedicated is not None and table is not None:
            shared = table.index.intersection(dedicated.index)
            gaps = dedicated.loc[shared, table.columns] - table.loc[shared] if len(shared) else None
        each = None if gaps is None else {int(w): figure(gaps[w].to_numpy()) for w in gaps}
        worst = None if each is None else max(each, key=lambda w: each[w].mean)
        first = own.sort_values("seed").iloc[0]
        settings = json.loads(first["chosen"])
        by_seed = own.drop_duplicates("seed")
        found.append(
            Line(
                contender=name,
                seeds=len(by_seed),
                accuracy={int(w): figure(table[w].to_numpy()) for w in table},
                gap=each,
                mean_gap=None if gaps is None else figure(gaps.mean(axis=1).to_numpy()),
                wide_gap=None if gaps is None else figure(gaps[wide(gaps.columns)].mean(axis=1).to_numpy()),
                between_gap=_mean_gap(table_of(besides, LINE), table_of(besides, name)),
                worst=None if each is None or worst is None else (worst, each[worst]),
                time=float((by_seed["seconds"] / by_seed["dense_seconds"]).median()),
                tuning=float((by_seed["tuning_seconds"] / by_seed["dense_seconds"]).max()),
                memory=float(by_seed["memory_mb"].max()),
                epochs=int(settings.pop("epochs", 0)),
                batch=int(first["batch"]),
                chosen=told(settings),
            )
        )
    return found


def _mean_gap(dedicated: pd.DataFrame | None, table: pd.DataFrame | None) -> Figure | None:
    """Return the mean gap over the widths that both have, for seeds in common."""
    if dedicated is None or table is None:
        return None
    gaps = (dedicated - table).dropna(how="all").dropna(axis=1)
    return figure(gaps.mean(axis=1).to_numpy()) if gaps.size else None


def table_of(rows: pd.DataFrame, contender: str) -> pd.DataFrame | None:
    """Return test accuracy in per cent, a row a seed and a column a width; None without rows."""
    own = rows[rows["contender"] == contender]
    return None if own.empty else 100 * own.pivot(index="seed", columns="width", values="accuracy")


def figure(values: np.ndarray) -> Figure:
    """Return mean and standard deviation over seeds."""
    return Figure(float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else float("nan"))


def wide(widths: pd.Index) -> list[int]:
    """Return the columns of at least a sixteenth of the full width."""
    return [w for w in widths if w >= max(widths) / 16]


def told(settings: dict[str, object]) -> str:
    """Format chosen settings as short text; those of each width in a row."""
    return ", ".join(
        f"{name} {' '.join(f'{v:g}' for v in value.values()) if isinstance(value, dict) else value}"
        for name, value in settings.items()
    )


def text(found: list[Line]) -> str:
    """Format the table of accuracies and gaps, followed by the settings of each contender."""
    if not found:
        return "nothing has been measured yet"
    widths = list(found[0].accuracy)
    heads = [*map(str, widths), "gap, mean", "from 1/16", "worst", "at", "between", "time", "tuning", "MB"]
    cells = {line.contender: _cells(line) for line in found}
    sizes = [max(len(head), *(len(row[k]) for row in cells.values())) for k, head in enumerate(heads)]
    label = max(map(len, cells))
    out = [" " * label + "".join(f"  {head:>{size}}" for head, size in zip(heads, sizes, strict=True))]
    out += [
        f"{name:>{label}}" + "".join(f"  {cell:>{size}}" for cell, size in zip(row, sizes, strict=True))
        for name, row in cells.items()
    ]
    out += ["", "epochs, rows of a batch, and what validation chose (learning rates by width where there is one each):"]
    out += [
        f"{line.contender:>{label}}  {line.epochs} x {line.batch}{', ' if line.chosen else ''}{line.chosen}"
        for line in found
    ]
    return "\n".join(out)


def _cells(line: Line) -> list[str]:
    compared = line.contender != LINE
    gaps = [str(part) if part and compared else "" for part in (line.mean_gap, line.wide_gap)]
    worst = [str(line.worst[1]), str(line.worst[0])] if line.worst and compared else ["", ""]
    worst += [str(line.between_gap) if line.between_gap and compared else ""]
    spent = [f"{line.time:.2f}x", f"{line.tuning:.1f}x" if line.tuning else "", f"{line.memory:.0f}"]
    return [*map(str, line.accuracy.values()), *gaps, *worst, *spent]
