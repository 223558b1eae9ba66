"""What a width's weights are besides being cut: scale, tables over width, bands of their own. Needs no torch.

Kept features are scaled by `(full / c) ** alpha` (arXiv 2205.06906, section 3: alpha 1), written on the input side of
the weight that consumes them. A table holds what is added to a vector (a bias, a norm's affine) at full/2, full/4, ...
features, since what a bias has to make up for differs most between small widths. Both fold into the weights, so an
exported model needs no extra code.

A band is a range of narrow widths with weights of its own: narrow networks lose most by sharing theirs with wide ones,
and theirs are the fewest. Within a band all is as in the whole family, with the band's widest for full size.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from core.elastic.layout import Layout
from core.elastic.size_grid import Range, narrowest, path_range
from core.errors import RunError

MAX_ALPHA = 2.0  # above the paper's 1 by as much as anybody may want to try


@dataclass(frozen=True, eq=False)
class Band:
    """Weights of their own for the widths from `low` to `top`, both points of a sweep."""

    low: int
    top: int
    layout: Layout  # of the family, with the band's range for its widths
    scale: Scale
    weights: Mapping[str, Any]  # at `top`, under the layout's names

    def fold(self, widths: Mapping[str, int]) -> dict[str, Any]:
        """The small model's weights at `widths`."""
        return self.scale.fold(self.layout.slice(self.weights, widths), self.layout, widths)


@dataclass(frozen=True)
class Scale:
    """`(full / c) ** alpha` on the input (dimension 1) of each of `weights`, and tables over width."""

    alpha: float = 0.0
    weights: tuple[str, ...] = ()
    #: Name of a vector -> (knots, full size): what is added to it where 1/2, 1/4, ... of the features are kept.
    tables: Mapping[str, Any] = field(default_factory=dict, compare=False)
    bands: tuple[Band, ...] = field(default=(), compare=False)  # from wide to narrow

    def band(self, widths: Mapping[str, int]) -> Band | None:
        """The band that has the weights at `widths`; None where they are a part of the full ones."""
        place = narrowest([band.layout.full for band in self.bands], widths)
        return None if place is None else self.bands[place]

    def factors(self, layout: Layout, widths: Mapping[str, int]) -> dict[str, float]:
        """What each scaled weight is multiplied by at `widths`; those at 1 are left out."""
        found = {}
        for name in self.weights:
            axis = layout.tensors[name].axes[1]
            width = axis[0].width if axis else None
            if width is not None and widths[width] < layout.full[width] and self.alpha:
                found[name] = (layout.full[width] / widths[width]) ** self.alpha
        return found

    def offset(self, name: str, layout: Layout, widths: Mapping[str, int]) -> Any:
        """What is added to the vector `name` of the slice at `widths`; None where that is nothing."""
        if name not in self.tables:
            return None
        table = self.tables[name]
        shares = knot_shares(layout, widths)
        if not shares:
            return None
        whole = sum(table[knot] * share for knot, share in shares.items())
        return layout.slice_tensor(name, whole, widths)

    def fold(self, state: Mapping[str, Any], layout: Layout, widths: Mapping[str, int]) -> dict[str, Any]:
        """The slice at `widths` with scale and tables folded in, or the band's: what leaves the run is `build(widths)`.

        `state` is the slice of the full weights.
        """
        if (band := self.band(widths)) is not None:
            return band.fold(widths)
        factors, folded = self.factors(layout, widths), dict(state)
        for name, value in state.items():
            if name in factors:
                folded[name] = value * factors[name]
            elif (offset := self.offset(name, layout, widths)) is not None:
                folded[name] = value + offset
        return folded

    def to_json(self) -> dict[str, Any]:
        """For run.json, which holds no arrays."""
        bands = {"bands": [[band.low, band.top] for band in self.bands]} if self.bands else {}
        return {"alpha": self.alpha, "weights": list(self.weights), **bands}

    @classmethod
    def from_json(cls, data: Mapping[str, Any], layout: Layout, tables: Mapping[str, Any] | None = None) -> Scale:
        """From run.json. Raises RunError where it is damaged, or names what is no weight of the layout."""
        alpha = data.get("alpha") if isinstance(data, Mapping) else None
        weights = data.get("weights") if isinstance(data, Mapping) else None
        if isinstance(alpha, bool) or not isinstance(alpha, (int, float)) or not 0 <= alpha <= MAX_ALPHA:
            raise RunError(f"the run's scale has exponent {alpha!r}, not 0 to {MAX_ALPHA:g}; restore run.json")
        if not isinstance(weights, (list, tuple)):
            raise RunError(f"the run's scale wants a list of weights, got {type(weights).__name__}; restore run.json")
        for name in weights:
            tensor = layout.tensors.get(name) if isinstance(name, str) else None
            if tensor is None or len(tensor.shape) < 2 or len(tensor.axes[1] or ()) > 1:
                raise RunError(f"the run's scale names {name!r}, which is no weight of its layout; restore run.json")
        band_ranges(data, layout)
        return cls(float(alpha), tuple(weights), dict(tables or {}))


def band_ranges(data: Mapping[str, Any], layout: Layout) -> tuple[Range, ...]:
    """The ranges of the bands in what `Scale.to_json` gave. Raises RunError where they are damaged."""
    found = data.get("bands", [])
    ranges = tuple(tuple(pair) for pair in found) if isinstance(found, list) and all(map(_is_pair, found)) else None
    least, above = path_range(layout)
    for low, top in ranges or ():
        if not least <= low <= top < above:
            ranges = None
            break
        above = low
    if ranges is None:
        came = repr(found)[:80]
        raise RunError(f"the run's scale has bands {came}, not ranges of sizes from wide to narrow; restore run.json")
    return ranges


def _is_pair(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and len(value) == 2 and all(type(n) is int for n in value)


def knots(layout: Layout) -> int:
    """Rows of a table: one for each halving from full width down to the lower bound."""
    return max(math.ceil(math.log2(width.full / width.lower)) for width in layout.widths.values())


def knot_shares(layout: Layout, widths: Mapping[str, int]) -> dict[int, float]:
    """Which rows of a table count at `widths` and how much: linear in the mean halving; none at full width.

    Row k is for 2 ** (k + 1) times fewer features than full width has, where nothing is added.
    """
    halvings = sum(math.log2(layout.full[name] / widths[name]) for name in layout.widths) / len(layout.widths)
    below = int(halvings)
    shares = {below - 1: 1.0 - (halvings - below), below: halvings - below}
    return {knot: share for knot, share in shares.items() if knot >= 0 and share > 0}


def tabled(layout: Layout, without: frozenset[str] = frozenset()) -> list[str]:
    """The vectors that have a table: parameters of a module that a width touches, except `without`."""
    touched = {name.rpartition(".")[0] for name, tensor in layout.tensors.items() if tensor.widths()}
    return [
        name
        for name, tensor in layout.tensors.items()
        if tensor.kind == "parameter"
        and len(tensor.shape) == 1
        and tensor.dtype == "float32"
        and name.rpartition(".")[0] in touched
        and name not in without
    ]
