"""The family of a run: given by the caller, still in memory, or rebuilt from the settings in `run.json`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from core.errors import RunError, UserError
from core.models.registry import family as named_family

if TYPE_CHECKING:
    from core.elastic.family import Family
    from core.runs.run import Run

PROBE_TOLERANCE = 1e-3  # of the largest score; rounding differs between machines


def family_of(run: Run, family: Family | None = None) -> Family:
    """Return the family that a run was trained with, checked against the run, and keep it with the run.

    Raises UserError where the run has a factory of its own and no family is given, RunError where the family is not
    the one that the run was trained with.
    """
    import torch

    candidate = family or run.family
    if candidate is None:
        name, settings = run.record.family.get("name"), run.record.family.get("settings", {})
        if name is None:
            raise UserError(
                f"run {run.id} was trained from a factory of your own; call sweep(run, data, family=...) from Python"
            )
        candidate = named_family(name, **settings)
    if candidate is not run.family:
        other = f"the family is not the one that run {run.id} was trained with"
        if candidate.layout != run.layout:  # shapes alone can leave a layout open; a forward pass settles it
            candidate.check(torch.from_numpy(run.examples()["x"][:2]).float())
        if candidate.layout != run.layout:
            raise RunError(f"{other}: its layout differs; check its factory and its widths")
        if not _reproduces_probe(run, candidate):
            raise RunError(f"{other}: its layout is the same, its scores are not; check its factory's activations")
        run.family = candidate
    return candidate


def _reproduces_probe(run: Run, family: Family) -> bool:
    """Whether the full-width model gives the first examples the scores recorded after training."""
    import torch

    from core.elastic.batch_norm import set_mode
    from core.elastic.subnet import load

    recorded = np.array(run.record.training.get("probe") or [], dtype=np.float64)
    if recorded.ndim != 2:
        return True  # runs written before probes existed
    x = torch.from_numpy(run.examples()["x"][: len(recorded)]).float()
    module = load(family, run.scale(), run.weights(), run.layout.full)
    # a probe taken in training was normalised by the statistics of its own batch
    for by_batch in (False, True) if run.record.statistics else (False,):
        with torch.inference_mode():
            scores = set_mode(module, False, by_batch=by_batch)(x)[:, : recorded.shape[1]].double().numpy()
        if (
            scores.shape == recorded.shape
            and np.abs(scores - recorded).max() <= PROBE_TOLERANCE * np.abs(recorded).max()
        ):
            return True
    return False
