"""Names of runs for a list to choose from, short however many runs there are."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from core.runs.run import Run

MOST_NAMES = 100  # in a list to choose from: a browser takes seconds to build one of a thousand


def offered(runs: Sequence[Run], chosen: Collection[str]) -> list[str]:
    """Names to choose from, as the runs stand; of very many runs the newest ones, and those that are chosen."""
    newest = sorted(runs, key=lambda run: (run.record.created, run.id), reverse=True)[:MOST_NAMES]
    listed = {*chosen, *(run.id for run in newest)}
    return [run.id for run in runs if run.id in listed]


def hint(runs: Sequence[Run]) -> str:
    """Return a hint for a list that leaves some out, or nothing."""
    return f"Of {len(runs):,} runs the newest are listed; My runs has all." if len(runs) > MOST_NAMES else ""
