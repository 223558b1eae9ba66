"""Scale of kept features and bands of narrow widths: how a slice becomes the small model. Needs no torch.

Kept features are scaled by `(full / c) ** alpha` (arXiv 2205.06906, section 3: alpha 1), written on the input side of
the weight that consumes them, and folded into it, so that an exported model needs no extra code.

A band is a range of narrow widths with weights of its own: narrow networks lose most by sharing theirs with wide ones,
and theirs are the fewest. Within a band all is as in the whole family, with the band's widest for full size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from core.elastic.layout import Layout
from core.elastic.size_grid import Range, narrowest, path_range
from core.errors import RunError

MAX_ALPHA = 2.0  # above the paper's 1 by as much as anybody may want to try


@dataclass(frozen=True, eq=False)
class Band:
    """Weights that the sizes from `low` to `top` have of their own; both are points of a sweep."""

    low: int
    top: int
    layout: Layout  # of the family, with the band's range for its widths
    scale: Scale
    weights: Mapping[str, Any]  # at `top`, under the layout's names

    def fold(self, widths: Mapping[str, int]) -> dict[str, Any]:
        """Weights of the small model at `widths`."""
        return self.scale.fold(self.layout.slice(self.weights, widths), self.layout, widths)


@dataclass(frozen=True)
class Scale:
    """`(full / c) ** alpha` on the input (dimension 1) of each of `weights`, and the bands, from wide to narrow."""

    alpha: float = 0.0
    weights: tuple[str, ...] = ()
    bands: tuple[Band, ...] = field(default=(), compare=False)

    def band(self, widths: Mapping[str, int]) -> Band | None:
        """Find the band that has the weights at `widths`; None where they are part of the full ones."""
        place = narrowest([band.layout.full for band in self.bands], widths)
        return None if place is None else self.bands[place]

    def factors(self, layout: Layout, widths: Mapping[str, int]) -> dict[str, float]:
        """Multipliers of the scaled weights at `widths`, by name; those of 1 are left out."""
        factors = {}
        for name in self.weights:
            axis = layout.tensors[name].axes[1]
            width = axis[0].width if axis else None
            if width is not None and widths[width] < layout.full[width] and self.alpha:
                factors[name] = (layout.full[width] / widths[width]) ** self.alpha
        return factors

    def fold(self, state: Mapping[str, Any], layout: Layout, widths: Mapping[str, int]) -> dict[str, Any]:
        """Turn a slice of the full weights into the weights of `build(widths)`: scaled, or a band's own.

        state: tensors by name, cut to `widths`; NumPy arrays and torch tensors alike.
        """
        if (band := self.band(widths)) is not None:
            return band.fold(widths)
        return dict(state) | {name: state[name] * factor for name, factor in self.factors(layout, widths).items()}

    def to_json(self) -> dict[str, Any]:
        """Plain data for run.json, without arrays."""
        bands = {"bands": [[band.low, band.top] for band in self.bands]} if self.bands else {}
        return {"alpha": self.alpha, "weights": list(self.weights), **bands}

    @classmethod
    def from_json(cls, data: Mapping[str, Any], layout: Layout) -> Scale:
        """Read from run.json. Raises RunError where it is damaged or names no weight of the layout."""
        alpha = data.get("alpha") if isinstance(data, Mapping) else None
        weights = data.get("weights") if isinstance(data, Mapping) else None
        if isinstance(alpha, bool) or not isinstance(alpha, (int, float)) or not 0 <= alpha <= MAX_ALPHA:
            raise RunError(f"the run's scale has exponent {alpha!r}, not 0 to {MAX_ALPHA:g}; restore run.json")
        if not isinstance(weights, (list, tuple)):
            raise RunError(f"the run's scale needs a list of weights, got {type(weights).__name__}; restore run.json")
        for name in weights:
            tensor = layout.tensors.get(name) if isinstance(name, str) else None
            if tensor is None or len(tensor.shape) < 2 or len(tensor.axes[1] or ()) > 1:
                raise RunError(f"the run's scale names {name!r}, which is no weight of its layout; restore run.json")
        band_ranges(data, layout)
        return cls(float(alpha), tuple(weights))


def band_ranges(data: Mapping[str, Any], layout: Layout) -> tuple[Range, ...]:
    """Read the bands' ranges from `Scale.to_json`. Raises RunError where they are damaged."""
    pairs = data.get("bands", [])
    ranges = tuple(tuple(pair) for pair in pairs) if isinstance(pairs, list) and all(map(_is_pair, pairs)) else None
    least, above = path_range(layout)
    for low, top in ranges or ():
        if not least <= low <= top < above:
            ranges = None
            break
        above = low
    if ranges is None:
        came = repr(pairs)[:80]
        raise RunError(f"the run's scale has bands {came}, not ranges of sizes from wide to narrow; restore run.json")
    return ranges


def _is_pair(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and len(value) == 2 and all(type(n) is int for n in value)
