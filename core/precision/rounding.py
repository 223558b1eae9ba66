"""Rounding of weights to few levels: to the nearest, or by second order. NumPy only.

Second order is GPTQ (Frantar et al. 2022, arXiv 2210.17323), after Hassibi and Stork's optimal brain surgeon (1993):
columns are rounded one after another, and what each rounding changes in the layer's output is made up for by the
columns that are still free.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.precision.base import Codes

DAMPING = 0.01  # of the mean second moment, added to each
SHARES = np.linspace(0.35, 1.1, 31)  # of a row's largest weight: scales that are tried


@dataclass(frozen=True)
class Levels:
    """Levels of a code: `(code + offset) * scale` for whole codes from `low` to `high`."""

    low: int
    high: int
    offset: float = 0.0

    def values(self, codes: np.ndarray, scale: np.ndarray) -> np.ndarray:
        """Return the weights of codes (rows, columns) at scales (rows,), float64."""
        weights: np.ndarray = (codes + self.offset) * scale[:, None]
        return weights

    def nearest(self, weight: np.ndarray, scale: np.ndarray) -> np.ndarray:
        """Return the codes nearest to weights (rows, columns) at scales (rows,); a row of scale 0 has codes of 0."""
        steps = weight / np.where(scale > 0, scale, np.inf)[:, None]
        codes: np.ndarray = np.clip(np.rint(steps - self.offset), self.low, self.high)
        return codes

    def largest_scale(self, weight: np.ndarray) -> np.ndarray:
        """Return the scales, (rows,), at which each row's largest weight is the highest level."""
        return np.asarray(np.abs(weight).max(1), np.float64) / (self.high + self.offset)


def round_nearest(weight: np.ndarray, levels: Levels) -> Codes:
    """Round each weight, (rows, ...) float32, to the nearest level below its row's largest."""
    rows = weight.reshape(len(weight), -1).astype(np.float64)
    scale = levels.largest_scale(rows).astype(np.float32)
    return _finished(weight, levels.nearest(rows, scale.astype(np.float64)), scale)


def round_second_order(weight: np.ndarray, moments: np.ndarray | None, levels: Levels) -> Codes:
    """Round a weight so that the layer's output on its calibration rows changes little.

    Never worse on these rows than rounding to the nearest: of each row the best candidate is kept.

    Parameters
    ----------
    weight
        (rows, ...) float32.
    moments
        Second moments of the layer's inputs, X'X / n, (groups, columns, columns); each group has an equal share of
        the rows. None where they are not known: all inputs then count alike.
    levels
        Levels of a code.
    """
    matrix = weight.reshape(len(weight), -1).astype(np.float64)
    if moments is None:
        moments = np.eye(matrix.shape[1])[None]
    parts = [_round(part, h, levels) for part, h in zip(np.split(matrix, len(moments)), moments, strict=True)]
    return _finished(weight, np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts]))


def output_error(change: np.ndarray, moments: np.ndarray) -> np.ndarray:
    """Return each row's mean squared change of output, (rows,), for changes of weights (rows, columns)."""
    return np.asarray(np.einsum("rc,rc->r", change @ moments, change))


def _round(weight: np.ndarray, moments: np.ndarray, levels: Levels) -> tuple[np.ndarray, np.ndarray]:
    """Return codes (rows, columns) and scales (rows,) float32 of one group."""
    if not np.trace(moments) > 0:  # inputs that were always 0
        moments = np.eye(len(moments))
    largest = levels.largest_scale(weight).astype(np.float32).astype(np.float64)
    scale = _best_scale(weight, np.diag(moments), levels)
    candidates = [(levels.nearest(weight, largest), largest), (levels.nearest(weight, scale), scale)]
    damped = moments + DAMPING * np.trace(moments) / len(moments) * np.eye(len(moments))
    candidates.append((_sequential(weight, damped, levels, scale), scale))
    errors = np.stack([output_error(levels.values(*c) - weight, moments) for c in candidates])
    best, rows = errors.argmin(0), np.arange(len(weight))
    codes = np.stack([c[0] for c in candidates])[best, rows]
    return codes, np.stack([c[1] for c in candidates])[best, rows].astype(np.float32)


def _best_scale(weight: np.ndarray, importance: np.ndarray, levels: Levels) -> np.ndarray:
    """Return the scales, (rows,), that minimise sum_j H_jj (q_j - w_j)^2 among shares of each row's largest weight."""
    largest, tried, errors = levels.largest_scale(weight), [], []
    for share in SHARES:
        scale = (share * largest).astype(np.float32).astype(np.float64)
        change = levels.values(levels.nearest(weight, scale), scale) - weight
        tried.append(scale)
        errors.append(np.square(change) @ importance)
    best: np.ndarray = np.stack(tried)[np.argmin(errors, axis=0), np.arange(len(weight))]
    return best


def _sequential(weight: np.ndarray, moments: np.ndarray, levels: Levels, scale: np.ndarray) -> np.ndarray:
    """Return codes (rows, columns), rounded column by column in the order of falling moments."""
    order = np.argsort(-np.diag(moments), kind="stable")
    inverse = np.linalg.inv(moments[np.ix_(order, order)])
    upper = np.linalg.cholesky((inverse + inverse.T) / 2).T
    free, codes = weight[:, order].copy(), np.empty_like(weight)
    for i in range(weight.shape[1]):
        column = levels.nearest(free[:, i : i + 1], scale)
        codes[:, order[i]] = column[:, 0]
        error = (free[:, i] - levels.values(column, scale)[:, 0]) / upper[i, i]
        free[:, i + 1 :] -= np.outer(error, upper[i, i + 1 :])
    return codes


def _finished(weight: np.ndarray, codes: np.ndarray, scale: np.ndarray) -> Codes:
    return Codes(codes=codes.astype(np.int8).reshape(weight.shape), scale=scale)
