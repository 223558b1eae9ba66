"""Elastic: the full weights of a family as one module that runs at any cutoff. Imports torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import torch
from torch import nn

from core.elastic.batch_norm import buffers, set_mode
from core.elastic.discovery.chain import find_chain
from core.elastic.family import Family
from core.elastic.recipes.base import Cutoff, Cuts
from core.elastic.scale import Band, Scale
from core.elastic.size_grid import Range, narrowest, widths_at
from core.elastic.subnet import call

# A narrow network learns best at a larger rate: that of the widest band, and its growth with each halving below
BAND_RATE, BAND_RATE_GROWTH = 2.0, 1.25


@dataclass(frozen=True)
class Milestone:
    """A change of the model at one step of its training; `again` repeats its shapes when a checkpoint is restored."""

    step: int  # done before this step, counted from 0; at the number of steps: after the last
    act: Callable[..., None]  # (optimizer, x, y, loss, rng), with all training examples
    again: Callable[[torch.optim.Optimizer], None]


class Elastic(nn.Module):
    """The full weights of a family, run at any cutoff through leading slices of them.

    A slice is a view, so autograd carries its gradient into the full weights, and everything happens in `forward`:
    DistributedDataParallel works on it unchanged (with bands it needs `find_unused_parameters`, as a step meets only
    some of them). A band is an `Elastic` itself, with the band's widest as its full size.

    Parameters
    ----------
    family
        Factory and layout of the models. The full one is built here, from torch's random state.
    alpha
        Exponent of the scale of kept features (`core.elastic.scale`); used where the models are fully-connected chains.
    bands
        Ranges of narrow sizes that have weights of their own, from wide to narrow.
    """

    def __init__(self, family: Family, alpha: float = 0.0, bands: Sequence[Range] = ()) -> None:
        super().__init__()
        self.family, self.layout = family, family.layout
        self.full = family.build()
        chain = find_chain(family.new_sibling(), self.layout)
        self._scale = Scale(alpha, chain.scaled_weights()) if chain else Scale()
        self._estimated = buffers(self.full)
        self._penalties: list[torch.Tensor] = []  # of the last forward
        self.ranges = tuple(bands)
        self._tops = [widths_at(self.layout.widths, top) for _, top in bands]
        self.rates = [BAND_RATE * BAND_RATE_GROWTH ** math.log2(bands[0][1] / top) for _, top in bands]
        self.bands = nn.ModuleList(self._make_bands(alpha))
        self._share_frozen()

    def _make_bands(self, alpha: float) -> list[Elastic]:
        return [Elastic(self.family.narrowed(low, top), alpha) for low, top in self.ranges]

    def forward(self, x: torch.Tensor, cuts: Cuts) -> list[torch.Tensor]:
        """Run the model at every cutoff of a step.

        x: (batch, ...). Returns one output a cutoff, on the cutoff's rows of the batch (`Cuts.rows`); where a band is
        trained from several random starts, an example's outputs of all of them follow each other.
        """
        self._penalties.clear()
        outputs: dict[int, torch.Tensor] = {}
        rows = cuts.rows(x.shape[0])
        for band, numbers in self._by_band(cuts.cutoffs).items():
            source = self if band is None else cast(Elastic, self.bands[band])
            for k in numbers:
                outputs[k] = source._run(x[rows[k]], cuts.cutoffs[k], self._penalties)
        return [outputs[k] for k in range(len(outputs))]

    def _run(self, x: torch.Tensor, cutoff: Cutoff, penalties: list[torch.Tensor]) -> torch.Tensor:
        """Run the plain small model on the slice at `cutoff`; its own term of the loss is added to `penalties`."""
        sibling = set_mode(self.family.sibling(**cutoff), self.training, by_batch=True)
        state = self._slice(cutoff)
        # a module writes its running statistics; those of one slice are no other's, so it writes to a copy
        state |= {name: state[name].clone() for name in self._estimated}
        output: torch.Tensor = call(sibling, state, x)
        penalty = vars(sibling).get("penalty")  # not a parameter or buffer that happens to bear the name
        if isinstance(penalty, torch.Tensor):
            sibling.penalty = None  # type: ignore[assignment]  # a sibling is kept, its graph must not be
            if self.training:
                penalties.append(penalty)
        return output

    def _slice(self, cutoff: Mapping[str, int]) -> dict[str, torch.Tensor]:
        """Slice every tensor at `cutoff`, scaled; gradients flow back into the full ones."""
        state = self.layout.slice(self.full.state_dict(keep_vars=True), cutoff)
        factors = self._scale.factors(self.layout, cutoff)
        return state | {name: state[name] * factor for name, factor in factors.items()}

    def _by_band(self, cutoffs: Sequence[Cutoff]) -> dict[int | None, list[int]]:
        """Group the numbers of the cutoffs by the band whose weights they use; None: the shared ones."""
        groups: dict[int | None, list[int]] = {}
        for k, cutoff in enumerate(cutoffs):
            groups.setdefault(narrowest(self._tops, cutoff), []).append(k)
        return groups

    @property
    def penalty(self) -> torch.Tensor | None:
        """The model's own term of the loss, (): the mean over the last forward's cutoffs; None where it sets none."""
        return torch.stack(self._penalties).mean() if self._penalties else None

    @property
    def scale(self) -> Scale:
        """Scale and bands as they are now, for slicing small models out of the weights."""
        return replace(self._scale, bands=self._band_weights())

    def _band_weights(self) -> tuple[Band, ...]:
        parts = cast("list[Elastic]", list(self.bands))
        return tuple(
            Band(low, top, part.layout, part._scale, part.full.state_dict(keep_vars=True))
            for (low, top), part in zip(self.ranges, parts, strict=True)
        )

    def fit(self, change: Callable[[nn.Module], None]) -> None:
        """Call `change` on every module that owns weights: the full model and each band's."""
        for source in (self, *cast("list[Elastic]", list(self.bands))):
            change(source.full)

    def start_from(self, state: Mapping[str, torch.Tensor]) -> None:
        """Load a trained full model's weights; a band starts from their leading part."""
        self.full.load_state_dict(state, strict=True)
        for place, band in enumerate(self.scale.bands):
            self._load_band(place, self.layout.slice(state, band.layout.full))

    def _load_band(self, place: int, state: Mapping[str, torch.Tensor]) -> None:
        cast(Elastic, self.bands[place]).full.load_state_dict(state, strict=True)

    def prepare(self, x: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        """Return the training inputs, (n, ...), as the model takes them in training mode: as they are, in general."""
        return x

    def milestones(self, steps: int) -> list[Milestone]:
        """Changes of the model during a training of so many steps; there are none in general."""
        return []

    def settle(self) -> None:
        """Leave the training: from here on the weights take inputs as they are."""

    def _share_frozen(self) -> None:
        """Give frozen parameters of a band the values of the full model's: they are never trained, in any size."""
        frozen = {name: p.detach() for name, p in self.full.named_parameters() if not p.requires_grad}
        for band in cast("list[Elastic]", list(self.bands)):
            own = dict(band.full.named_parameters())
            for name, value in frozen.items():
                own[name].data.copy_(self.layout.slice_tensor(name, value, band.layout.full))

    def parameter_sets(self) -> list[tuple[list[nn.Parameter], float]]:
        """The shared parameters, then each band's, with the factor of its learning rate."""
        banded = [(list(band.parameters()), rate) for band, rate in zip(self.bands, self.rates, strict=True)]
        return [(list(self.full.parameters()), 1.0), *banded]
