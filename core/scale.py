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
        """From run.json. Raises RunError where it names a tensor that the layout has not."""
        try:
            scale = cls(float(data["alpha"]), tuple(data["weights"]))
            unknown = [n for n in scale.weights if n not in layout.tensors or len(layout.tensors[n].shape) < 2]
        except (KeyError, TypeError, ValueError) as error:
            raise RunError(f"the run's scale is damaged ({type(error).__name__} {error}); restore run.json") from None
        if unknown:
            raise RunError(f"the run's scale names {unknown[0]!r}, which is no weight of its layout; restore run.json")
        return scale
