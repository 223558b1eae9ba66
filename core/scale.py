"""The recipe's scale: what a width's weights are multiplied by besides being cut. Needs no torch.

Kept features are scaled by `(full / c) ** alpha` (arXiv 2205.06906, section 3: alpha 1), written on the input side of
the weight that consumes them. So it folds into that weight, and an exported model needs no extra code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core.errors import RunError
from core.layout import Layout

MAX_ALPHA = 2.0  # above the paper's 1 by as much as anybody may want to try


@dataclass(frozen=True)
class Scale:
    """`(full / c) ** alpha` on the input (dimension 1) of each of `weights`."""

    alpha: float = 0.0
    weights: tuple[str, ...] = ()

    def factors(self, layout: Layout, widths: Mapping[str, int]) -> dict[str, float]:
        """What each scaled weight is multiplied by at `widths`; those at 1 are left out."""
        found = {}
        for name in self.weights:
            axis = layout.tensors[name].axes[1]
            width = axis[0].width if axis else None
            if width is not None and widths[width] < layout.full[width] and self.alpha:
                found[name] = (layout.full[width] / widths[width]) ** self.alpha
        return found

    def fold(self, state: Mapping[str, Any], layout: Layout, widths: Mapping[str, int]) -> dict[str, Any]:
        """The slice at `widths` with the scale multiplied in: what leaves the run is exactly `build(widths)`."""
        factors = self.factors(layout, widths)
        return {name: value * factors[name] if name in factors else value for name, value in state.items()}

    def to_json(self) -> dict[str, Any]:
        """For run.json."""
        return {"alpha": self.alpha, "weights": list(self.weights)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any], layout: Layout) -> Scale:
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
        return cls(float(alpha), tuple(weights))
